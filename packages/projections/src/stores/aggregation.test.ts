/** Aggregations of every store, on the real servers: the result must be that of a plain fold in memory. */
import { describeWith } from '@caudal/testing/describe-with.ts';
import { createRandom } from '@caudal/testing/random.ts';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { layout, randomAggregation, randomKeys, rowsOf } from '../testing/aggregation.ts';
import { type TestStore, testStores } from '../testing/stores.ts';
import type { Aggregation, Collection, Write } from './store.ts';

const greatest = 2n ** 63n - 1n;
const everything: Aggregation = {
  where: [],
  groupBy: [],
  compute: [{ kind: 'count' }],
  orderBy: [],
  limit: 1_000,
  maxMs: 20_000,
};

function write(id: string, keys: Write['keys']): Write {
  return { id, revision: 1, streams: {}, keys, view: { id } };
}

for (const name of ['mongodb', 'postgres', 'elasticsearch'] as const) {
  describeWith([name], `aggregations in ${name}`, () => {
    let place: TestStore;
    let made = 0;
    beforeAll(async () => {
      place = await testStores[name]();
    });
    afterAll(() => place.remove());

    async function fresh(writes: Write[] = []): Promise<Collection> {
      made += 1;
      const collection = place.store.collection(`sums.v1.${made}`, layout);
      await collection.create();
      for (let from = 0; from < writes.length; from += 5_000)
        expect(await collection.save(writes.slice(from, from + 5_000))).toEqual({ lost: [], refused: [] });
      await collection.refresh();
      return collection;
    }

    test('sums are exact far beyond int64', async () => {
      const amounts = [greatest, greatest, greatest - 1n, 1n, -3n, 2n ** 53n + 1n, null];
      const collection = await fresh(amounts.map((amount, n) => write(`${n}`, { owner: 'a', amount })));
      const [row] = await collection.aggregate({
        ...everything,
        compute: [
          { kind: 'sum', key: 'amount' },
          { kind: 'min', key: 'amount' },
          { kind: 'max', key: 'amount' },
          { kind: 'count' },
        ],
      });
      expect(row).toEqual({ group: [], computed: [3n * 2n ** 63n + 2n ** 53n - 5n, -3n, greatest, 7n] });
    });

    test('without any view there is one group of all, and none with group keys', async () => {
      const collection = await fresh();
      const compute: Aggregation['compute'] = [
        { kind: 'count' },
        { kind: 'sum', key: 'amount' },
        { kind: 'min', key: 'at' },
        { kind: 'max', key: 'owner' },
      ];
      expect(await collection.aggregate({ ...everything, compute })).toEqual([
        { group: [], computed: [0n, 0n, null, null] },
      ]);
      const orderBy = [{ by: { group: 0 }, descending: false }];
      expect(await collection.aggregate({ ...everything, compute, groupBy: [{ key: 'owner' }], orderBy })).toEqual([]);
      await collection.save([write('1', { owner: null, amount: null, at: null })]);
      await collection.refresh();
      expect(await collection.aggregate({ ...everything, compute, groupBy: [{ key: 'owner' }], orderBy })).toEqual([
        { group: [null], computed: [1n, 0n, null, null] },
      ]);
    });

    test('tombstones are in no group, and an updated view is in one', async () => {
      const collection = await fresh([write('1', { owner: 'a', amount: 5n }), write('2', { owner: 'b', amount: 7n })]);
      const loaded = new Map((await collection.load(['1', '2'])).map((document) => [document.id, document]));
      const next = (id: string, change: Partial<Write>): Write => ({
        ...loaded.get(id)!,
        revision: 2,
        keys: {},
        ...change,
      });
      await collection.save([
        next('1', { view: undefined }),
        next('2', { keys: { owner: 'c', amount: -(2n ** 40n) } }),
      ]);
      await collection.refresh();
      expect(
        await collection.aggregate({
          ...everything,
          groupBy: [{ key: 'owner' }],
          compute: [{ kind: 'sum', key: 'amount' }],
          orderBy: [{ by: { group: 0 }, descending: false }],
        }),
      ).toEqual([{ group: ['c'], computed: [-(2n ** 40n)] }]);
    });

    test('days and months are those of UTC', async () => {
      const at = [
        '2026-02-28T23:59:59.999Z',
        '2026-03-01T00:00:00.000Z',
        '2028-02-29T12:00:00.000Z',
        '1969-12-31T23:59:59.999Z',
        '2026-03-29T01:30:00.000Z',
      ];
      const collection = await fresh(at.map((time, n) => write(`${n}`, { at: new Date(time) })));
      const by = async (unit: 'day' | 'month') =>
        (
          await collection.aggregate({
            ...everything,
            groupBy: [{ key: 'at', unit }],
            orderBy: [{ by: { group: 0 }, descending: true }],
          })
        ).map(({ group: [time], computed: [count] }) => `${(time as Date).toISOString()} ${count}`);
      expect(await by('day')).toEqual([
        '2028-02-29T00:00:00.000Z 1',
        '2026-03-29T00:00:00.000Z 1',
        '2026-03-01T00:00:00.000Z 1',
        '2026-02-28T00:00:00.000Z 1',
        '1969-12-31T00:00:00.000Z 1',
      ]);
      expect(await by('month')).toEqual([
        '2028-02-01T00:00:00.000Z 1',
        '2026-03-01T00:00:00.000Z 2',
        '2026-02-01T00:00:00.000Z 1',
        '1969-12-01T00:00:00.000Z 1',
      ]);
    });

    describe('random views', () => {
      const random = createRandom(20_260_101, 'aggregations');
      const documents = Array.from({ length: 400 }, (_, n) => ({ id: `${n}`, keys: randomKeys(random) }));
      let collection: Collection;
      beforeAll(async () => {
        collection = await fresh(documents.map(({ id, keys }) => write(id, keys)));
      });

      test('every aggregation returns what a fold in memory returns, in the same order', async () => {
        for (let round = 0; round < (name === 'mongodb' ? 50 : 150); round++) {
          const aggregation = { ...randomAggregation(random), maxMs: 20_000 };
          expect({ aggregation, rows: await collection.aggregate(aggregation) }).toEqual({
            aggregation,
            rows: rowsOf(
              aggregation,
              documents.map(({ keys }) => keys),
            ),
          });
        }
      });
    });

    describe('thousands of groups', () => {
      // The test server that replaces MongoDB takes seconds for a thousand groups, and all other calls wait.
      const views = name === 'mongodb' ? 200 : 52_000;
      const documents = Array.from({ length: views }, (_, n) => ({
        id: `${n}`,
        keys: { rank: BigInt(n % 4_500) + 2n ** 60n, owner: `o${n}`, amount: BigInt((n * 7919) % 1_000) },
      }));
      const top: Aggregation = {
        ...everything,
        groupBy: [{ key: 'rank' }],
        compute: [{ kind: 'sum', key: 'amount' }],
        orderBy: [
          { by: { computed: 0 }, descending: true },
          { by: { group: 0 }, descending: false },
        ],
        limit: 25,
      };
      let collection: Collection;
      beforeAll(async () => {
        collection = await fresh(documents.map(({ id, keys }) => write(id, keys)));
      }, 60_000);

      test('the first by a computed value are the first of all groups', async () => {
        const rows = await collection.aggregate(top);
        expect(rows).toEqual(
          rowsOf(
            top,
            documents.map(({ keys }) => keys),
          ),
        );
        expect(await collection.count([])).toBe(views);
      });

      test('ordered by its keys, any number of groups is allowed', async () => {
        const rows = await collection.aggregate({
          ...top,
          groupBy: [{ key: 'owner' }],
          orderBy: [{ by: { group: 0 }, descending: true }],
          limit: 2,
        });
        expect(rows.map(({ group }) => group)).toEqual(
          name === 'mongodb' ? [['o99'], ['o98']] : [['o9999'], ['o9998']],
        );
      });

      const tooCostly = { code: 'RESOURCE_EXHAUSTED', reason: 'QUERY_TOO_COSTLY' };
      test('an aggregation that is not done in time is too costly', async () => {
        await expect(collection.aggregate({ ...top, maxMs: 1 })).rejects.toMatchObject(tooCostly);
      });

      if (name === 'elasticsearch')
        test('more groups than can be ordered by a computed value are refused', async () => {
          const owners = { ...top, groupBy: [{ key: 'owner' }] };
          await expect(collection.aggregate(owners)).rejects.toMatchObject(tooCostly);
        });
      else
        test('the database orders any number of groups', async () => {
          const owners = { ...top, groupBy: [{ key: 'owner' }] };
          expect(await collection.aggregate(owners)).toEqual(
            rowsOf(
              owners,
              documents.map(({ keys }) => keys),
            ),
          );
        });
    });
  });
}
