/** The options of a read, its result, and the cache. */
import type { Running } from '@caudal/kernel/lifetime.ts';
import type { CacheCodec } from './codec.ts';

export interface Read<V> {
  key: string;
  /** How long an entry is fresh unless it is invalidated, in milliseconds. */
  ttlMs: number;
  /** Reads the store. `version`: a whole number that grows with every change. Undefined if the view does not exist. */
  load(): Promise<{ value: V; version: number } | undefined>;
  codec: CacheCodec<V>;
  /** If the entry has an older version, the store is read. The store's version is not checked. */
  minVersion?: number;
  /** The same, if one number is not enough: for a view that follows several streams, and a token of one of them. */
  satisfies?(value: V): boolean;
  /** How long it is cached that the view does not exist, in milliseconds. Not at all if absent. */
  absentTtlMs?: number;
  /**
   * While the store can't be reached, an expired entry is served for this much longer, in milliseconds. Never one that
   * was invalidated. Not at all if absent.
   */
  staleIfErrorMs?: number;
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
}
