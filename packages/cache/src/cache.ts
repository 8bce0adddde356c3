/**
 * Cache-aside over views: first this process's memory, then Redis, then the store. What makes it safe is the version
 * that every entry carries:
 *
 * - `invalidate(key, version)` says that the thing has reached this version. Older entries are dropped, and a mark stays
 *   behind that refuses a fill which was read before the change but arrives after it.
 * - A reader that must see a version (a consistency token) is given no older entry; it loads.
 * - Versions only grow. Where they can start again, as in a rebuilt read model, the key names the generation.
 */
import type { Running } from '@caudal/kernel/lifetime.ts';
import { counter, histogram } from '@caudal/telemetry/metrics.ts';
import type { CacheCodec } from './codec.ts';
import { localTier } from './local.ts';
import { createReader } from './read.ts';
import { sharedTier } from './shared.ts';

const reads = counter('cache_reads_total', 'Reads by result: local, redis, shared, miss, stale.');
const age = histogram(
  'cache_served_age_seconds',
  'Age of what was served without a load.',
  's',
  [0.001, 0.01, 0.1, 0.5, 1, 5, 10, 30, 60, 300],
);

export interface CacheOptions {
  /** Without it there is only this process's memory. */
  redisUrl?: string;
  /** Keeps caches apart and names the metrics; change it when the codec changes: 'wallet-balances.v2'. */
  namespace: string;
  /** How long this process's memory answers without asking Redis, in milliseconds; 1,000 if absent. */
  localTtlMs?: number;
  /** How many things this process's memory holds. */
  maxEntries: number;
}

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
   * Says that the thing has this version now: older entries are dropped here and in Redis and can't come back; other
   * processes hear it. If Redis is away it is told later. Never fails.
   */
  invalidate(key: string, version: number): Promise<void>;
}

/** Opens a cache. Waits at most a second for Redis and goes on without it if it is away. */
export async function openCache({ redisUrl, namespace, localTtlMs = 1_000, maxEntries }: CacheOptions): Promise<Cache> {
  const local = localTier(maxEntries);
  const shared = redisUrl === undefined ? undefined : await sharedTier(redisUrl, namespace, local.invalidate);
  const find = createReader({ local, shared, namespace, localTtlMs });
  return {
    async read<V>(read: Read<V>): Promise<CacheResult<V>> {
      const { entry, source } = await find(read);
      const ageMs = Math.max(0, Date.now() - entry.at);
      reads.add(1, { cache: namespace, result: source });
      if (source !== 'miss') age.record(ageMs / 1_000, { cache: namespace });
      return { value: entry.value as V | undefined, version: entry.version, ageMs, source };
    },
    async invalidate(key, version) {
      local.invalidate(key, version);
      await shared?.invalidate(key, version);
    },
    async stop() {
      await shared?.stop();
    },
  };
}
