/** The streams in memory: those that somebody waits for, and the latest used of the others. */
import { LRUCache } from 'lru-cache';
import { type AnyDecider, type Entry, isIdle, newEntry } from './entry.ts';
import { cacheRequests } from './metrics.ts';

export interface Cache {
  /** The stream's entry; stays until it is released. Throws if the stream is known with another decider. */
  take(stream: string, decider: AnyDecider): Entry;
  /** Lets the entry be evicted, if nobody waits for it any more. */
  release(entry: Entry): void;
  /** Resolves once nobody waits for any stream. */
  drained(): Promise<void>;
}

/** `size`: how many streams are remembered while nobody waits for them. */
export function openCache(size: number): Cache {
  const active = new Map<string, Entry>();
  // The latest used, active ones among them: moving an entry to and fro for each command costs more than looking it up.
  const latest = new LRUCache<string, Entry>({ max: size });
  let whenDrained: (() => void)[] = [];

  return {
    take(stream, decider) {
      const known = active.get(stream) ?? latest.get(stream);
      if (known && known.decider !== decider)
        throw new Error(`${stream} is used with two deciders: states of the one mean nothing to the other`);
      cacheRequests.add(1, { entity: decider.entity.name, result: known?.durable ? 'hit' : 'miss' });
      const entry = known ?? newEntry(stream, decider);
      active.set(stream, entry);
      return entry;
    },
    release(entry) {
      if (!isIdle(entry) || active.get(entry.stream) !== entry) return;
      active.delete(entry.stream);
      // A stream that does not exist is not worth the place of one that does.
      if (entry.durable && entry.durable.version > 0 && latest.get(entry.stream) !== entry)
        latest.set(entry.stream, entry);
      if (active.size > 0) return;
      for (const resolve of whenDrained) resolve();
      whenDrained = [];
    },
    drained: () => (active.size === 0 ? Promise.resolve() : new Promise((resolve) => whenDrained.push(resolve))),
  };
}
