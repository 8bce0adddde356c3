/**
 * What is true of a parcel, from traces in any order. docs/parcel-status.md has the rules.
 *
 * A state is what is left of a set of traces: a maximum, a minimum or the greatest N by one total order, for each of a few questions.
 * Such facts of two sets give those of their union, and a set has no order and no repetition; so neither has the state, although
 * it forgets almost all traces. The status is a function of the facts (status.ts), never of what came last.
 */
import type { ParcelFacts, ParcelState, Seen } from './parcel-state.ts';
import { outcomeOf } from './status.ts';
import { type Status, type Trace, traceId } from './trace.ts';

/** The traces of a parcel's page; older ones are in the trace store. */
export const maxRecent = 50;
const maxAttempts = 10;
/** Clocks differ a little; a time that is further ahead is false. */
export const clockToleranceMs = 5 * 60_000;

const none: ParcelFacts = { latest: {}, earliest: {}, attempts: [] };

/** If two traces happened at the same time, the one of the higher rank counts as the later one. */
const ranks: Record<Status, number> = {
  PRE_TRANSIT: 1,
  IN_TRANSIT: 2,
  OUT_FOR_DELIVERY: 3,
  EXCEPTION: 4,
  FAILED_ATTEMPT: 5,
  AVAILABLE_FOR_PICKUP: 6,
  EXPIRED: 7,
  CANCELLED: 8,
  RETURNING: 9,
  DELIVERED: 10,
  RETURNED: 11,
};

/**
 * The state after these traces, whatever their order, and however often they were judged before. With no state and no traces there
 * is nothing to judge: throws RangeError.
 */
export function judge(parcel: ParcelState | undefined, traces: readonly Trace[]): ParcelState {
  return judgeSeen(
    parcel,
    traces.map((trace) => seenOf(trace)),
  );
}

/** The same of traces as states have them. */
export function judgeSeen(parcel: ParcelState | undefined, seen: readonly Seen[]): ParcelState {
  if (!parcel && seen.length === 0) throw new RangeError('A parcel begins with a trace.');
  let facts = parcel?.facts ?? none;
  for (const each of seen) facts = withTrace(facts, each);
  const recent = latestOf([...(parcel?.recent ?? []), ...seen]);
  return stateOf(facts, recent);
}

/** Whether a trace says what the carrier expects, and nothing that has happened. Its time is when that was said. */
export function isExpectation({ eta, status, detail, place, photoUrl, signedBy }: Trace): boolean {
  return eta !== undefined && [status, detail, place, photoUrl, signedBy].every((said) => said === undefined);
}

/** The state after the carrier has said expectations again that are known as traces: of all of them the one that was said last counts. */
export function saidAgain(parcel: ParcelState, expectations: readonly Seen[]): ParcelState {
  const eta = expectations.reduce(later, parcel.facts.eta);
  return eta === parcel.facts.eta ? parcel : stateOf({ ...parcel.facts, eta }, parcel.recent);
}

/** A trace as the state has it. `id`: its traceId, where that is known. */
export function seenOf(trace: Trace, id = traceId(trace)): Seen {
  const { happenedAt, receivedAt, zone, status, subStatus, detail, place, eta, photoUrl, signedBy } = trace;
  const reported = happenedAt.getTime();
  const at = Math.min(reported, receivedAt.getTime() + clockToleranceMs);
  return {
    id,
    at,
    ...(at !== reported && { reportedAt: reported }),
    ...(zone !== undefined && { zone }),
    ...(status !== undefined && { status }),
    ...(subStatus !== undefined && { subStatus }),
    ...(detail !== undefined && { detail }),
    ...(place !== undefined && { place }),
    ...(eta !== undefined && { eta: eta.getTime() }),
    ...(photoUrl !== undefined && { photoUrl }),
    ...(signedBy !== undefined && { signedBy }),
  };
}

function withTrace(facts: ParcelFacts, seen: Seen): ParcelFacts {
  const { status, subStatus, at } = seen;
  const after: ParcelFacts = { ...facts };
  if (status) {
    after.latest = { ...facts.latest, [status]: later(facts.latest[status], seen) };
    after.earliest = { ...facts.earliest, [status]: Math.min(facts.earliest[status] ?? at, at) };
  }
  if (status === 'FAILED_ATTEMPT') after.attempts = greatest([...facts.attempts, at]);
  if (subStatus === 'END_VOIDED') after.voidedAt = Math.max(facts.voidedAt ?? at, at);
  if (subStatus === 'RETURN_CANCELLED') after.returnCancelledAt = Math.max(facts.returnCancelledAt ?? at, at);
  if (seen.eta !== undefined) after.eta = later(facts.eta, seen);
  if (seen.place) after.place = later(facts.place, seen);
  if (seen.photoUrl) after.photo = later(facts.photo, seen);
  if (seen.signedBy) after.signature = later(facts.signature, seen);
  return after;
}

function stateOf(facts: ParcelFacts, recent: Seen[]): ParcelState {
  const outcome = outcomeOf(facts);
  const { earliest } = facts;
  const moves = [earliest.IN_TRANSIT, earliest.OUT_FOR_DELIVERY, earliest.AVAILABLE_FOR_PICKUP, earliest.DELIVERED];
  const startedAt = Math.min(...moves.filter((at) => at !== undefined));
  return {
    ...outcome,
    ...(Number.isFinite(startedAt) && { startedAt }),
    latestAt: recent[0]!.at,
    ...(facts.eta && { eta: facts.eta.eta! }),
    ...(facts.place && { place: facts.place.place! }),
    ...(facts.photo && { photoUrl: facts.photo.photoUrl! }),
    ...(facts.signature && { signedBy: facts.signature.signedBy! }),
    recent,
    facts,
  };
}

const later = (one: Seen | undefined, other: Seen): Seen => (one && compare(one, other) >= 0 ? one : other);

/** The newest times, each once. */
const greatest = (times: number[]): number[] => [...new Set(times)].sort((a, b) => b - a).slice(0, maxAttempts);

/** The newest traces, each once. */
function latestOf(all: Seen[]): Seen[] {
  const sorted = all.sort((a, b) => compare(b, a));
  return sorted.filter((seen, n) => n === 0 || compare(seen, sorted[n - 1]!) !== 0).slice(0, maxRecent);
}

/** Whether two traces are one. */
export const saysTheSame = (a: Seen, b: Seen): boolean => a === b || compare(a, b) === 0;

/** A total order: 0 only for traces that say the same. */
function compare(a: Seen, b: Seen): number {
  return a.at - b.at || rankOf(a) - rankOf(b) || order(a.id, b.id) || order(textOf(a), textOf(b));
}

const rankOf = ({ status }: Seen): number => (status ? ranks[status] : 0);

const order = (a: string, b: string): number => (a === b ? 0 : a < b ? -1 : 1);

/** What it says, whatever order a store has given to its fields. A carrier may say other things under the same id. */
function textOf({ reportedAt, zone, status, subStatus, detail, place, eta, photoUrl, signedBy }: Seen): string {
  const { name, country, latitude, longitude } = place ?? {};
  const said = [reportedAt, zone, status, subStatus, detail, name, country, latitude, longitude];
  return JSON.stringify([...said, eta, photoUrl, signedBy]);
}
