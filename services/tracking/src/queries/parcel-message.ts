/** A parcel's row as a message of the contract. */
import type { Parcel, ParcelStatus } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { decodeParcel } from '../store/parcel-row.ts';
import { placeMessage, traceMessage } from '../trace-message.ts';

export interface ParcelColumns {
  parcel: string;
  carrier: string;
  trackingNumber: string;
  status: ParcelStatus;
  shipment: string | null;
  orderId: string | null;
  customer: string | null;
  firstAt: Date | null;
  lastAt: Date | null;
  createdAt: Date;
  updatedAt: Date;
  state: Buffer | null;
}

/** The columns as they are selected. */
export const parcelColumns = `parcel::text, carrier, tracking_number AS "trackingNumber", status, shipment, order_id AS "orderId", customer,
  first_at AS "firstAt", last_at AS "lastAt", created_at AS "createdAt", updated_at AS "updatedAt", state`;

/** `withTraces`: with the latest of its traces. */
export function parcelMessage(row: ParcelColumns, { withTraces }: { withTraces: boolean }): Parcel {
  const { carrier, trackingNumber, status } = row;
  const state = row.state ? decodeParcel(row.state, { carrier, trackingNumber }) : undefined;
  const latest = withTraces ? (state?.latest ?? []) : [];
  return {
    ...{ carrier, trackingNumber, status },
    shipmentId: row.shipment ?? '',
    orderId: row.orderId ?? '',
    customerId: row.customer ?? '',
    subStatus: state?.subStatus ?? '',
    statusTime: state?.since,
    eta: state?.eta,
    lastPlace: placeMessage(state?.lastPlace),
    firstTraceTime: row.firstAt ?? undefined,
    lastTraceTime: row.lastAt ?? undefined,
    traceCount: state?.count ?? 0,
    latestTraces: latest.map((trace) => ({ ...traceMessage(trace), carrier, trackingNumber })),
    createTime: row.createdAt,
    updateTime: row.updatedAt,
  };
}
