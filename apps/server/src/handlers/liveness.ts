/** Detects background components that only a restart can repair: /livez then answers 503. */
import type { Clock } from '@caudal/kernel/time.ts';
import type { Feed } from '@caudal/messaging/types.ts';

export interface Watched<T> {
  /** Use this instead of the component that is watched. */
  watched: T;
  /** The problem; undefined if the component is healthy. */
  problem(): string | undefined;
}

/**
 * Watches a feed that must not end before its signal. A subscription recovers from every outage; if it has ended
 * nevertheless, that is a bug, and only a new process starts it again.
 */
export function watchFeed(feed: Feed): Watched<Feed> {
  let ended: string | undefined;
  const run: Feed['run'] = async (deliver, signal) => {
    try {
      await feed.run(deliver, signal);
      if (!signal.aborted) ended = 'it has ended';
    } catch (error) {
      ended = `it has ended: ${(error as Error).message}`;
      throw error;
    }
  };
  return { watched: { run }, problem: () => ended };
}

/** Watches a loop by its clock, which the loop must read at least every `limitMs`. */
export function watchLoop(clock: Clock, limitMs: number): Watched<Clock> {
  let lookedAt = performance.now();
  return {
    watched: () => {
      lookedAt = performance.now();
      return clock();
    },
    problem: () =>
      performance.now() - lookedAt > limitMs ? `it has made no round for ${limitMs / 60_000} minutes` : undefined,
  };
}
