/** When a carrier is asked again for a parcel. Pure. */
import { backoffMs } from '@caudal/kernel/time.ts';
import type { Status } from '../domain/trace.ts';

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
/** A parcel of which nothing new is heard for so long is not asked for any more. */
export const silentDays = 30;
/** The same if the carrier has not even answered. */
export const failingDays = 90;
const maxIntervalMs = day;
const failed = { firstMs: 2 * minute, maxMs: 6 * hour };

/** The pause after news, by status. */
const intervals: Partial<Record<Status, number>> = {
  PRE_TRANSIT: 6 * hour,
  OUT_FOR_DELIVERY: 20 * minute,
  AVAILABLE_FOR_PICKUP: 6 * hour,
  CANCELLED: 6 * hour,
};
const otherwise = 2 * hour;

export interface PollState {
  /** Milliseconds since 1970. */
  nextAt: number;
  /** When something new was heard, or when it was first asked for. */
  newsAt: number;
  /** Answers without news since then. */
  quiet: number;
  /** Failures since the last answer. */
  failures: number;
  /** What the last answer said, to see whether the next one says something new. */
  said?: string;
}

export type PollOutcome =
  /** `ended`: it has arrived or is back. */
  | { kind: 'NEWS'; said: string; status?: Status; ended: boolean }
  | { kind: 'NOTHING'; status?: Status }
  | { kind: 'FAILED' }
  /** The carrier wants fewer calls. */
  | { kind: 'LIMITED'; retryAfterMs: number };

/** The state of a parcel that is to be asked for at once. */
export const firstPoll = (now: number): PollState => ({ nextAt: now, newsAt: now, quiet: 0, failures: 0 });

/**
 * What follows from a poll; undefined if it was the last one: the parcel has arrived or is back, or has been silent for 30 days.
 * Pauses grow while there is no news. Half of a pause is random, so that parcels of one hour are not asked for together for ever.
 */
export function nextPoll(
  state: PollState,
  outcome: PollOutcome,
  now: number,
  random: () => number = Math.random,
): PollState | undefined {
  const silentMs = now - state.newsAt;
  const spread = (ms: number) => now + ms / 2 + (random() * ms) / 2;
  switch (outcome.kind) {
    case 'NEWS': {
      if (outcome.ended) return undefined;
      return { nextAt: spread(intervalOf(outcome.status, 0)), newsAt: now, quiet: 0, failures: 0, said: outcome.said };
    }
    case 'NOTHING': {
      if (silentMs >= silentDays * day) return undefined;
      const quiet = state.quiet + 1;
      return { ...state, nextAt: spread(intervalOf(outcome.status, quiet)), quiet, failures: 0 };
    }
    case 'LIMITED':
      return { ...state, nextAt: now + outcome.retryAfterMs + random() * minute };
    case 'FAILED': {
      if (silentMs >= failingDays * day) return undefined;
      const failures = state.failures + 1;
      return { ...state, nextAt: now + backoffMs(failures, failed, random), failures };
    }
  }
}

function intervalOf(status: Status | undefined, quiet: number): number {
  const first = (status && intervals[status]) ?? otherwise;
  return Math.min(maxIntervalMs, first * 2 ** Math.min(quiet, 10));
}
