/** Refresh-ahead, write-through, tags, the bound in bytes, and one load for all processes. */
import { randomUUID } from 'node:crypto';
import { unavailable } from '@caudal/kernel/errors.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { serverUrl } from '@caudal/testing/servers.ts';
import { startTcpProxy } from '@caudal/testing/tcp-proxy.ts';
import { afterEach, describe, expect, test } from '@jest/globals';
import { type CacheOptions, openCache } from './cache.ts';
import { codec, eventually, store } from './testing/cached-store.ts';
import type { Cache, Written } from './types.ts';

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function open(options: Partial<CacheOptions> = {}): Promise<Cache> {
  const cache = await openCache({ namespace: randomUUID(), maxEntries: 1_000, localTtlMs: 60_000, ...options });
  cleanups.push(() => cache.stop());
  return cache;
}

/** Renews once 28 % of an entry's time have passed. */
const eager = () => 1 - Number.EPSILON;
const written = (version: number, more: Partial<Written<{ name: string }>> = {}): Written<{ name: string }> => ({
  ...{ key: 'a', ttlMs: 60_000, codec, value: { name: `v${version}` }, version },
  ...more,
});

function behaves(redisUrl: () => string | undefined) {
  const openAny = (options: Partial<CacheOptions> = {}) => open({ redisUrl: redisUrl(), ...options });

  describe('refresh-ahead', () => {
    test('an entry that is read is renewed before it ends, and no read waits for that', async () => {
      const [cache, { state, read, hold }] = [await openAny({ random: eager }), store(1)];
      const reading = read({ ttlMs: 4_000, refreshAhead: true });
      await cache.read(reading);
      state.version = 2;
      const release = hold();
      const sources = new Set<string>();
      await eventually(async () => {
        const { source, value } = await cache.read(reading);
        expect(value).toEqual({ name: 'v1' });
        sources.add(source);
        return state.loads === 2;
      });
      release();
      await eventually(async () => (await cache.read(reading)).version === 2);
      expect([...sources]).toEqual(['local']);
      expect(state.loads).toBe(2);
    });

    test('without it, or far from the end, nothing is renewed', async () => {
      const { state, read } = store(1);
      const cache = await openAny({ random: eager });
      for (let i = 0; i < 50; i++) await cache.read(read({ refreshAhead: true }));
      const patient = await openAny({ random: () => 0 });
      for (const begun = Date.now(); Date.now() < begun + 300; )
        await patient.read(read({ key: 'b', ttlMs: 60_000, refreshAhead: true }));
      expect(state.loads).toBe(2);
    });

    test('at most 8 entries are renewed at once', async () => {
      const [cache, { state, read, hold }] = [await openAny({ random: eager }), store(1)];
      const readings = Array.from({ length: 30 }, (_, index) =>
        read({ key: `k${index}`, ttlMs: 4_000, refreshAhead: true }),
      );
      await Promise.all(readings.map((reading) => cache.read(reading)));
      expect(state.loads).toBe(30);
      const release = hold();
      await eventually(async () => {
        await Promise.all(readings.map((reading) => cache.read(reading)));
        return state.loads >= 38;
      });
      await Promise.all(readings.map((reading) => cache.read(reading)));
      expect(state.loads).toBe(38);
      release();
    });

    test('a read whose answer is not kept renews nothing: others would get it', async () => {
      const [cache, { state, read }] = [await openAny({ random: eager }), store(1)];
      await cache.read(read({ ttlMs: 4_000 }));
      const alone = read({ ttlMs: 4_000, refreshAhead: true, keep: false });
      for (const begun = Date.now(); Date.now() < begun + 3_000; ) {
        expect(await cache.read(alone)).toMatchObject({ version: 1, source: 'local' });
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      expect(state.loads).toBe(1);
    });

    test('a renewal that fails changes nothing: the entry is served until its end', async () => {
      const [cache, { state, read }] = [await openAny({ random: eager }), store(1)];
      const reading = read({ ttlMs: 4_000, refreshAhead: true });
      await cache.read(reading);
      state.error = unavailable('MongoDB');
      await eventually(async () => {
        expect(await cache.read(reading)).toMatchObject({ version: 1, source: 'local' });
        return state.loads >= 2;
      });
      expect(await cache.read(reading)).toMatchObject({ version: 1 });
    });

    test('a renewal that began before an invalidation does not bring the old value back', async () => {
      const [cache, { state, read, hold }] = [await openAny({ random: eager }), store(1)];
      const reading = read({ ttlMs: 4_000, refreshAhead: true });
      await cache.read(reading);
      const release = hold();
      await eventually(async () => {
        await cache.read(reading);
        return state.loads === 2;
      });
      state.version = 2;
      await cache.invalidate({ key: 'a', version: 2 });
      release();
      expect((await cache.read(reading)).version).toBe(2);
    });
  });

  describe('write-through', () => {
    test('the next read has what was written, without a load', async () => {
      const [cache, { state, read }] = [await openAny(), store(1)];
      await cache.read(read());
      await cache.write(written(2));
      expect(await cache.read(read())).toMatchObject({ value: { name: 'v2' }, version: 2, source: 'local' });
      expect(state.loads).toBe(1);
    });

    test('an older write, or a load from before it, does not replace it', async () => {
      const [cache, { state, read, hold }] = [await openAny(), store(1)];
      const release = hold();
      const slow = cache.read(read());
      await eventually(() => state.loads === 1);
      await cache.write(written(3));
      await cache.write(written(2));
      release();
      expect((await slow).version).toBe(1);
      expect(await cache.read(read())).toMatchObject({ value: { name: 'v3' }, version: 3, source: 'local' });
    });

    test('of hundreds at once', async () => {
      const [cache, { state, read }] = [await openAny(), store(1)];
      await cache.write(...Array.from({ length: 350 }, (_, index) => written(1, { key: `k${index}` })));
      for (const key of ['k0', 'k199', 'k349']) expect((await cache.read(read({ key }))).source).toBe('local');
      expect(state.loads).toBe(0);
    });
  });

  describe('tags', () => {
    const tags = ({ name }: { name: string }) => [`product/${name}`, 'all'];

    test('a tag drops all entries that have it, and no others', async () => {
      const [cache, { state, read }] = [await openAny(), store(1)];
      const keys = ['a', 'b', 'c'];
      for (const key of keys) await cache.read(read({ key, tags: () => [key === 'c' ? 'product/2' : 'product/1'] }));
      expect(state.loads).toBe(3);
      await cache.dropTags('product/1', 'unknown');
      const sources = [];
      for (const key of keys)
        sources.push((await cache.read(read({ key, tags: () => [key === 'c' ? 'product/2' : 'product/1'] }))).source);
      expect(sources).toEqual(['miss', 'miss', 'local']);
    });

    test('a load that began before the drop is not kept', async () => {
      const [cache, { state, read, hold }] = [await openAny(), store(1)];
      const release = hold();
      const slow = cache.read(read({ tags }));
      await eventually(() => state.loads === 1);
      await cache.dropTags('product/v1');
      release();
      await slow;
      expect((await cache.read(read({ tags }))).source).toBe('miss');
      expect((await cache.read(read({ tags }))).source).toBe('local');
    });

    test('more drops than can be remembered refuse all loads from before them', async () => {
      const [cache, { state, read, hold }] = [await openAny({ maxEntries: 10 }), store(1)];
      const release = hold();
      const slow = cache.read(read({ tags }));
      await eventually(() => state.loads === 1);
      await cache.dropTags('product/v1', ...Array.from({ length: 20 }, (_, index) => `other/${index}`));
      release();
      await slow;
      expect((await cache.read(read({ tags }))).source).toBe('miss');
    });
  });

  test('memory is bounded in bytes: what was not read for the longest time goes first', async () => {
    const [cache, { state, read }] = [await openAny({ localTtlMs: 60_000, maxBytes: 20_000 }), store(1)];
    const load = async () => {
      state.loads++;
      return { value: { name: 'x'.repeat(1_000) }, version: 1 };
    };
    // About 3.4 kB each.
    for (let index = 0; index < 10; index++) await cache.read(read({ key: `k${index}`, load }));
    const sources = [];
    for (const index of [9, 8, 0]) sources.push((await cache.read(read({ key: `k${index}`, load }))).source);
    expect(sources.slice(0, 2)).toEqual(['local', 'local']);
    expect(sources[2]).not.toBe('local');
    // One that has no room at all is served, and not kept.
    const large = read({ key: 'large', load: async () => ({ value: { name: 'x'.repeat(30_000) }, version: 1 }) });
    expect((await cache.read(large)).source).toBe('miss');
    expect((await cache.read(large)).source).not.toBe('local');
    expect((await cache.read(read({ key: 'k9', load }))).source).toBe('local');
  });
}

describe('in memory', () => {
  behaves(() => undefined);
});

describeWith(['redis'], 'with Redis', () => {
  behaves(() => serverUrl('redis'));
  const openTwo = async (options: Partial<CacheOptions> = {}) => {
    const shared = { namespace: randomUUID(), redisUrl: serverUrl('redis'), ...options };
    return [await open(shared), await open(shared), shared] as const;
  };

  test('a stampede of five processes on one key is one load', async () => {
    const shared = { namespace: randomUUID(), redisUrl: serverUrl('redis') };
    const caches = await Promise.all(Array.from({ length: 5 }, () => open(shared)));
    const { state, read, hold } = store(1);
    const release = hold();
    const all = caches.flatMap((cache) => Array.from({ length: 50 }, () => cache.read(read())));
    await eventually(() => state.loads >= 1);
    release();
    expect(new Set((await Promise.all(all)).map(({ version }) => version))).toEqual(new Set([1]));
    expect(state.loads).toBeLessThanOrEqual(2);
  });

  test('a load of another process that takes too long, or whose process dies, is not waited for', async () => {
    const [one, other] = await openTwo();
    const { state, read, hold } = store(1);
    const release = hold();
    const slow = one.read(read());
    await eventually(() => state.loads === 1);
    const begun = performance.now();
    const second = other.read(read());
    await eventually(() => state.loads === 2);
    expect(performance.now() - begun).toBeGreaterThan(300);
    release();
    await Promise.all([slow, second]);
  });

  test('only one process renews', async () => {
    const [one, other] = await openTwo({ random: eager });
    const { state, read, hold } = store(1);
    const reading = read({ ttlMs: 4_000, refreshAhead: true });
    await one.read(reading);
    await other.read(reading);
    expect(state.loads).toBe(1);
    const release = hold();
    await eventually(async () => {
      await Promise.all([one.read(reading), other.read(reading)]);
      return state.loads === 2;
    });
    for (let i = 0; i < 20; i++) await Promise.all([one.read(reading), other.read(reading)]);
    expect(state.loads).toBe(2);
    release();
  });

  test('what one process writes through, another one reads from Redis', async () => {
    const [projector, query] = await openTwo();
    const { state, read } = store(1);
    await query.read(read());
    await projector.write(written(2));
    await eventually(async () => (await query.read(read())).version === 2);
    expect(state.loads).toBe(1);
  });

  test('a tag that one process drops is dropped in the others, also for loads that are under way', async () => {
    const [projector, query, shared] = await openTwo();
    const { state, read, hold } = store(1);
    const reading = read({ tags: () => ['product/1'] });
    await query.read(reading);
    await projector.dropTags('product/1');
    await eventually(async () => (await query.read(reading)).source === 'miss');
    // A process that has heard of no drop finds that Redis has refused what was loaded before it.
    const before = state.loads;
    const release = hold();
    const slow = query.read(read({ tags: () => ['product/1'], key: 'b' }));
    await eventually(() => state.loads === before + 1);
    await projector.dropTags('product/1');
    release();
    await slow;
    const fresh = await open(shared);
    expect((await fresh.read(read({ tags: () => ['product/1'], key: 'b' }))).source).toBe('miss');
    expect((await query.read(read({ tags: () => ['product/1'], key: 'b' }))).source).not.toBe('miss');
  });

  test('drops and writes while Redis is unreachable: the drops follow when it is back', async () => {
    const way = await startTcpProxy(serverUrl('redis'));
    cleanups.push(() => way.close());
    const namespace = randomUUID();
    const projector = await open({ redisUrl: way.url, namespace });
    const query = await open({ redisUrl: serverUrl('redis'), namespace, localTtlMs: 0 });
    const { read } = store(1);
    const tagged = read({ key: 't', tags: () => ['product/1'] });
    await query.read(tagged);
    await query.read(read());
    way.refuse(true);
    way.cut();
    await projector.dropTags('product/1');
    await projector.write(written(2));
    expect((await query.read(tagged)).source).toBe('redis');
    way.refuse(false);
    await eventually(async () => (await query.read(tagged)).source === 'miss');
    await eventually(async () => (await query.read(read())).source === 'miss');
  });
});
