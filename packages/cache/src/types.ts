/** The options of a read, its result, and the cache. */
import type { Running } from '@caudal/kernel/lifetime.ts';
import type { CacheCodec } from './codec.ts';

/** What reads and writes of one key have in common. */
export interface Keyed<V> {
  key: string;
  /** How long an entry is fresh unless it is invalidated, in milliseconds. */
  ttlMs: number;
  codec: CacheCodec<V>;
  /**
   * The tags of a value: `dropTags` of one of them drops the entry. An entry with tags is kept for an hour at most. Give it in
   * every read of the key, or in none.
   */
  tags?(value: V): string[];
  /**
   * While the store can't be reached, an expired entry is served for this much longer, in milliseconds. Never one that
   * was invalidated. Not at all if absent.
   */
  staleIfErrorMs?: number;
  /** For metrics: the kind of value, of which there are few. */
  view?: string;
}

export interface Read<V> extends Keyed<V> {
  /** Reads the store. `version`: a whole number that grows with every change. Undefined if the view does not exist. */
  load(): Promise<{ value: V; version: number } | undefined>;
  /** If the entry has an older version, the store is read. The store's version is not checked. */
  minVersion?: number;
  /** The same, if one number is not enough: for a view that follows several streams, and a token of one of them. */
  satisfies?(value: V): boolean;
  /** How long it is cached that the view does not exist, in milliseconds. Not at all if absent. */
  absentTtlMs?: number;
  /** False: what is loaded may be old, so that it is not kept, nor shared with other reads. */
  keep?: boolean;
  /** An entry that is read often is loaded again before it ends (refresh-ahead), so that no read waits for it. */
  refreshAhead?: boolean;
}

/** A value that was just written to the store. */
export interface Written<V> extends Keyed<V> {
  value: V;
  version: number;
}

export interface CacheResult<V> {
  /** Undefined if the view does not exist. It is shared with other readers: never change it. */
  value: V | undefined;
  version: number;
  /** How long ago its load began, in milliseconds. It may be behind the store by this much. */
  ageMs: number;
  /** 'shared': from a load that another read had begun; 'stale': the store can't be reached. */
  source: 'local' | 'redis' | 'shared' | 'miss' | 'stale';
}

export interface Cache extends Running {
  /**
   * Reads through the cache. Fails only if `load` fails. An unreachable Redis costs at most 50 ms, and not in each
   * call.
   */
  read<V>(read: Read<V>): Promise<CacheResult<V>>;
  /**
   * Reports the current versions of views. Older entries are dropped here, in Redis and in other processes, and can't
   * return. If Redis is unreachable, it gets the invalidations later. Never fails.
   */
  invalidate(...invalidations: { key: string; version: number }[]): Promise<void>;
  /**
   * Write-through: invalidates, and puts the new values in the place of the old ones, so that no read misses after a write. The
   * store has them already. If Redis is unreachable, they are only invalidated. Never fails.
   */
  write<V>(...written: Written<V>[]): Promise<void>;
  /**
   * Drops all entries with one of these tags, here, in Redis and in other processes. Loads that began before can't bring them
   * back. Never fails; an unreachable Redis gets it later.
   */
  dropTags(...tags: string[]): Promise<void>;
}
