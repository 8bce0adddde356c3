/** When a component that runs in the background is beyond help: what /livez says 503 for, so that the process is restarted. */
import type { Clock } from '@caudal/kernel/time.ts';
import type { Feed } from '@caudal/messaging/types.ts';

export interface Watched<T> {
  /** To be used in the place of what is watched. */
  watched: T;
  /** What is wrong; undefined if all is well. */
  problem(): string | undefined;
}

/**
 * A feed that must not end before it is told to. A subscription heals from all that is away; one that has ended all the
 * same is a bug, and only a new process brings it back.
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

/** The clock of a loop that must look at it at least every `limitMs`. */
export function watchLoop(clock: Clock, limitMs: number): Watched<Clock> {
  let lookedAt = performance.now();
  return {
    watched: () => {
      lookedAt = performance.now();
      return clock();
    },
    problem: () =>
      performance.now() - lookedAt > limitMs ? `it has not gone round in ${limitMs / 60_000} minutes` : undefined,
  };
}
