/** The cache inside this process: recently used entries, and the marks that invalidations leave. */
import { LRUCache } from 'lru-cache';

/** A loaded value. */
export interface Entry {
  /** Undefined if the view does not exist. */
  value: unknown;
  /** The view's version; 0 if it does not exist. */
  version: number;
  /** When its load began, in milliseconds since 1970. */
  at: number;
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

/** Entries and marks of one process; at most `maxEntries` of each. */
export function localTier(maxEntries: number) {
  const entries = new LRUCache<string, Kept>({ max: maxEntries });
  const marks = new LRUCache<string, number>({ max: maxEntries, ttl: markMs });
  const mark = (key: string) => marks.get(key) ?? 0;
  return {
    get: (key: string): Kept | undefined => entries.get(key),
    /** The version that the view is known to have reached; 0 if none is known. */
    mark,
    /** Stores the entry for `keepMs`. False, and nothing changes, if a newer version is known. */
    fill(key: string, entry: Entry, { answersUntil, keepMs }: { answersUntil: number; keepMs: number }): boolean {
      if (entry.version < mark(key) || entry.version < (entries.peek(key)?.entry.version ?? 0)) return false;
      entries.set(key, { entry, answersUntil }, { ttl: Math.max(1, keepMs) });
      return true;
    },
    /** Drops an entry that is older than this version, and refuses such fills from now on. */
    invalidate(key: string, version: number): void {
      if (version >= mark(key)) marks.set(key, version);
      const current = entries.peek(key);
      if (current && current.entry.version < version) entries.delete(key);
    },
  };
}

export type LocalTier = ReturnType<typeof localTier>;
