/** Counting and aggregating the views of a projection: what a query may ask, and which generation answers. */
import { order } from '@caudal/contract/entities.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { changeGenerations } from '../generations/generations.ts';
import { collectionOf, createProjector } from '../projector.ts';
import { layoutOf } from '../stores/keys.ts';
import { confirmed, created, details, testLogs } from '../testing/projections.ts';
import { type TestStore, testStores } from '../testing/stores.ts';
import type { Projection } from '../types.ts';
import { defineAggregate, namedRow, typedAggregate } from './aggregate.ts';
import { openViews } from './views.ts';

const keys: Projection<{ at: Date }>['keys'] = {
  owner: { type: 'keyword', of: () => 'a' },
  amount: { type: 'long', summable: true, of: () => 1n },
  rank: { type: 'long', of: () => 1n },
  open: { type: 'boolean', of: () => true },
  at: { type: 'timestamp', of: ({ at }) => at },
  tags: { type: 'keyword', many: true, of: () => [] },
  title: { type: 'text', of: () => '' },
};
const things = { ...details, codec: {}, follows: [], indexes: [], keys } as unknown as Projection<{ at: Date }>;

describe('a declared aggregate', () => {
  test.each<[string, { groupBy?: unknown[]; compute?: object }, string]>([
    ['an unknown group key', { groupBy: ['nothing'] }, '"nothing" is not a key'],
    ['a name of every object', { groupBy: ['toString'] }, '"toString" is not a key'],
    ['a list', { groupBy: ['tags'] }, '"tags" is a list'],
    ['text', { groupBy: ['title'] }, '"title" is of type text'],
    ['a key twice', { groupBy: ['at', { key: 'at', unit: 'day', timeZone: 'UTC' }] }, '"at" is grouped by twice'],
    ['the day of a keyword', { groupBy: [{ key: 'owner', unit: 'day', timeZone: 'UTC' }] }, 'it has no day'],
    ['another time zone', { groupBy: [{ key: 'at', unit: 'day', timeZone: 'Europe/Paris' }] }, '"Europe/Paris"'],
    ['too many keys', { groupBy: ['owner', 'amount', 'rank', 'open', 'at'] }, 'at most 4'],
    ['nothing to compute', { compute: {} }, 'at least 1'],
    ['one name for two', { groupBy: ['owner'], compute: { owner: 'count' } }, '"owner" names both'],
    ['a sum of a key that is not summable', { compute: { sum: { sum: 'rank' } } }, 'summable: true'],
    ['a sum of times', { compute: { sum: { sum: 'at' } } }, "can't be added up"],
    ['the greatest boolean', { compute: { max: { max: 'open' } } }, 'has no max'],
    ['the least of a list', { compute: { min: { min: 'tags' } } }, 'has no min'],
    ['an unknown function', { compute: { average: { avg: 'amount' } } }, "can't be computed"],
    ['two functions', { compute: { both: { min: 'amount', max: 'amount' } } }, "can't be computed"],
  ])('is refused when the program starts: %s', (_, shape, message) => {
    const whole = { groupBy: [], compute: { count: 'count' }, ...shape } as never;
    expect(() => defineAggregate(things, whole)).toThrow(message);
  });

  test('a key that can not be summable is refused with its projection', () => {
    const wrong = { ...things, keys: { owner: { type: 'keyword', summable: true, of: () => 'a' } } };
    expect(() => layoutOf(wrong as never)).toThrow('"owner" can\'t be summable');
  });

  test('rows are ordered by the named columns, then by the other group keys', () => {
    const query = {
      groupBy: ['owner', { key: 'at', unit: 'month', timeZone: 'UTC' }, 'open'],
      compute: { views: 'count', total: { sum: 'amount' } },
      orderBy: [{ by: 'total', descending: true }, { by: 'at' }],
    } as const;
    expect(typedAggregate(layoutOf(things), { ...query, orderBy: [...query.orderBy] })).toEqual({
      groupBy: [{ key: 'owner' }, { key: 'at', unit: 'month' }, { key: 'open' }],
      compute: [{ kind: 'count' }, { kind: 'sum', key: 'amount' }],
      orderBy: [
        { by: { computed: 1 }, descending: true },
        { by: { group: 1 }, descending: false },
        { by: { group: 0 }, descending: false },
        { by: { group: 2 }, descending: false },
      ],
    });
    const wrong = { ...query, orderBy: [{ by: 'rank' }] } as never;
    expect(() => typedAggregate(layoutOf(things), wrong)).toThrow('"rank" is neither');
  });

  test('rows have the types of the query', () => {
    const shape = defineAggregate(things, {
      groupBy: ['owner', { key: 'at', unit: 'day', timeZone: 'UTC' }],
      compute: { views: 'count', total: { sum: 'amount' }, last: { max: 'at' } },
    });
    const row = namedRow({ group: ['a', new Date(0)], computed: [2n, 2n ** 70n, null] }, shape);
    const views: number = row.values.views;
    const total: bigint = row.values.total;
    expect([views, total, row.values.last, row.group.owner, row.group.at]).toEqual([
      2,
      2n ** 70n,
      null,
      'a',
      new Date(0),
    ]);
    // @ts-expect-error: no group key has this name
    expect(row.group.rank).toBeUndefined();
  });
});

