/**
 * Asks carriers for parcels that are due. Each carrier has its own concurrency, rate and pauses, so a slow one delays its own parcels
 * only. jobs/carrier-polls.ts calls it; see docs/carriers.md.
 */
import { forEachConcurrent } from '@caudal/kernel/concurrency.ts';
import { derivedId } from '@caudal/kernel/ids.ts';
import { type Clock, sleep } from '@caudal/kernel/time.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { judge } from '../domain/parcel.ts';
import { parcelId } from '../domain/parcel-id.ts';
import type { ParcelState } from '../domain/parcel-state.ts';
import { traceId } from '../domain/trace.ts';
import { type Answer, ask, type PolledCarrier } from './ask.ts';
import { nextPoll, type PollOutcome, type PollState } from './poll-plan.ts';
import type { RecordTraces } from './webhook.ts';

const log = logger('carrier-poll');

export interface DuePoll {
  trackingNumber: string;
  state: PollState;
}

export interface PollStore {
  /** Parcels whose time has come, those that have waited longest first. */
  due(options: { carrier: string; now: number; limit: number }): Promise<DuePoll[]>;
  /** `state` absent: it is not asked for any more. */
  save(options: { carrier: string; trackingNumber: string; state?: PollState }): Promise<void>;
  /** No parcel of the carrier is due before this time, in any process. */
  pause(options: { carrier: string; until: number }): Promise<void>;
}

export interface PollOptions {
  store: PollStore;
  record: RecordTraces;
  clock: Clock;
  /** Until when carriers want no calls, by name; kept from run to run. */
  pauses: Map<string, number>;
  /** Ends the run; calls in flight are given up. */
  signal: AbortSignal;
  random?: () => number;
}

export interface PollCounts {
  polled: number;
  news: number;
  failed: number;
  /** Why it ended before all that were due had been asked for. */
  paused?: 'FAILING' | 'LIMITED' | 'CREDENTIAL';
}

/** Parcels that are read from the store at a time. */
const batch = 100;
/** After so many failures in a row the carrier is left alone until the next run. */
const maxFailures = 5;

/** Asks one carrier for everything that is due. */
export async function pollCarrier(carrier: PolledCarrier, options: PollOptions): Promise<PollCounts> {
  const { store, clock, signal, pauses } = options;
  const { name } = carrier.adapter;
  const counts: PollCounts = { polled: 0, news: 0, failed: 0 };
  if (clock().getTime() < (pauses.get(name) ?? 0)) return { ...counts, paused: 'LIMITED' };
  const turn = paced(carrier.perSecond);
  let failures = 0;
  while (!signal.aborted && !counts.paused) {
    const due = await store.due({ carrier: name, now: clock().getTime(), limit: batch });
    if (due.length === 0) break;
    await forEachConcurrent(due, carrier.concurrency, async ({ trackingNumber, state }) => {
      if (counts.paused) return;
      await turn(signal);
      // Others have been answered meanwhile.
      if (signal.aborted || counts.paused) return;
      const answer = await ask(carrier, trackingNumber, clock(), signal);
      // A call that was given up says nothing about the carrier.
      if (signal.aborted) return;
      const outcome = await outcomeOf(answer, { carrier: name, trackingNumber, state }, options);
      const after = nextPoll(state, outcome, clock().getTime(), options.random);
      await store.save({ carrier: name, trackingNumber, ...(after && { state: after }) });
      counts.polled += 1;
      if (outcome.kind === 'NEWS') counts.news += 1;
      if (outcome.kind === 'FAILED') counts.failed += 1;
      failures = outcome.kind === 'FAILED' ? failures + 1 : 0;
      if (answer.kind === 'LIMITED') {
        const until = clock().getTime() + answer.retryAfterMs;
        pauses.set(name, until);
        await store.pause({ carrier: name, until });
      }
      if (answer.kind === 'UNAUTHORIZED') counts.paused = 'CREDENTIAL';
      else if (answer.kind === 'LIMITED') counts.paused = 'LIMITED';
      else if (failures >= maxFailures) counts.paused = 'FAILING';
    });
  }
  if (counts.paused) log.warn({ carrier: name, ...counts }, 'carrier is left alone until the next run');
  return counts;
}

/** Traces are durable before the next poll is planned: a crash between the two repeats them, which changes nothing. */
async function outcomeOf(
  answer: Answer,
  { carrier, trackingNumber, state }: DuePoll & { carrier: string },
  { record }: PollOptions,
): Promise<PollOutcome> {
  if (answer.kind === 'LIMITED') return answer;
  if (answer.kind === 'FAILED' || answer.kind === 'UNAUTHORIZED') return { kind: 'FAILED' };
  const { traces } = answer;
  if (traces.length === 0) return { kind: 'NOTHING' };
  // An answer may have other parcels of the same shipment: each has a poll of its own, and its own end.
  const asked = parcelId(carrier, trackingNumber);
  const own = traces.filter((trace) => parcelId(trace.carrier, trace.trackingNumber) === asked);
  const { status, deliveredAt, returnedAt }: Partial<ParcelState> = own.length > 0 ? judge(undefined, own) : {};
  // Not `ended`: a parcel whose label was voided may be sent all the same.
  const ended = deliveredAt !== undefined || returnedAt !== undefined;
  const known = status && { status };
  const ids = traces.map((trace) => traceId(trace)).sort();
  const said = derivedId(...ids);
  if (said === state.said) return { kind: 'NOTHING', ...known };
  await record(traces);
  return { kind: 'NEWS', said, ended, ...known };
}

/** Gives turns at a steady rate: the time of each is fixed when it is asked for, so no burst follows a wait. */
function paced(perSecond: number): (signal: AbortSignal) => Promise<void> {
  let next = 0;
  return async (signal) => {
    const now = performance.now();
    next = Math.max(now, next + 1_000 / perSecond);
    if (next > now) await sleep(next - now, signal);
  };
}
