/**
 * A cache over views: this process's memory, then Redis, then the store. Every entry has its view's version, so that older entries
 * are recognised, dropped and refused. See README, What it guarantees, and docs/caching.md for the strategies.
 */
import { counter, gauge, histogram } from '@caudal/telemetry/metrics.ts';
import { localTier } from './local.ts';
import { createReader } from './read.ts';
import { openTiers } from './tiers.ts';
import type { Cache, CacheResult, Read, Written } from './types.ts';

const reads = counter('cache_reads_total', 'Reads by result: local, redis, shared, miss, stale.');
const age = histogram(
  'cache_served_age_seconds',
  'Age of entries that were served without a load.',
  's',
  [0.001, 0.01, 0.1, 0.5, 1, 5, 10, 30, 60, 300],
);
const writes = counter('cache_writes_total', 'Values that were put into the cache when they were written.');
const drops = counter('cache_tag_drops_total', 'Tags whose entries were dropped by this process.');
const bytes = gauge(
  'cache_bytes',
  'What the entries in the memory of a process take, estimated from their lengths.',
  'By',
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
  /** The most bytes of this process's memory, estimated; 64 MiB if absent. An entry that alone has more is not kept. */
  maxBytes?: number;
  /** From 0 to 1; for tests. */
  random?(): number;
}

/** Opens a cache. Waits at most a second for Redis, and continues without it if it is unreachable. */
export async function openCache(options: CacheOptions): Promise<Cache> {
  const { redisUrl, namespace, localTtlMs = 1_000, maxEntries, maxBytes = 64 * 2 ** 20, random } = options;
  const local = localTier({ namespace, maxEntries, maxBytes });
  // Loaded only if it is configured: the client of Redis takes 6 MiB.
  const shared =
    redisUrl === undefined ? undefined : await (await import('./shared.ts')).sharedTier(redisUrl, namespace, local);
  const tiers = openTiers({ local, shared, namespace, localTtlMs });
  const find = createReader({ tiers, namespace, random });
  const invalidate = async (invalidations: { key: string; version: number }[]) => {
    for (const { key, version } of invalidations) local.invalidate(key, version);
    await shared?.invalidate(invalidations);
  };
  return {
    async read<V>(read: Read<V>): Promise<CacheResult<V>> {
      const { entry, source } = await find(read);
      const ageMs = Math.max(0, Date.now() - entry.at);
      const labels = { cache: namespace, view: read.view ?? '' };
      reads.add(1, { ...labels, result: source });
      if (source === 'miss') bytes.set(local.bytes(), { cache: namespace });
      else age.record(ageMs / 1_000, labels);
      return { value: entry.value as V | undefined, version: entry.version, ageMs, source };
    },
    async invalidate(...invalidations) {
      await invalidate(invalidations);
    },
    async write<V>(...written: Written<V>[]) {
      // In parts, so that they fit into the queue of the client. First the values: between the two no read misses.
      for (let place = 0; place < written.length; place += writesAtOnce) {
        const batch = written.slice(place, place + writesAtOnce);
        await tiers.write(batch);
        await invalidate(batch);
      }
      if (written.length > 0) writes.add(written.length, { cache: namespace, view: written[0]!.view ?? '' });
    },
    async dropTags(...tags) {
      for (const tag of tags) local.dropTag(tag);
      await shared?.dropTags(tags);
      drops.add(tags.length, { cache: namespace });
    },
    async stop() {
      await shared?.stop();
    },
  };
}

const writesAtOnce = 100;
