/** A parcel's row as a message of the contract. */
import {
  type ArrivalEstimate,
  EstimateSource,
  EstimateSureness,
  type Parcel,
  type ParcelStatus,
} from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import type { Estimate } from '../domain/eta.ts';
import type { ParcelState, Seen } from '../domain/parcel-state.ts';
import { readState } from '../domain/state-text.ts';
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
  destination: string | null;
}

/** The columns as they are selected. */
export const parcelColumns = `parcel::text, carrier, tracking_number AS "trackingNumber", status, shipment, order_id AS "orderId", customer,
  first_at AS "firstAt", last_at AS "lastAt", created_at AS "createdAt", updated_at AS "updatedAt", traces, state, destination`;

const timeOf = (at: number | undefined) => (at === undefined ? undefined : new Date(at));

/** What its traces come to; undefined while it has none. */
export const stateOf = ({ state }: ParcelColumns): ParcelState | undefined => (state ? readState(state) : undefined);

/** The row in a list: without its traces. */
export const listedParcel = (row: ParcelColumns): Parcel => parcelMessage(row, { state: stateOf(row), latest: [] });

/** The parcel's page. `estimate`: when it arrives, if that is to be said. */
export const parcelPage = (
  row: ParcelColumns,
  state: ParcelState | undefined,
  estimate: Estimate | undefined,
): Parcel => parcelMessage(row, { state, latest: state?.recent ?? [], estimate });

interface Shown {
  state: ParcelState | undefined;
  latest: readonly Seen[];
  estimate?: Estimate | undefined;
}

function parcelMessage(row: ParcelColumns, { state, latest, estimate }: Shown): Parcel {
  const { carrier, trackingNumber, status } = row;
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
    estimate: estimate && estimateMessage(estimate),
    archived: false,
  };
}

const sources = {
  CARRIER: EstimateSource.ESTIMATE_SOURCE_CARRIER,
  LEARNT: EstimateSource.ESTIMATE_SOURCE_LEARNT,
} satisfies Record<Estimate['source'], EstimateSource>;

const surenesses = {
  HIGH: EstimateSureness.ESTIMATE_SURENESS_HIGH,
  MEDIUM: EstimateSureness.ESTIMATE_SURENESS_MEDIUM,
  LOW: EstimateSureness.ESTIMATE_SURENESS_LOW,
} satisfies Record<Estimate['sureness'], EstimateSureness>;

function estimateMessage({
  source,
  sureness,
  earliest,
  likely,
  latest,
  samples,
  spreadDays,
  late,
}: Estimate): ArrivalEstimate {
  return {
    ...{ source: sources[source], sureness: surenesses[sureness], samples, spreadDays, late },
    earliestTime: new Date(earliest),
    likelyTime: new Date(likely),
    latestTime: new Date(latest),
  };
}
