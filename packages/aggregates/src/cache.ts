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

/** What is kept of streams while nobody waits for them. */
export interface CacheBounds {
  streams: number;
  /** Counted by what deciders say of their states. */
  bytes: number;
}

/** What a stream takes whose state is small: an order of three lines, say. */
const smallBytes = 2_000;

export function openCache({ streams, bytes: maxBytes }: CacheBounds): Cache {
  const active = new Map<string, Entry>();
  // The latest used, active ones among them: moving an entry to and fro for each command costs more than looking it up.
  const latest = new LRUCache<string, Entry>({ max: streams, maxSize: maxBytes });
  let whenDrained: (() => void)[] = [];

  function keep(entry: Entry): void {
    const { stream, decider, durable } = entry;
    // A stream that does not exist is not worth the place of one that does.
    if (!durable || durable.version === 0) return;
    const wanted = smallBytes + (decider.bytes?.(durable.state) ?? 0);
    // One that would take the place of all others is the busiest of them: it may have half of it.
    const bytes = Math.ceil(Math.min(wanted, maxBytes / 2));
    if (latest.get(stream) === entry) {
      // States grow by a little with each command; counting each time would cost as much as keeping it.
      if (Math.abs(bytes - entry.cachedBytes) <= entry.cachedBytes / 10) return;
      latest.delete(stream);
    }
    entry.cachedBytes = bytes;
    latest.set(stream, entry, { size: bytes });
  }

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
      keep(entry);
      if (active.size > 0) return;
      for (const resolve of whenDrained) resolve();
      whenDrained = [];
    },
    drained: () => (active.size === 0 ? Promise.resolve() : new Promise((resolve) => whenDrained.push(resolve))),
  };
}
