/** The status of a parcel as a function of what is known of it. docs/parcel-status.md explains each rule with an example. */
import type { ParcelFacts, ParcelState, Seen } from './parcel-state.ts';
import type { Status } from './trace.ts';

type Outcome = Pick<ParcelState, 'status' | 'subStatus' | 'statusAt' | 'leg' | 'ended' | 'deliveredAt' | 'returnedAt'>;

/** Of these the latest counts; PRE_TRANSIT only if there is none of them. */
const onTheWay = [
  'IN_TRANSIT',
  'OUT_FOR_DELIVERY',
  'EXCEPTION',
  'FAILED_ATTEMPT',
  'AVAILABLE_FOR_PICKUP',
  'EXPIRED',
  'CANCELLED',
] as const satisfies Status[];

/** What stays visible on the way back; scans there say no more than RETURNING does. */
const visibleOnReturn = ['EXCEPTION', 'EXPIRED'] as const satisfies Status[];

/** What follows for the parcel. */
export function outcomeOf(facts: ParcelFacts): Outcome {
  const returned = notVoided(facts, 'RETURNED');
  if (returned) return isBack(returned, returned.subStatus);
  const delivered = notVoided(facts, 'DELIVERED');
  const back = returnOf(facts);
  if (back) {
    // What arrives after a return began arrives at the sender.
    if (delivered && delivered.at > back.began) return isBack(delivered, 'TO_SENDER');
    return { ...asSaid(exceptionOnReturn(facts, back.latest) ?? back.latest), leg: 'RETURN', ended: false };
  }
  if (delivered) {
    const first = facts.earliest.DELIVERED!;
    const deliveredAt = first > (facts.voidedAt ?? Number.NEGATIVE_INFINITY) ? first : delivered.at;
    return { ...asSaid(delivered), leg: 'OUTWARD', ended: true, deliveredAt };
  }
  const newest = newestOf(facts, onTheWay) ?? facts.latest.PRE_TRANSIT;
  return { ...(newest && asSaid(newest)), leg: 'OUTWARD', ended: newest?.status === 'CANCELLED' };
}

const asSaid = ({ status, subStatus, at }: Seen): Pick<Outcome, 'status' | 'subStatus' | 'statusAt'> => ({
  status: status!,
  ...(subStatus !== undefined && { subStatus }),
  statusAt: at,
});

function isBack({ at }: Seen, subStatus: string | undefined): Outcome {
  const why = subStatus !== undefined && { subStatus };
  return { status: 'RETURNED', ...why, statusAt: at, leg: 'RETURN', ended: true, returnedAt: at };
}

/** The latest end of this kind that the carrier has not taken back. */
function notVoided({ latest, voidedAt }: ParcelFacts, status: 'DELIVERED' | 'RETURNED'): Seen | undefined {
  const end = latest[status];
  return end && (voidedAt === undefined || end.at > voidedAt) ? end : undefined;
}

/** The return that is going on, and since when. After one that was cancelled only the latest report of one is known. */
function returnOf({ latest, earliest, returnCancelledAt }: ParcelFacts): { latest: Seen; began: number } | undefined {
  const returning = latest.RETURNING;
  if (!returning || (returnCancelledAt !== undefined && returnCancelledAt >= returning.at)) return undefined;
  return { latest: returning, began: returnCancelledAt === undefined ? earliest.RETURNING! : returning.at };
}

function exceptionOnReturn(facts: ParcelFacts, returning: Seen): Seen | undefined {
  const exception = newestOf(facts, visibleOnReturn);
  const progress = newestOf(facts, ['IN_TRANSIT', 'OUT_FOR_DELIVERY', 'AVAILABLE_FOR_PICKUP']);
  const since = Math.max(returning.at, progress?.at ?? returning.at);
  return exception && exception.at > since ? exception : undefined;
}

/** The latest of the traces with one of these statuses; at the same time, the one that is further in the list. */
function newestOf({ latest }: ParcelFacts, statuses: readonly Status[]): Seen | undefined {
  let newest: Seen | undefined;
  for (const status of statuses) {
    const seen = latest[status];
    if (seen && (!newest || seen.at >= newest.at)) newest = seen;
  }
  return newest;
}
