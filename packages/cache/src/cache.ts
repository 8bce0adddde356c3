/**
 * Cache-aside over views: first this process's memory, then Redis, then the store. What makes it safe is the version
 * that every entry carries:
 *
 * - `invalidate({ key, version })` says that the thing has reached this version. Older entries are dropped, and a mark stays
 *   behind that refuses a fill which was read before the change but arrives after it.
 * - A reader that must see a version (a consistency token) is given no older entry; it loads.
 * - Versions only grow. Where they can start again, as in a rebuilt read model, the key names the generation.
 */
import { counter, histogram } from '@caudal/telemetry/metrics.ts';
import { localTier } from './local.ts';
import { createReader } from './read.ts';
import type { Cache, CacheResult, Read } from './types.ts';

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

/** Opens a cache. Waits at most a second for Redis and goes on without it if it is away. */
export async function openCache({ redisUrl, namespace, localTtlMs = 1_000, maxEntries }: CacheOptions): Promise<Cache> {
  const local = localTier(maxEntries);
  // Loaded where it is configured: Redis' client takes 6 MiB.
  const shared =
    redisUrl === undefined
      ? undefined
      : await (await import('./shared.ts')).sharedTier(redisUrl, namespace, local.invalidate);
  const find = createReader({ local, shared, namespace, localTtlMs });
  return {
    async read<V>(read: Read<V>): Promise<CacheResult<V>> {
      const { entry, source } = await find(read);
      const ageMs = Math.max(0, Date.now() - entry.at);
      reads.add(1, { cache: namespace, result: source });
      if (source !== 'miss') age.record(ageMs / 1_000, { cache: namespace });
      return { value: entry.value as V | undefined, version: entry.version, ageMs, source };
    },
    async invalidate(...invalidations) {
      for (const { key, version } of invalidations) local.invalidate(key, version);
      await shared?.invalidate(invalidations);
    },
    async stop() {
      await shared?.stop();
    },
  };
}
