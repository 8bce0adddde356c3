/** What the traces of a parcel come to, in whatever order they arrive. */
import { type Place, type Status, type Trace, traceId } from './trace.ts';

export interface ParcelState {
  status?: Status;
  subStatus?: string;
  /** Since when it has the status, by the carrier. */
  since?: Date;
  lastPlace?: Place;
  eta?: Date;
  /** The latest ones, those that happened last first. */
  latest: readonly Trace[];
  firstAt?: Date;
  lastAt?: Date;
  count: number;
  /** No more is expected to happen. */
  done: boolean;
}

const mostTraces = 50;
/** By rank: one of two at the same time counts. */
const ranks: Record<Status, number> = {
  PRE_TRANSIT: 0,
  IN_TRANSIT: 1,
  OUT_FOR_DELIVERY: 2,
  FAILED_ATTEMPT: 3,
  EXCEPTION: 3,
  AVAILABLE_FOR_PICKUP: 4,
  RETURNING: 5,
  EXPIRED: 6,
  CANCELLED: 6,
  DELIVERED: 7,
  RETURNED: 8,
};
const final = new Set<Status | undefined>(['DELIVERED', 'RETURNED', 'EXPIRED', 'CANCELLED']);

/** The state with these traces, which are new: the caller has left out those that the parcel had. */
export function judge(parcel: ParcelState | undefined, traces: readonly Trace[]): ParcelState {
  const before: ParcelState = parcel ?? { latest: [], count: 0, done: false };
  const known = [...before.latest, ...traces].toSorted(lastFirst);
  let { status, subStatus, since } = before;
  for (const trace of traces) {
    if (!trace.status || !wins(trace, status, since)) continue;
    if (trace.status !== status) since = trace.happenedAt;
    ({ status, subStatus } = trace);
  }
  const times = traces.map(({ happenedAt }) => happenedAt.getTime());
  const firstAt = new Date(Math.min(...times, before.firstAt?.getTime() ?? Number.POSITIVE_INFINITY));
  const lastAt = new Date(Math.max(...times, before.lastAt?.getTime() ?? Number.NEGATIVE_INFINITY));
  return {
    status,
    subStatus,
    since,
    lastPlace: known.find(({ place }) => place)?.place ?? before.lastPlace,
    eta: known.find(({ eta }) => eta)?.eta ?? before.eta,
    latest: known.slice(0, mostTraces),
    ...(Number.isNaN(firstAt.getTime()) ? {} : { firstAt, lastAt }),
    count: before.count + traces.length,
    done: final.has(status),
  };
}

/** A late scan does not take back a delivery; a return does. */
function wins(trace: Trace, status: Status | undefined, since: Date | undefined): boolean {
  if (!status || !since) return true;
  const [rank, former] = [ranks[trace.status!], ranks[status]];
  if (final.has(status)) return rank > former || trace.status === 'RETURNING';
  const [at, then] = [trace.happenedAt.getTime(), since.getTime()];
  return final.has(trace.status) || at > then || (at === then && rank > former);
}

function lastFirst(a: Trace, b: Trace): number {
  return b.happenedAt.getTime() - a.happenedAt.getTime() || Buffer.compare(traceId(a), traceId(b));
}
