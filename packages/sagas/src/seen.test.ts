import { describe, expect, test } from '@jest/globals';
import { addFailure, type Failures, sortOut, unfinishedOf } from './seen.ts';
import { confirmed, delivered } from './testing/world.ts';

const versionsOf = (fresh: ReturnType<typeof sortOut>['fresh']) =>
  Object.fromEntries([...fresh].map(([stream, list]) => [stream, list.map(({ version }) => version)]));

const seenUpTo = (versions: Record<string, number>, floor = 0, held: string[] = []) => ({
  versions: new Map(Object.entries(versions)),
  floors: new Map(floor > 0 ? [['orders', floor]] : []),
  held: new Set(held),
});
const at = (position: number, version: number) => ({ ...confirmed('a', version), position });

describe('sortOut', () => {
  test('what the floor has passed was seen, with or without a row, and the stream goes on behind it', () => {
    const events = [at(8, 2), at(9, 3), at(12, 4), at(13, 5)];
    for (const versions of [{}, { 'orders.order/a': 2 }, { 'orders.order/a': 3 }] as Record<string, number>[]) {
      const { fresh, gaps } = sortOut(events, seenUpTo(versions, 10));
      expect([versionsOf(fresh), gaps]).toEqual([{ 'orders.order/a': [4, 5] }, []]);
    }
    const late = sortOut([at(8, 2)], seenUpTo({}, 10));
    expect([versionsOf(late.fresh), late.passed]).toEqual([
      {},
      new Map([['orders.order/a', { version: 2, position: 8 }]]),
    ]);
  });

  test('a held stream counts by its row alone', () => {
    const seen = seenUpTo({ 'orders.order/a': 1 }, 10, ['orders.order/a']);
    expect(versionsOf(sortOut([at(7, 1), at(8, 2), at(12, 3)], seen).fresh)).toEqual({ 'orders.order/a': [2, 3] });
  });

  test('a stream without a row is read backwards until the floor, in growing steps', () => {
    const from = (version: number, count: number) => Array.from({ length: count }, (_, n) => at(900 + n, version + n));
    const gapOf = (events: ReturnType<typeof from>, floor: number) =>
      sortOut(events, seenUpTo({}, floor)).gaps[0]?.seen;
    expect(gapOf(from(500, 1), 10)).toBe(467);
    expect(gapOf(from(468, 33), 10)).toBe(434);
    expect(gapOf(from(435, 66), 10)).toBe(368);
    expect(gapOf(from(20, 1), 10)).toBe(0);
    expect(gapOf(from(500, 1), 0)).toBe(0);
  });

  test('returns new events, stream by stream, and drops known ones', () => {
    const events = [confirmed('a', 1), confirmed('a', 2), delivered('a', 1), confirmed('b', 4), confirmed('a', 3)];
    const { fresh, gaps } = sortOut(events, seenUpTo({ 'orders.order/a': 1, 'orders.order/b': 4 }));
    expect(versionsOf(fresh)).toEqual({ 'orders.order/a': [2, 3], 'shipping.shipment/a': [1] });
    expect(gaps).toEqual([]);
  });

  test('reports a gap once, with the version before it, and returns nothing behind it', () => {
    const events = [confirmed('a', 3), confirmed('a', 5), confirmed('a', 6), confirmed('a', 4), confirmed('b', 2)];
    const { fresh, gaps } = sortOut(events, seenUpTo({ 'orders.order/a': 2 }));
    expect(versionsOf(fresh)).toEqual({ 'orders.order/a': [3] });
    expect(gaps).toEqual([
      { kind: 'gap', stream: 'orders.order/a', seen: 3 },
      { kind: 'gap', stream: 'orders.order/b', seen: 0 },
    ]);
  });
});

describe('unfinishedOf', () => {
  test('returns one report for each stream: its earliest failure, else its gap', () => {
    const failures: Failures = new Map();
    for (const version of [4, 3, 5]) addFailure(failures, confirmed('a', version), new Error(`of ${version}`));
    const gaps = ['a', 'b'].map((id) => ({ kind: 'gap' as const, stream: `orders.order/${id}`, seen: 5 }));
    expect(unfinishedOf(failures, gaps)).toEqual([
      { kind: 'failed', event: expect.objectContaining({ version: 3 }), error: new Error('of 3') },
      { kind: 'gap', stream: 'orders.order/b', seen: 5 },
    ]);
  });
});
