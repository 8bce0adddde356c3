/** What a reader says about a read, and what it gets. */
import type { Running } from '@caudal/kernel/lifetime.ts';
import type { CacheCodec } from './codec.ts';

export interface Read<V> {
  key: string;
  /** How long an entry is good without anybody saying otherwise, in milliseconds. */
  ttlMs: number;
  /** Reads the store. `version`: a whole number that grows with every change. Undefined: there is no such thing. */
  load(): Promise<{ value: V; version: number } | undefined>;
  codec: CacheCodec<V>;
  /** The entry must have at least this version, or the store is asked. What the store says is not checked. */
  minVersion?: number;
  /** The same, where one number can't say it: a view that follows several streams, and a token of one of them. */
  satisfies?(value: V): boolean;
  /** How long it is remembered that there is nothing, in milliseconds. Not at all if absent. */
  absentTtlMs?: number;
  /**
   * While the store can't be reached, an entry that has outlived its time is served for this much longer, in
   * milliseconds. Never one that was invalidated. Not at all if absent.
   */
  staleIfErrorMs?: number;
}

export interface CacheResult<V> {
  /** Undefined: there is no such thing. Shared with other readers: never change it. */
  value: V | undefined;
  version: number;
  /** How long ago its load began, in milliseconds: what it may be behind. */
  ageMs: number;
  /** 'shared': from a load that somebody else had begun; 'stale': the store can't be reached. */
  source: 'local' | 'redis' | 'shared' | 'miss' | 'stale';
}

export interface Cache extends Running {
  /** Reads through the cache. Fails only as `load` fails; Redis being away costs at most 50 ms, and not each time. */
  read<V>(read: Read<V>): Promise<CacheResult<V>>;
  /**
   * Says that things have these versions now: older entries are dropped here and in Redis and can't come back; other
   * processes hear it. If Redis is away it is told later. Never fails.
   */
  invalidate(...invalidations: { key: string; version: number }[]): Promise<void>;
}
