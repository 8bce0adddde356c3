/** The cache inside this process: what was seen in the last moments, and the marks that invalidations leave. */
import { LRUCache } from 'lru-cache';

/** Something as it was loaded. `value` is undefined where there was nothing. */
export interface Entry {
  value: unknown;
  /** Of the thing; 0 where there was nothing. */
  version: number;
  /** When its load began, in milliseconds since 1970. */
  at: number;
}

/**
 * How long a mark lasts, in milliseconds. It has to outlive every load that began before the invalidation, so what took
 * longer to load is never kept.
 */
export const markMs = 60_000;

interface Kept {
  entry: Entry;
  /** Until when it answers without anybody being asked, by performance.now(): a wall clock may be set back. */
  answersUntil: number;
}

/** Entries and marks of one process; at most `maxEntries` of each. */
export function localTier(maxEntries: number) {
  const entries = new LRUCache<string, Kept>({ max: maxEntries });
  const marks = new LRUCache<string, number>({ max: maxEntries, ttl: markMs });
  const mark = (key: string) => marks.get(key) ?? 0;
  return {
    get: (key: string): Kept | undefined => entries.get(key),
    /** The version that the thing is known to have reached; 0 if nothing is known. */
    mark,
    /** Keeps the entry for `keepMs`, unless something newer is known: then false. */
    fill(key: string, entry: Entry, { answersUntil, keepMs }: { answersUntil: number; keepMs: number }): boolean {
      if (entry.version < mark(key) || entry.version < (entries.peek(key)?.entry.version ?? 0)) return false;
      entries.set(key, { entry, answersUntil }, { ttl: Math.max(1, keepMs) });
      return true;
    },
    /** Drops what is older than this version and refuses it from now on. */
    invalidate(key: string, version: number): void {
      if (version >= mark(key)) marks.set(key, version);
      const current = entries.peek(key);
      if (current && current.entry.version < version) entries.delete(key);
    },
  };
}

export type LocalTier = ReturnType<typeof localTier>;
