/** The streams in memory: all that are in use, and the most recently used of the idle ones. */
import { LRUCache } from 'lru-cache';
import { type AnyDecider, type Entry, isIdle, newEntry } from './entry.ts';
import { formerBytes } from './former-claims.ts';
import { cacheRequests } from './metrics.ts';
import { forget } from './recovery.ts';

export interface Cache {
  /** The stream's entry; it stays until it is released. Throws if the stream is in memory with another decider. */
  take(stream: string, decider: AnyDecider): Entry;
  /** The stream's entry, if it is in memory. */
  peek(stream: string): Entry | undefined;
  /** Allows the entry to be evicted, if it is idle. */
  release(entry: Entry): void;
  /** Drops all states: the log may have lost what they came from. */
  forget(): void;
  /** Resolves once all streams are idle. */
  drained(): Promise<void>;
}

/** Bounds of the idle streams. */
export interface CacheBounds {
  streams: number;
  /** Counted by `bytes` of the streams' deciders. */
  bytes: number;
}

/** What a stream with a small state takes, for example an order of three lines. */
const smallBytes = 2_000;

export function openCache({ streams, bytes: maxBytes }: CacheBounds): Cache {
  const active = new Map<string, Entry>();
  // Active streams may be in here, too: moving an entry to and fro for each command costs more than looking it up.
  const latest = new LRUCache<string, Entry>({ max: streams, maxSize: maxBytes });
  let whenDrained: (() => void)[] = [];

  function keep(entry: Entry): void {
    const { stream, decider, durable } = entry;
    // A stream that does not exist must not take the place of one that does.
    if (!durable || durable.version === 0) return;
    if (decider.forgetIdle?.(durable.state)) {
      latest.delete(stream);
      return;
    }
    const wanted = smallBytes + (decider.bytes?.(durable.state) ?? 0) + formerBytes(durable.former);
    // A state that needs all the space belongs to the busiest stream. It counts as half, which leaves room for others.
    const bytes = Math.ceil(Math.min(wanted, maxBytes / 2));
    if (latest.get(stream) === entry) {
      // States grow a little with each command. Updating the size each time would cost as much as storing the entry.
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
        throw new Error(`${stream} is used with two deciders; pass the same decider object to all calls of its entity`);
      cacheRequests.add(1, { entity: decider.entity.name, result: known?.durable ? 'hit' : 'miss' });
      const entry = known ?? newEntry(stream, decider);
      active.set(stream, entry);
      return entry;
    },
    peek: (stream) => active.get(stream) ?? latest.peek(stream),
    release(entry) {
      if (!isIdle(entry) || active.get(entry.stream) !== entry) return;
      active.delete(entry.stream);
      keep(entry);
      if (active.size > 0) return;
      for (const resolve of whenDrained) resolve();
      whenDrained = [];
    },
    forget() {
      // Of those that are evicted, too: a snapshot may be on its way.
      for (const entry of latest.values()) forget(entry);
      latest.clear();
      for (const entry of active.values()) forget(entry);
    },
    drained: () => (active.size === 0 ? Promise.resolve() : new Promise((resolve) => whenDrained.push(resolve))),
  };
}