for (const name of ['mongodb', 'postgres', 'elasticsearch'] as const) {
  describeWith([name], `aggregates of views in ${name}`, () => {
    let place: TestStore;
    beforeAll(async () => {
      place = await testStores[name]();
    });
    afterAll(() => place.remove());

    test('the current generation answers, before and after a switch', async () => {
      const { store } = place;
      let now = 1_000_000;
      const views = openViews({ projection: details, store, cacheMs: 0, clock: () => new Date(now) });
      const ofAll = { groupBy: [], compute: { views: 'count' }, limit: 1 } as const;
      await expect(views.count()).rejects.toMatchObject({ reason: 'VIEW_NOT_BUILT' });
      await expect(views.aggregate(ofAll)).rejects.toMatchObject({ reason: 'VIEW_NOT_BUILT' });

      const { append, all } = testLogs();
      const generations = [1, 2].map((generation) => ({
        collection: collectionOf({ projection: details, store, generation }),
        projector: createProjector({ projection: details, store, generation }),
      }));
      for (const { collection } of generations) await collection.create();
      await append(order, 'a', created('ann', 2n ** 62n));
      await append(order, 'b', created('ben', 5n), confirmed);
      await append(order, 'c', created('ann', 2n ** 62n));
      await append(order, 'd', created('ann', 2n ** 62n));
      await generations[0]!.projector.handle(all());
      await append(order, 'e', created('zoe', 1n));
      await generations[1]!.projector.handle(all());
      for (const { collection } of generations) await collection.refresh();
      await changeGenerations(details, store, () => ({
        last: 2,
        generations: [
          { number: 1, fed: true, from: 0, until: now + 600_100 },
          { number: 2, fed: true, from: now + 100 },
        ],
      }));

      const totals = { groupBy: ['customer'], compute: { orders: 'count', total: { sum: 'total' } } } as const;
      const richest = await views.aggregate({ ...totals, orderBy: [{ by: 'total', descending: true }], limit: 1 });
      expect(richest).toEqual({
        rows: [{ group: { customer: 'ann' }, values: { orders: 3, total: 3n * 2n ** 62n } }],
        more: true,
      });
      expect(await views.count()).toBe(4);
      expect(await views.count([{ key: 'customer', equals: 'ann' }])).toBe(3);
      await expect(views.count([{ key: 'nothing', equals: 1 }])).rejects.toThrow('not a key');

      now += 100;
      const { rows, more } = await views.aggregate({ ...totals, limit: 5_000 });
      expect([rows.map(({ group, values }) => [group.customer, values.orders]), more]).toEqual([
        [
          ['ann', 3],
          ['ben', 1],
          ['zoe', 1],
        ],
        false,
      ]);
      expect(await views.count()).toBe(5);
      // The first generation is no longer needed.
      await generations[0]!.collection.drop();
      expect(await views.aggregate(ofAll)).toEqual({ rows: [{ group: {}, values: { views: 5 } }], more: false });
    });
  });
}
