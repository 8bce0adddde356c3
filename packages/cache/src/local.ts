/** The cache inside this process: recently used entries, and the marks that invalidations leave. Bounded in number and bytes. */
import { counter } from '@caudal/telemetry/metrics.ts';
import { LRUCache } from 'lru-cache';

const evicted = counter(
  'cache_evictions_total',
  'Entries that left the memory of a process for want of room, before their time.',
);

/** A loaded value. */
export interface Entry {
  /** Undefined if the view does not exist. */
  value: unknown;
  /** The view's version; 0 if it does not exist. */
  version: number;
  /** When its load began, in milliseconds since 1970. */
  at: number;
  /** Its length as it is encoded. */
  bytes: number;
  tags: string[];
}

/**
 * How long a mark lasts, in milliseconds. It must outlast every load that began before the invalidation, so values
 * whose load took longer than half of this are not cached.
 */
export const markMs = 60_000;

interface Kept {
  entry: Entry;
  /**
   * Until when it is served without reading Redis or the store; of performance.now(), since a wall clock may be set
   * back.
   */
  answersUntil: number;
}

export interface LocalOptions {
  namespace: string;
  maxEntries: number;
  maxBytes: number;
}

interface Filling {
  answersUntil: number;
  keepMs: number;
  /** What `moment` gave before the load began. */
  since: number;
}

/** An estimate: an object takes about three times its JSON, and its places in the maps some hundred bytes. See README, Choices. */
const sizeOf = (key: string, { bytes, tags }: Entry) =>
  400 + 2 * key.length + 3 * bytes + tags.reduce((sum, tag) => sum + 100 + 2 * tag.length, 0);

/** Entries, marks and tags of one process. */
export function localTier({ namespace, maxEntries, maxBytes }: LocalOptions) {
  /** By tag: the keys of entries that have it. */
  const tagged = new Map<string, Set<string>>();
  /** Counts the drops of tags. */
  let drops = 0;
  /** The last drop that `dropped` has forgotten. */
  let forgotten = 0;
  const dropped = new LRUCache<string, number>({
    max: maxEntries,
    dispose(drop, _, reason) {
      if (reason === 'evict') forgotten = Math.max(forgotten, drop);
    },
  });
  const untag = ({ entry: { tags } }: Kept, key: string) => {
    for (const tag of tags) {
      const keys = tagged.get(tag);
      keys?.delete(key);
      if (keys?.size === 0) tagged.delete(tag);
    }
  };
  const entries = new LRUCache<string, Kept>({
    max: maxEntries,
    maxSize: maxBytes,
    sizeCalculation: ({ entry }, key) => sizeOf(key, entry),
    dispose(kept, key, reason) {
      untag(kept, key);
      if (reason === 'evict') evicted.add(1, { cache: namespace });
    },
  });
  const marks = new LRUCache<string, number>({ max: maxEntries, ttl: markMs });
  const mark = (key: string) => marks.get(key) ?? 0;
  const isDropped = (tags: string[], since: number) =>
    tags.length > 0 && (forgotten > since || tags.some((tag) => (dropped.get(tag) ?? 0) > since));
  return {
    get: (key: string): Kept | undefined => entries.get(key),
    /** The version that the view is known to have reached; 0 if none is known. */
    mark,
    /** To be remembered when a load begins: drops of tags after it refuse what was loaded. */
    moment: () => drops,
    /** What the entries take of memory, in bytes. */
    bytes: () => entries.calculatedSize,
    /** Stores the entry for `keepMs`. False, and nothing changes, if a newer version or a drop of its tags is known. */
    fill(key: string, entry: Entry, { answersUntil, keepMs, since }: Filling): boolean {
      if (entry.version < mark(key) || entry.version < (entries.peek(key)?.entry.version ?? 0)) return false;
      if (isDropped(entry.tags, since)) return false;
      entries.set(key, { entry, answersUntil }, { ttl: Math.max(1, keepMs) });
      if (!entries.has(key)) return true;
      for (const tag of entry.tags) {
        const keys = tagged.get(tag);
        if (keys) keys.add(key);
        else tagged.set(tag, new Set([key]));
      }
      return true;
    },
    /** Drops an entry that is older than this version, and refuses such fills from now on. */
    invalidate(key: string, version: number): void {
      if (version >= mark(key)) marks.set(key, version);
      const current = entries.peek(key);
      if (current && current.entry.version < version) entries.delete(key);
    },
    /** Drops the entries with this tag, and refuses those whose load has begun before. */
    dropTag(tag: string): void {
      drops += 1;
      dropped.set(tag, drops);
      for (const key of [...(tagged.get(tag) ?? [])]) entries.delete(key);
    },
  };
}

export type LocalTier = ReturnType<typeof localTier>;
