import { randomUUID } from 'node:crypto';
import { unavailable } from '@caudal/kernel/errors.ts';
import { sleep } from '@caudal/kernel/time.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { serverUrl } from '@caudal/testing/servers.ts';
import { startTcpProxy } from '@caudal/testing/tcp-proxy.ts';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { createClient } from 'redis';
import { type CacheOptions, openCache } from './cache.ts';
import { eventually, store } from './testing/cached-store.ts';
import type { Cache } from './types.ts';

async function wayToRedis() {
  const proxy = await startTcpProxy(serverUrl('redis'));
  cleanups.push(() => proxy.close());
  return {
    ...proxy,
    away(on: boolean) {
      proxy.refuse(on);
      if (on) proxy.cut();
    },
  };
}

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function open(options: Partial<CacheOptions> = {}): Promise<Cache> {
  const cache = await openCache({ namespace: randomUUID(), maxEntries: 100, ...options });
  cleanups.push(() => cache.stop());
  return cache;
}

/** Tests that hold with Redis and without. */
function behaves(redisUrl: () => string | undefined) {
  // Memory answers for longer than a test takes on any machine.
  const openAny = (options: Partial<CacheOptions> = {}) =>
    open({ redisUrl: redisUrl(), localTtlMs: 60_000, ...options });

  test('the second read needs no load', async () => {
    const [cache, { state, read }] = [await openAny(), store(7)];
    expect(await cache.read(read())).toMatchObject({ value: { name: 'v7' }, version: 7, source: 'miss' });
    state.version = 8;
    expect(await cache.read(read())).toMatchObject({ value: { name: 'v7' }, version: 7, source: 'local' });
    expect(state.loads).toBe(1);
  });

  test('an invalidation drops older entries only', async () => {
    const [cache, { state, read }] = [await openAny(), store(7)];
    await cache.read(read());
    await cache.invalidate({ key: 'a', version: 7 });
    await cache.read(read());
    expect(state.loads).toBe(1);
    state.version = 8;
    await cache.invalidate({ key: 'a', version: 8 });
    expect(await cache.read(read())).toMatchObject({ version: 8, source: 'miss' });
    await cache.invalidate({ key: 'a', version: 7 });
    expect(await cache.read(read())).toMatchObject({ version: 8, source: 'local' });
  });

  test('memory does not answer for longer if the clock is set back', async () => {
    const cache = await open({ redisUrl: redisUrl(), localTtlMs: 20 });
    const { state, read } = store(7);
    await cache.read(read());
    state.version = 8;
    const now = Date.now;
    const clock = jest.spyOn(Date, 'now').mockImplementation(() => now() - 3_600_000);
    try {
      await sleep(30);
      const { source } = await cache.read(read());
      expect(source).toBe(redisUrl() ? 'redis' : 'miss');
    } finally {
      clock.mockRestore();
    }
  });

  test('a fill that was read before an invalidation is refused', async () => {
    const [cache, { state, read, hold }] = [await openAny(), store(1)];
    const release = hold();
    const slow = cache.read(read());
    await eventually(() => state.loads === 1);
    state.version = 2;
    await cache.invalidate({ key: 'a', version: 2 });
    release();
    expect(await slow).toMatchObject({ version: 1 });
    expect(await cache.read(read())).toMatchObject({ version: 2, source: 'miss' });
    expect(await cache.read(read())).toMatchObject({ version: 2, source: 'local' });
  });

  test('many reads at once share one load', async () => {
    const [cache, { state, read, hold }] = [await openAny(), store()];
    const release = hold();
    const all = Promise.all(Array.from({ length: 50 }, () => cache.read(read())));
    await eventually(() => state.loads === 1);
    release();
    const sources = (await all).map(({ source }) => source);
    expect(sources.filter((source) => source === 'miss')).toHaveLength(1);
    expect(sources.filter((source) => source === 'shared')).toHaveLength(49);
    expect(state.loads).toBe(1);
  });

  test('reads that join a load which has become too old share one more', async () => {
    const [cache, { state, read, hold }] = [await openAny(), store(1)];
    const release = hold();
    const early = cache.read(read());
    await eventually(() => state.loads === 1);
    state.version = 2;
    await cache.invalidate({ key: 'a', version: 2 });
    const late = Promise.all(Array.from({ length: 10 }, () => cache.read(read())));
    release();
    expect((await early).version).toBe(1);
    expect((await late).map(({ version }) => version)).toEqual(Array(10).fill(2));
    expect(state.loads).toBe(2);
  });

  test('a token is checked against the cached version, and its wait delays no other read', async () => {
    const [cache, { state, read, hold }] = [await openAny(), store(4)];
    await cache.read(read());
    expect(await cache.read(read({ minVersion: 4 }))).toMatchObject({ source: 'local' });
    state.version = 5;
    const release = hold();
    const waiting = cache.read(read({ minVersion: 5 }));
    await eventually(() => state.loads === 2);
    expect(await cache.read(read())).toMatchObject({ version: 4, source: 'local' });
    release();
    expect(await waiting).toMatchObject({ version: 5, source: 'miss' });
    expect(await cache.read(read({ satisfies: (view) => view.name === 'v5' }))).toMatchObject({ source: 'local' });
    expect(await cache.read(read({ satisfies: (view) => view.name === 'v6' }))).toMatchObject({ source: 'miss' });
  });

  test('entries expire', async () => {
    const [cache, { state, read }] = [await openAny(), store()];
    await cache.read(read({ ttlMs: 20 }));
    await eventually(async () => (await cache.read(read({ ttlMs: 20 }))).source === 'miss');
    expect(state.loads).toBe(2);
  });

  test('absence is cached only with absentTtlMs, and ends when the view is created', async () => {
    const [cache, { state, read }] = [await openAny(), store()];
    state.exists = false;
    for (const loads of [1, 2]) {
      expect(await cache.read(read())).toMatchObject({ value: undefined, version: 0, source: 'miss' });
      expect(state.loads).toBe(loads);
    }
    await cache.read(read({ absentTtlMs: 60_000 }));
    expect(await cache.read(read({ absentTtlMs: 60_000 }))).toMatchObject({ value: undefined, source: 'local' });
    state.exists = true;
    await cache.invalidate({ key: 'a', version: 1 });
    expect(await cache.read(read({ absentTtlMs: 60_000 }))).toMatchObject({ value: { name: 'v1' } });
  });

  test('an error of the load fails all reads that wait for it, and is not cached', async () => {
    const [cache, { state, read, hold }] = [await openAny(), store()];
    state.error = new Error('broken');
    const release = hold();
    const both = Promise.allSettled([cache.read(read()), cache.read(read())]);
    await eventually(() => state.loads === 1);
    release();
    expect((await both).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(state.loads).toBe(1);
    state.error = undefined;
    expect(await cache.read(read())).toMatchObject({ source: 'miss' });
  });

  test('an expired entry is served while the store is unreachable, unless it was invalidated', async () => {
    const cache = await openAny({ localTtlMs: 0 });
    const { state, read } = store();
    // Enough time for the fill; otherwise nothing is cached.
    const ttlMs = 500;
    const options = { ttlMs, staleIfErrorMs: 60_000 };
    await cache.read(read(options));
    state.error = unavailable('MongoDB');
    await sleep(ttlMs + 5);
    const served = await cache.read(read(options));
    expect(served).toMatchObject({ value: { name: 'v1' }, source: 'stale' });
    expect(served.ageMs).toBeGreaterThanOrEqual(ttlMs);
    await expect(cache.read(read({ ttlMs }))).rejects.toThrow('MongoDB');
    await expect(cache.read(read({ ...options, minVersion: 2 }))).rejects.toThrow('MongoDB');
    state.error = new Error('a bug');
    await expect(cache.read(read(options))).rejects.toThrow('a bug');
    state.error = unavailable('MongoDB');
    await cache.invalidate({ key: 'a', version: 2 });
    await expect(cache.read(read(options))).rejects.toThrow('MongoDB');
  });
}

describe('in memory', () => {
  behaves(() => undefined);
});

describeWith(['redis'], 'with Redis', () => {
  behaves(() => serverUrl('redis'));

  test('processes share loaded entries', async () => {
    const namespace = randomUUID();
    const [one, other] = [
      await open({ redisUrl: serverUrl('redis'), namespace }),
      await open({ redisUrl: serverUrl('redis'), namespace, localTtlMs: 60_000 }),
    ];
    const { state, read } = store(3);
    await one.read(read());
    expect(await other.read(read())).toMatchObject({ value: { name: 'v3' }, version: 3, source: 'redis' });
    expect(await other.read(read())).toMatchObject({ source: 'local' });
    expect(state.loads).toBe(1);
  });

  test("another process's invalidation is received, and its mark refuses a fill from this one", async () => {
    const namespace = randomUUID();
    const redisUrl = serverUrl('redis');
    const projector = await open({ redisUrl, namespace });
    const query = await open({ redisUrl, namespace, localTtlMs: 60_000 });
    const { state, read, hold } = store(1);
    await query.read(read());
    state.version = 2;
    await projector.invalidate({ key: 'a', version: 2 });
    await eventually(async () => (await query.read(read())).version === 2);

    const release = hold();
    const slow = query.read(read({ minVersion: 3 }));
    await eventually(() => state.loads === 3);
    state.version = 3;
    await projector.invalidate({ key: 'a', version: 3 });
    release();
    expect((await slow).version).toBe(2);
    // A process without that mark finds that Redis itself has refused the fill.
    const fresh = await open({ redisUrl, namespace });
    expect(await fresh.read(read())).toMatchObject({ version: 3, source: 'miss' });
    expect(await query.read(read())).toMatchObject({ version: 3, source: 'redis' });
  });

  test('a slow fill does not replace a newer entry', async () => {
    const namespace = randomUUID();
    const redisUrl = serverUrl('redis');
    const [one, other] = [await open({ redisUrl, namespace }), await open({ redisUrl, namespace, localTtlMs: 0 })];
    const { state, read, hold } = store(1);
    const release = hold();
    const slow = one.read(read());
    await eventually(() => state.loads === 1);
    const newer = store(2);
    await other.read(newer.read());
    release();
    await slow;
    expect(await other.read(newer.read())).toMatchObject({ version: 2, source: 'redis' });
  });

  test('an entry in Redis that can not be decoded counts as absent', async () => {
    const namespace = randomUUID();
    const cache = await open({ redisUrl: serverUrl('redis'), namespace });
    const client = createClient({ url: serverUrl('redis') });
    await client.connect();
    await client.set(`caudal:cache:{${namespace}:a}:entry`, '7|1|1|{not json');
    await client.set(`caudal:cache:{${namespace}:b}:entry`, 'rubbish');
    client.destroy();
    const { read } = store(8);
    expect(await cache.read(read())).toMatchObject({ version: 8, source: 'miss' });
    expect(await cache.read(read({ key: 'b' }))).toMatchObject({ version: 8, source: 'miss' });
  });

  test('Redis unreachable from the start: reads use the store, quickly', async () => {
    const way = await wayToRedis();
    way.away(true);
    const cache = await open({ redisUrl: way.url, localTtlMs: 0 });
    const { state, read } = store();
    const begun = performance.now();
    for (let i = 0; i < 200; i++) expect(await cache.read(read())).toMatchObject({ source: 'miss' });
    // If each waited for the entry and again for the fill it would be 20 s.
    expect(performance.now() - begun).toBeLessThan(5_000);
    way.away(false);
    await eventually(async () => (await cache.read(read())).source === 'redis');
    expect(state.loads).toBeGreaterThanOrEqual(200);
  });

  test('Redis does not answer: three reads wait 50 ms, the others do not', async () => {
    const way = await wayToRedis();
    const cache = await open({ redisUrl: way.url, localTtlMs: 0 });
    const { read } = store();
    await cache.read(read());
    way.silence(true);
    const begun = performance.now();
    for (let i = 0; i < 200; i++) await cache.read(read());
    // If each waited for the entry and again for the fill it would be 20 s.
    expect(performance.now() - begun).toBeLessThan(5_000);
    way.silence(false);
    await eventually(async () => (await cache.read(read())).source === 'redis');
  });

  test('reads that fail at the same time count once: Redis is tried again at once', async () => {
    const way = await wayToRedis();
    const namespace = randomUUID();
    const cache = await open({ redisUrl: way.url, namespace, localTtlMs: 0 });
    const { read } = store();
    await cache.read(read());
    way.silence(true);
    const others = Array.from({ length: 20 }, (_, index) => cache.read(read({ key: `b${index}` })));
    expect((await Promise.all(others)).map(({ source }) => source)).toEqual(Array(20).fill('miss'));
    way.silence(false);
    // With one probe a second, many reads would pass before this one.
    let reads = 0;
    await eventually(async () => {
      reads += 1;
      return (await cache.read(read())).source === 'redis';
    });
    expect(reads).toBeLessThanOrEqual(2);
  });

  test('an answer that arrives while this process is blocked counts', async () => {
    const cache = await open({ redisUrl: serverUrl('redis'), localTtlMs: 0 });
    const { state, read } = store();
    await cache.read(read());
    const reading = cache.read(read());
    // The call is sent in this turn of the event loop, and there is none in which its answer is processed.
    await new Promise((resolve) => setImmediate(resolve));
    const until = performance.now() + 300;
    while (performance.now() < until);
    expect(await reading).toMatchObject({ source: 'redis' });
    expect(state.loads).toBe(1);
  });

  test('many invalidations at once are few calls and messages, and none is delayed', async () => {
    const namespace = randomUUID();
    const projector = await open({ redisUrl: serverUrl('redis'), namespace });
    const query = await open({ redisUrl: serverUrl('redis'), namespace, localTtlMs: 60_000, maxEntries: 10_000 });
    const { state, read } = store(1);
    const keys = Array.from({ length: 3_000 }, (_, index) => `k${index}`);
    for (const key of [keys[0]!, keys[1_234]!, keys[2_999]!]) await query.read(read({ key }));
    const client = createClient({ url: serverUrl('redis') });
    cleanups.push(async () => client.destroy());
    await client.connect();
    let messages = 0;
    await client.subscribe(`caudal:cache:${namespace}:invalidated`, () => {
      messages += 1;
    });
    state.version = 2;
    await projector.invalidate(...keys.map((key) => ({ key, version: 2 })));
    await eventually(() => messages === 30);
    for (const key of [keys[0]!, keys[1_234]!, keys[2_999]!])
      await eventually(async () => (await query.read(read({ key }))).version === 2);
    expect(messages).toBe(30);
  });

  test('an invalidation while Redis is unreachable is sent when it is back', async () => {
    const namespace = randomUUID();
    const way = await wayToRedis();
    const projector = await open({ redisUrl: way.url, namespace });
    const query = await open({ redisUrl: serverUrl('redis'), namespace, localTtlMs: 0 });
    const { state, read } = store(1);
    await query.read(read());
    way.away(true);
    state.version = 2;
    await projector.invalidate({ key: 'a', version: 2 });
    expect(await query.read(read())).toMatchObject({ version: 1, source: 'redis' });
    way.away(false);
    await eventually(async () => (await query.read(read())).version === 2);
  });
});
