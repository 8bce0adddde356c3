import { setImmediate as tick } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { deserialize, serialize } from 'node:v8';
import type { Snapshot } from '@caudal/eventlog/types.ts';
import { emptyExpiringMap, setEntry } from '@caudal/kernel/expiring-map.ts';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type AnyDecider, newEntry } from './entry.ts';
import { openSnapshots } from './snapshots.ts';
import { decodeState, encodeState } from './state-data.ts';
import { purse } from './testing/purse.ts';

const schemaVersion = 1;
const decider = { ...purse, snapshot: { every: 10, schemaVersion } } as unknown as AnyDecider;

/** A state with `count` remembered values; 100,000 are many. */
function remembering(count: number) {
  let memory = emptyExpiringMap<{ amount: bigint; at: Date }>();
  const now = new Date();
  for (let n = 0; n < count; n++) {
    const until = n % 2 ? now : Number.POSITIVE_INFINITY;
    memory = setEntry(memory, `id-${n}`, { amount: BigInt(n), at: now }, until, new Date(0));
  }
  return { owner: 'anna', balance: count, memory };
}

/** Whether both are equal, also if their objects were made in different realms of the test runner. */
function isSame(a: unknown, b: unknown): boolean {
  return isDeepStrictEqual(deserialize(serialize(a)), deserialize(serialize(b)));
}

describe('an encoded state', () => {
  const written = (state: unknown) => Buffer.concat([...encodeState(state)]);
  const comesBack = (state: unknown) => isSame(decodeState(written(state)), state);

  test('is decoded as it was', () => {
    for (const state of [
      undefined,
      {},
      { absent: undefined, none: null, __proto__: null },
      { date: new Date(5), big: 7n, map: new Map([['a', new Set([1])]]), bytes: new Uint8Array([1, 2]) },
      { long: Array.from({ length: 1_000 }, (_, n) => n), wide: Object.fromEntries([...Array(100).entries()]) },
      [[[[[[[1], 2], 3]]]]],
      remembering(3),
      remembering(5_000),
    ])
      expect(comesBack(state)).toBe(true);
    fc.assert(fc.property(fc.anything({ withBigInt: true, withDate: true, withMap: true, withSet: true }), comesBack));
  });

  test('is many small pieces if it is large', () => {
    const sizes = [...encodeState(remembering(20_000))].map(({ length }) => length);
    expect(sizes.length).toBeGreaterThan(500);
    expect(Math.max(...sizes)).toBeLessThan(10_000);
  });

  test('is read in the older format, which has no pieces', () => {
    const state = { owner: 'anna', touched: new Date(1) };
    expect(isSame(decodeState(serialize(state)), state)).toBe(true);
  });

  test('is not read if a part of it is missing or wrong', () => {
    const data = written(remembering(100));
    fc.assert(
      fc.property(fc.nat(data.length - 1), (length) => {
        expect(() => decodeState(data.subarray(0, length))).toThrow();
      }),
    );
    expect(() => decodeState(Buffer.from([9, 0, 0, 0, 0]))).toThrow('kind 9');
  });
});

describe('snapshots', () => {
  /** A stream whose state takes `encodingMs` to encode, on a clock that the test sets. */
  function hotStream({ encodingMs }: { encodingMs: number }) {
    let now = 0;
    const state = {
      get balance() {
        now += encodingMs;
        return 1;
      },
    };
    const saved: number[] = [];
    const log = {
      loadSnapshot: async () => undefined,
      findSnapshot: async () => undefined,
      saveSnapshot: async (_: string, { version }: Snapshot) => void saved.push(version),
    };
    const snapshots = openSnapshots(log, () => now, { number: 0 });
    const entry = newEntry('test.purse/a', decider);
    let version = 0;
    return {
      saved,
      async addEvents({ count, afterMs }: { count: number; afterMs: number }) {
        now += afterMs;
        version += count;
        entry.durable = { state, version };
        snapshots.offer(entry);
        await snapshots.drain();
      },
    };
  }

  test('wait for fifty times as long as encoding the last one took, and for enough events', async () => {
    const stream = hotStream({ encodingMs: 10 });
    await stream.addEvents({ count: 10, afterMs: 0 });
    expect(stream.saved).toEqual([10]);
    await stream.addEvents({ count: 1_000, afterMs: 499 });
    expect(stream.saved).toEqual([10]);
    await stream.addEvents({ count: 1, afterMs: 1 });
    expect(stream.saved).toEqual([10, 1_011]);
    await stream.addEvents({ count: 9, afterMs: 5_000 });
    expect(stream.saved).toEqual([10, 1_011]);
    await stream.addEvents({ count: 1, afterMs: 0 });
    expect(stream.saved).toEqual([10, 1_011, 1_021]);
  });

  test('of a large state let the event loop run other work', async () => {
    let now = 0;
    const saved: Snapshot[] = [];
    const log = {
      loadSnapshot: async () => saved.at(-1),
      findSnapshot: async () => saved.at(-1),
      saveSnapshot: async (_: string, snapshot: Snapshot) => void saved.push(snapshot),
    };
    // The clock is read once a piece, and each reading advances it by a tenth of a slice.
    const elapsed = () => {
      now += 0.1;
      return now;
    };
    const snapshots = openSnapshots(log, elapsed, { number: 0 });
    const entry = newEntry('test.purse/a', decider);
    const durable = { state: remembering(20_000), version: 10 };
    entry.durable = durable;
    snapshots.offer(entry);
    // A state that follows during the write is not in the snapshot.
    entry.durable = { state: remembering(1), version: 11 };
    let turns = 0;
    for (; saved.length === 0 && turns < 1_000; turns++) await tick();
    expect(turns).toBeGreaterThan(50);
    expect(isSame(await snapshots.read(decider, 'test.purse/a'), durable)).toBe(true);
  });
});
