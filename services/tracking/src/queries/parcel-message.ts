/** A parcel's row as a message of the contract. */
import type { Parcel, ParcelStatus } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import type { ParcelState } from '../domain/parcel-state.ts';
import { placeMessage, seenMessage } from '../trace-message.ts';

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
  traces: number;
  state: string | null;
}

/** The columns as they are selected. */
export const parcelColumns = `parcel::text, carrier, tracking_number AS "trackingNumber", status, shipment, order_id AS "orderId", customer,
  first_at AS "firstAt", last_at AS "lastAt", created_at AS "createdAt", updated_at AS "updatedAt", traces, state`;

const timeOf = (at: number | undefined) => (at === undefined ? undefined : new Date(at));

/** `withTraces`: with the latest of its traces. */
export function parcelMessage(row: ParcelColumns, { withTraces }: { withTraces: boolean }): Parcel {
  const { carrier, trackingNumber, status } = row;
  const state: ParcelState | undefined = row.state ? JSON.parse(row.state) : undefined;
  const latest = withTraces ? (state?.recent ?? []) : [];
  return {
    ...{ carrier, trackingNumber, status },
    shipmentId: row.shipment ?? '',
    orderId: row.orderId ?? '',
    customerId: row.customer ?? '',
    subStatus: state?.subStatus ?? '',
    statusTime: timeOf(state?.statusAt),
    eta: timeOf(state?.eta),
    lastPlace: placeMessage(state?.place),
    firstTraceTime: row.firstAt ?? undefined,
    lastTraceTime: row.lastAt ?? undefined,
    traceCount: row.traces,
    latestTraces: latest.map((seen) => seenMessage(seen, { carrier, trackingNumber })),
    createTime: row.createdAt,
    updateTime: row.updatedAt,
  };
}
