/** Detects background components that only a restart can repair: /livez then answers 503. */
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
  return { watched: { ...feed, run }, problem: () => ended };
}

export interface WatchedRounds {
  /** To be called in each round of a loop. */
  onRound(loop: string): void;
  /** Names a loop that has made no round for too long; undefined if all are well. */
  problem(): string | undefined;
}

/** Watches loops that must each make a round at least every `limitMs`, from now on. */
export function watchRounds(loops: string[], limitMs: number): WatchedRounds {
  const rounds = new Map(loops.map((loop) => [loop, performance.now()]));
  return {
    onRound: (loop) => void rounds.set(loop, performance.now()),
    problem() {
      const stuck = [...rounds].find(([, at]) => performance.now() - at > limitMs);
      return stuck && `${stuck[0]} has made no round for ${limitMs / 60_000} minutes`;
    },
  };
}
