import { describe, expect, test } from '@jest/globals';
import { addFailure, type Failures, sortOut, unfinishedOf } from './seen.ts';
import { confirmed, delivered } from './testing/world.ts';

const versionsOf = (fresh: ReturnType<typeof sortOut>['fresh']) =>
  Object.fromEntries([...fresh].map(([stream, list]) => [stream, list.map(({ version }) => version)]));

describe('sortOut', () => {
  test('returns new events, stream by stream, and drops known ones', () => {
    const events = [confirmed('a', 1), confirmed('a', 2), delivered('a', 1), confirmed('b', 4), confirmed('a', 3)];
    const { fresh, gaps } = sortOut(
      events,
      new Map([
        ['orders.order/a', 1],
        ['orders.order/b', 4],
      ]),
    );
    expect(versionsOf(fresh)).toEqual({ 'orders.order/a': [2, 3], 'shipping.shipment/a': [1] });
    expect(gaps).toEqual([]);
  });

  test('reports a gap once, with the version before it, and returns nothing behind it', () => {
    const events = [confirmed('a', 3), confirmed('a', 5), confirmed('a', 6), confirmed('a', 4), confirmed('b', 2)];
    const { fresh, gaps } = sortOut(events, new Map([['orders.order/a', 2]]));
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
