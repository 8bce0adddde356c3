/**
 * Cache-aside over views: this process's memory, then Redis, then the store. Every entry has its view's version, so
 * that older entries are recognised, dropped and refused. See README, What it guarantees.
 */
import { counter, histogram } from '@caudal/telemetry/metrics.ts';
import { localTier } from './local.ts';
import { createReader } from './read.ts';
import type { Cache, CacheResult, Read } from './types.ts';

const reads = counter('cache_reads_total', 'Reads by result: local, redis, shared, miss, stale.');
const age = histogram(
  'cache_served_age_seconds',
  'Age of entries that were served without a load.',
  's',
  [0.001, 0.01, 0.1, 0.5, 1, 5, 10, 30, 60, 300],
);

export interface CacheOptions {
  /** If absent, only this process's memory is used. */
  redisUrl?: string;
  /** Separates caches, and is a label of the metrics; change it when the codec changes: 'wallet-balances.v2'. */
  namespace: string;
  /** How long this process's memory answers without reading Redis, in milliseconds; 1,000 if absent. */
  localTtlMs?: number;
  /** The most entries in this process's memory. */
  maxEntries: number;
}

/** Opens a cache. Waits at most a second for Redis, and continues without it if it is unreachable. */
export async function openCache({ redisUrl, namespace, localTtlMs = 1_000, maxEntries }: CacheOptions): Promise<Cache> {
  const local = localTier(maxEntries);
  // Loaded only if it is configured: the client of Redis takes 6 MiB.
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
