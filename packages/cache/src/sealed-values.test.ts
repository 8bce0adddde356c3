import { randomBytes, randomUUID } from 'node:crypto';
import { setTokenKeys } from '@caudal/kernel/sealed-token.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { serverUrl } from '@caudal/testing/servers.ts';
import { until } from '@caudal/testing/until.ts';
import { afterEach, describe, expect, test } from '@jest/globals';
import { createClient } from 'redis';
import { type CacheOptions, openCache } from './cache.ts';
import { jsonCodec } from './codec.ts';
import { openValue, readInvalidations, sealValue } from './sealed-values.ts';
import type { Read } from './types.ts';

const key = (id: string) => ({ id, key: randomBytes(32) });
const place = { namespace: 'views', key: 'orders/a', header: '7|1700000000000|1|' };
const data = Buffer.from('{"customerId":"ada","total":650}');

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  setTokenKeys(undefined);
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

describe('a sealed value', () => {
  test('is opened at its place, and shows nothing', () => {
    const entry = sealValue(place, data);
    expect(entry.subarray(0, place.header.length).toString()).toBe(place.header);
    expect(entry.includes('ada')).toBe(false);
    expect(openValue(place, entry)).toEqual(data);
    expect(
      openValue({ ...place, header: '0|1|0|' }, sealValue({ ...place, header: '0|1|0|' }, Buffer.alloc(0))),
    ).toEqual(Buffer.alloc(0));
  });

  test.each([
    ['another key', { key: 'orders/b' }],
    ['another cache', { namespace: 'other' }],
    ['another version', { header: '8|1700000000000|1|' }],
    ['another time', { header: '7|1700000000001|1|' }],
    ['a value that is said not to exist', { header: '7|1700000000000|0|' }],
  ])('is not opened as that of %s', (_, other) => {
    expect(openValue({ ...place, ...other }, sealValue(place, data))).toBeUndefined();
  });

  test('is not opened once a bit of it differs, or a part is missing', () => {
    const entry = sealValue(place, data);
    for (let at = place.header.length; at < entry.length; at++) {
      const changed = Buffer.from(entry);
      changed[at]! ^= 1;
      expect(openValue(place, changed)).toBeUndefined();
    }
    for (let length = place.header.length; length < entry.length; length++)
      expect(openValue(place, entry.subarray(0, length))).toBeUndefined();
  });

  test('is opened with an older key, as long as that is listed', () => {
    const [older, newer] = [key('older'), key('newer')];
    setTokenKeys([older]);
    const before = sealValue(place, data);
    setTokenKeys([older, newer]);
    expect(openValue(place, before)).toEqual(data);
    setTokenKeys([newer, older]);
    expect(openValue(place, before)).toEqual(data);
    const after = sealValue(place, data);
    setTokenKeys([newer]);
    expect([openValue(place, before), openValue(place, after)]).toEqual([undefined, data]);
  });

  test('never has the nonce of another one', () => {
    const at = place.header.length + 4;
    const nonces = Array.from({ length: 1_000 }, () => sealValue(place, data).toString('hex', at, at + 12));
    expect(new Set(nonces).size).toBe(1_000);
  });
});

test('of a message only invalidations count', () => {
  expect(readInvalidations('[["a",7],["b",8]]')).toEqual([
    ['a', 7],
    ['b', 8],
  ]);
  for (const message of [
    '',
    '{',
    'null',
    '7',
    '"a"',
    '{"a":7}',
    '[[7,"a"]]',
    '[["a","7"]]',
    '[["a",1e400]]',
    '[["a",-1]]',
    '[null]',
  ])
    expect(readInvalidations(message)).toEqual([]);
  expect(readInvalidations(JSON.stringify(Array.from({ length: 1_001 }, () => ['a', 1])))).toEqual([]);
});

interface View {
  owner: string;
}
const codec = jsonCodec<View>({ toJSON: (view) => view, fromJSON: (json) => json as View });

describeWith(['redis'], 'somebody who may write to Redis', () => {
  /** A cache, a client of the attacker, and what Redis has of a view. */
  async function attacked(options: Partial<CacheOptions> = {}) {
    const namespace = randomUUID();
    const cache = await openCache({
      redisUrl: serverUrl('redis'),
      namespace,
      maxEntries: 100,
      localTtlMs: 0,
      ...options,
    });
    cleanups.push(() => cache.stop());
    const redis = createClient({ url: serverUrl('redis') });
    await redis.connect();
    cleanups.push(() => redis.destroy());
    const loads: string[] = [];
    const read = (id: string): Read<View> => ({
      key: id,
      ttlMs: 60_000,
      absentTtlMs: 60_000,
      codec,
      async load() {
        loads.push(id);
        return { value: { owner: id }, version: 7 };
      },
    });
    const entryOf = (id: string) => `caudal:cache:{${namespace}:${id}}:entry`;
    return { namespace, cache, redis, loads, read, entryOf };
  }

  test("shows no caller another's view, and sees none", async () => {
    const { cache, redis, loads, read, entryOf } = await attacked();
    await cache.read(read('alice'));
    await cache.read(read('bob'));
    expect(await cache.read(read('alice'))).toMatchObject({ value: { owner: 'alice' }, source: 'redis' });
    expect((await redis.get(entryOf('alice')))!.includes('owner')).toBe(false);
    await redis.copy(entryOf('bob'), entryOf('alice'), { REPLACE: true } as never);
    expect(await cache.read(read('alice'))).toMatchObject({ value: { owner: 'alice' }, source: 'miss' });
    await redis.set(entryOf('alice'), `7|${Date.now()}|1|{"owner":"mallory"}`);
    expect(await cache.read(read('alice'))).toMatchObject({ value: { owner: 'alice' }, source: 'miss' });
    await redis.set(entryOf('alice'), `7|${Date.now()}|0|`);
    expect(await cache.read(read('alice'))).toMatchObject({ value: { owner: 'alice' }, source: 'miss' });
    expect(loads).toEqual(['alice', 'bob', 'alice', 'alice', 'alice']);
    // What was stored in its place serves again.
    expect(await cache.read(read('alice'))).toMatchObject({ value: { owner: 'alice' }, source: 'redis' });
  });

  test('ends no process by a message, and causes misses at most', async () => {
    const { namespace, cache, redis, read } = await attacked({ localTtlMs: 60_000 });
    await cache.read(read('alice'));
    const channel = `caudal:cache:${namespace}:invalidated`;
    for (const message of ['{', 'null', '[["alice"]]', '[["alice",1e999]]']) await redis.publish(channel, message);
    await redis.publish(channel, JSON.stringify([['alice', 9_000_000]]));
    await until(async () => (await cache.read(read('alice'))).source === 'miss');
    expect(await cache.read(read('alice'))).toMatchObject({ value: { owner: 'alice' }, version: 7 });
  });

  test('marks and entries that are no numbers cause misses at most', async () => {
    const { cache, redis, read, entryOf } = await attacked();
    await redis.set(entryOf('alice').replace(/entry$/, 'mark'), 'rubbish');
    await redis.set(entryOf('bob'), 'x'.repeat(9 * 1024 * 1024));
    for (let n = 0; n < 5; n++)
      for (const id of ['alice', 'bob']) expect(await cache.read(read(id))).toMatchObject({ value: { owner: id } });
  });
});
