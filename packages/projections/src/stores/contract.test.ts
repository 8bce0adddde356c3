/** What every store of views must do, on the real servers. */
import { isTransient } from '@caudal/kernel/errors.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type TestStore, testStores, throughProxy } from '../testing/stores.ts';
import {
  type Aggregation,
  type Collection,
  type Find,
  type Layout,
  MissingCollection,
  type TypedKey,
  type Write,
} from './store.ts';

const layout: Layout = {
  keys: {
    owner: { type: 'keyword', many: false },
    amount: { type: 'long', many: false },
    open: { type: 'boolean', many: false },
    at: { type: 'timestamp', many: false },
    tags: { type: 'keyword', many: true },
    title: { type: 'text', many: false, short: true },
    body: { type: 'text', many: false },
  },
  indexes: [['owner', 'at'], ['amount'], ['tags']],
};

function write(id: string, keys: Write['keys'] = {}, view: unknown = { id }): Write {
  return { id, revision: 1, streams: { [`orders.order/${id}`]: 1 }, keys, view };
}

const everything: Find = { where: [], orderBy: [], limit: 100 };
const ofAll: Aggregation = {
  where: [],
  groupBy: [],
  compute: [{ kind: 'count' }],
  orderBy: [],
  limit: 1,
  maxMs: 5_000,
};
const ids = (found: { id: string }[]) => found.map(({ id }) => id);

for (const name of ['mongodb', 'postgres', 'elasticsearch'] as const) {
  describeWith([name], `views in ${name}`, () => {
    let place: TestStore;
    let made = 0;
    beforeAll(async () => {
      place = await testStores[name]();
    });
    afterAll(() => place.remove());

    async function fresh(writes: Write[] = []): Promise<Collection> {
      made += 1;
      const collection = place.store.collection(`things.v1.${made}`, layout);
      await collection.create();
      expect(await collection.save(writes)).toEqual({ lost: [], refused: [] });
      await collection.refresh();
      return collection;
    }

    test('a document is loaded as it was saved, whatever its shape', async () => {
      const view = { 'a.b': { $c: [1, 2.5, null, 'ü'] }, minorUnits: '9223372036854775807', none: null };
      const streams = { 'orders.order/1': 3, 'payments.payment/x.y': 12 };
      const collection = await fresh([{ ...write('1', { amount: 9223372036854775807n }, view), streams }]);
      const [loaded] = await collection.load(['1', '2']);
      expect(loaded).toMatchObject({ id: '1', revision: 1, streams, view });
    });

    test('creating twice, also at the same time, and dropping twice is fine', async () => {
      const collection = place.store.collection('twice.v1.1', layout);
      await Promise.all([collection.create(), collection.create()]);
      await collection.save([write('1')]);
      await collection.create();
      expect(ids(await collection.load(['1']))).toEqual(['1']);
      await collection.drop();
      await collection.drop();
    });

    test('a missing collection differs from an empty one, and no write creates it', async () => {
      const collection = place.store.collection('missing.v1.1', layout);
      if (name === 'mongodb') return expect(await collection.load(['1'])).toEqual([]);
      for (const call of [
        () => collection.load(['1']),
        () => collection.save([write('1')]),
        () => collection.find(everything),
        () => collection.count([]),
        () => collection.aggregate(ofAll),
      ])
        await expect(call()).rejects.toBeInstanceOf(MissingCollection);
    });

    test('a write returns the ids that lost, and writes the others', async () => {
      const collection = await fresh([write('1'), write('2')]);
      const [one, two] = await collection
        .load(['1', '2'])
        .then((found) => found.sort((a, b) => (a.id < b.id ? -1 : 1)));
      const next = (from: typeof one, text: string): Write => ({
        ...from!,
        revision: from!.revision + 1,
        keys: {},
        view: text,
      });
      expect(await collection.save([next(one, 'first')])).toEqual({ lost: [], refused: [] });
      const result = await collection.save([next(one, 'late'), next(two, 'in time')]);
      expect(result).toEqual({ lost: ['1'], refused: [] });
      expect(await collection.save([write('2', {}, 'again'), write('3')])).toEqual({ lost: ['2'], refused: [] });
      const views = new Map((await collection.load(['1', '2', '3'])).map(({ id, view }) => [id, view]));
      expect(views).toEqual(
        new Map<string, unknown>([
          ['1', 'first'],
          ['2', 'in time'],
          ['3', { id: '3' }],
        ]),
      );
    });

    test('of writers that race exactly one wins each round', async () => {
      const collection = await fresh();
      const other = place.another().collection(`things.v1.${made}`, layout);
      for (let revision = 1; revision <= 3; revision++) {
        const before = await collection.load(['1', '2']);
        const results = await Promise.all(
          Array.from({ length: 8 }, (_, writer) =>
            (writer % 2 ? collection : other).save(
              ['1', '2'].map((id) => ({
                ...write(id, {}, { writer }),
                guard: before.find((document) => document.id === id)?.guard,
                revision,
              })),
            ),
          ),
        );
        for (const id of ['1', '2']) expect(results.filter(({ lost }) => !lost.includes(id))).toHaveLength(1);
        expect((await collection.load(['1', '2'])).map((document) => document.revision)).toEqual([revision, revision]);
      }
    });

    test('a tombstone keeps its streams and is in no result', async () => {
      const collection = await fresh([write('1', { owner: 'a' }), write('2', { owner: 'a' })]);
      const [loaded] = await collection.load(['1']);
      const tombstone = { ...loaded!, revision: 2, streams: { 'orders.order/1': 2 }, keys: {}, view: undefined };
      expect(await collection.save([tombstone])).toEqual({ lost: [], refused: [] });
      await collection.refresh();
      expect(await collection.load(['1'])).toMatchObject([{ view: undefined, streams: { 'orders.order/1': 2 } }]);
      expect(ids(await collection.find(everything))).toEqual(['2']);
      expect(ids(await collection.find({ ...everything, orderBy: [{ key: 'amount', descending: false }] }))).toEqual([
        '2',
      ]);
      expect(await collection.count([{ key: 'owner', equals: 'a' }])).toBe(1);
      expect(ids(await collection.scan({ limit: 10 }))).toEqual(['1', '2']);
      expect(ids(await collection.scan({ afterId: '1', limit: 10 }))).toEqual(['2']);
    });

    test('a document that the store refuses fails alone', async () => {
      const collection = await fresh();
      const unacceptable: Record<typeof name, Write> = {
        mongodb: write('bad', {}, 'x'.repeat(17_000_000)),
        postgres: write('bad', {}, 'a\u0000b'),
        elasticsearch: write('bad', { owner: 'x'.repeat(40_000) }),
      };
      const result = await collection.save([write('1'), unacceptable[name], write('2')]);
      expect(result.lost).toEqual([]);
      expect(ids(result.refused)).toEqual(['bad']);
      expect(ids(await collection.load(['1', '2', 'bad'])).sort()).toEqual(['1', '2']);
    });

    describe('finding', () => {
      const day = (number: number) => new Date(Date.UTC(2026, 0, number, 12, 0, 0, number));
      let collection: Collection;
      beforeAll(async () => {
        collection = await fresh([
          write('a', { owner: 'x', amount: 5n, open: true, at: day(1), tags: ['red', 'big'] }),
          write('b', { owner: 'x', amount: 9007199254740993n, open: false, at: day(3), tags: ['red'] }),
          write('c', { owner: 'y', amount: -1n, open: true, at: day(2), tags: [] }),
          write('d', { owner: null, amount: null, open: null, at: null, tags: ['blue'] }),
          write('e', { owner: 'Ü', amount: 9007199254740992n, open: true, at: day(3), tags: ['big', 'blue'] }),
        ]);
      });

      test.each<[string, Find['where'], string[]]>([
        ['equal', [{ key: 'owner', equals: 'x' }], ['a', 'b']],
        ['equal, no value', [{ key: 'owner', equals: null }], ['d']],
        ['equal, beyond doubles', [{ key: 'amount', equals: 9007199254740993n }], ['b']],
        ['equal, boolean', [{ key: 'open', equals: true }], ['a', 'c', 'e']],
        ['equal, time', [{ key: 'at', equals: day(3) }], ['b', 'e']],
        ['among', [{ key: 'owner', in: ['y', 'Ü', 'nobody'] }], ['c', 'e']],
        ['among, or no value', [{ key: 'amount', in: [5n, null] }], ['a', 'd']],
        ['between', [{ key: 'amount', atLeast: -1n, atMost: 5n }], ['a', 'c']],
        ['at least', [{ key: 'amount', atLeast: 9007199254740993n }], ['b']],
        ['at most, time', [{ key: 'at', atMost: day(2) }], ['a', 'c']],
        ['any value', [{ key: 'at' }], ['a', 'b', 'c', 'e']],
        ['in a list', [{ key: 'tags', equals: 'red' }], ['a', 'b']],
        ['in an empty list', [{ key: 'tags', equals: null }], ['c']],
        ['any of, in a list', [{ key: 'tags', in: ['blue', 'big'] }], ['a', 'd', 'e']],
        ['between, in a list', [{ key: 'tags', atLeast: 'bm', atMost: 'q' }], []],
        [
          'all of several',
          [
            { key: 'owner', equals: 'x' },
            { key: 'open', equals: true },
          ],
          ['a'],
        ],
      ])('%s', async (_, where, expected) => {
        expect(ids(await collection.find({ ...everything, where }))).toEqual(expected);
        expect(await collection.count(where)).toBe(expected.length);
      });

      test.each<[Find['orderBy'], string]>([
        [[], 'abcde'],
        [[{ key: 'amount', descending: false }], 'dcaeb'],
        [[{ key: 'amount', descending: true }], 'beacd'],
        [[{ key: 'at', descending: true }], 'ebcad'],
        [
          [
            { key: 'at', descending: true },
            { key: 'owner', descending: false },
          ],
          'becad',
        ],
        [[{ key: 'owner', descending: false }], 'dabce'],
        [
          [
            { key: 'open', descending: false },
            { key: 'amount', descending: true },
          ],
          'dbeac',
        ],
      ])('ordered by %j, page by page', async (orderBy, expected) => {
        const all = await collection.find({ ...everything, orderBy });
        expect(ids(all).join('')).toBe(expected);
        const values: Record<string, Write['keys']> = {
          a: { owner: 'x', amount: 5n, open: true, at: day(1) },
          b: { owner: 'x', amount: 9007199254740993n, open: false, at: day(3) },
          c: { owner: 'y', amount: -1n, open: true, at: day(2) },
          d: { owner: null, amount: null, open: null, at: null },
          e: { owner: 'Ü', amount: 9007199254740992n, open: true, at: day(3) },
        };
        for (let place = 0; place < all.length; place++) {
          const { id } = all[place]!;
          const after = { id, keys: orderBy.map(({ key }) => values[id]![key] as string) };
          expect(ids(await collection.find({ ...everything, orderBy, after, limit: 2 })).join('')).toBe(
            expected.slice(place + 1, place + 3),
          );
        }
      });
    });

    test('an unreachable server is UNAVAILABLE soon, and used again when it is back', async () => {
      const { reached, proxy } = await throughProxy(name);
      try {
        const collection = reached.store.collection('cut.v1.1', layout);
        await collection.create();
        await collection.save([write('1')]);
        proxy.refuse(true);
        proxy.cut();
        for (const call of [
          () => collection.load(['1']),
          () => collection.save([write('2')]),
          () => collection.find(everything),
          () => collection.count([]),
          () => collection.aggregate(ofAll),
        ]) {
          const begun = performance.now();
          const error = await call().then(
            () => undefined,
            (thrown) => thrown,
          );
          expect({ code: error?.code, transient: isTransient(error) }).toEqual({
            code: 'UNAVAILABLE',
            transient: true,
          });
          // The drivers' own time-out is 30 s.
          expect(performance.now() - begun).toBeLessThan(15_000);
        }
        proxy.refuse(false);
        const deadline = performance.now() + 30_000;
        let loaded: unknown[] = [];
        while (loaded.length === 0 && performance.now() < deadline)
          loaded = await collection.load(['1']).catch(() => []);
        expect(loaded).toHaveLength(1);
      } finally {
        proxy.refuse(false);
        await reached.remove();
        await proxy.close();
      }
    }, 90_000);

    test('a server that is unreachable when its store is opened is used once it is back', async () => {
      const { reached, proxy } = await throughProxy(name);
      try {
        proxy.refuse(true);
        const collection = reached.store.collection('late.v1.1', layout);
        // Several at once, like the projections of a process.
        const calls = [collection.create(), collection.load(['1']), collection.find(everything)];
        for (const call of calls) await expect(call).rejects.toMatchObject({ code: 'UNAVAILABLE' });
        proxy.refuse(false);
        const deadline = performance.now() + 30_000;
        const create = () => collection.create().then(() => true);
        while (!(await create().catch(() => false))) expect(performance.now()).toBeLessThan(deadline);
        await collection.save([write('1')]);
        expect(await collection.load(['1'])).toHaveLength(1);
      } finally {
        proxy.refuse(false);
        await reached.remove();
        await proxy.close();
      }
    }, 60_000);

    if (name !== 'mongodb')
      describe('searching', () => {
        let collection: Collection;
        const fields = { title: 3, body: 1 };
        const search = (text: string, more: object = {}) =>
          collection.search!({
            text,
            forgiving: false,
            fields,
            where: [],
            facets: [],
            orderBy: [],
            limit: 10,
            maxMs: 8_000,
            ...more,
          });
        const found = async (text: string, more?: object) =>
          ids((await search(text, more)).hits.map(({ document }) => document));
        beforeAll(async () => {
          collection = await fresh([
            write('a', {
              title: 'Hanging lantern',
              body: 'glass, white',
              owner: 'light',
              amount: 1250n,
              open: true,
              tags: ['x'],
            }),
            write('b', {
              title: 'Candle holder',
              body: 'goes into a LANTERN',
              owner: 'light',
              amount: 400n,
              open: false,
              tags: ['x', 'y'],
            }),
            write('c', {
              title: 'Heart of wicker',
              body: '',
              owner: 'decoration',
              amount: 1700n,
              open: true,
              tags: [],
            }),
            write('d', {
              title: 'T-light 85123A',
              body: 'white',
              owner: 'light',
              amount: 99n,
              open: true,
              tags: ['y'],
            }),
          ]);
        });

        test('every word must be found, the title counts more', async () => {
          expect(await found('lantern')).toEqual(['a', 'b']);
          expect(await found('Lantern WHITE')).toEqual(['a']);
          expect(await found('85123a')).toEqual(['d']);
          expect(await found('t-light')).toEqual(['d']);
          expect(await found('unicorn')).toEqual([]);
          expect(await found('lantern', { fields: { title: 1 } })).toEqual(['a']);
          expect((await found('')).sort()).toEqual(['a', 'b', 'c', 'd']);
          expect(await found('& | ! ( :* "')).toEqual([]);
        });

        test('conditions, total and facets', async () => {
          const result = await search('', {
            facets: ['owner', 'tags'],
            limit: 1,
            where: [{ key: 'amount', atLeast: 99n }],
          });
          expect(result.total).toBe(4);
          expect(result.facets).toEqual({
            owner: {
              values: [
                { value: 'light', count: 3 },
                { value: 'decoration', count: 1 },
              ],
              more: false,
            },
            tags: {
              values: [
                { value: 'x', count: 2 },
                { value: 'y', count: 2 },
              ],
              more: false,
            },
          });
          const available = [{ key: 'open', equals: true }];
          const affordable = [...available, { key: 'amount', atLeast: 100n, atMost: 1500n }];
          expect(await found('white', { where: affordable })).toEqual(['a']);
          expect((await search('white', { where: available, facets: ['owner'] })).facets).toEqual({
            owner: { values: [{ value: 'light', count: 2 }], more: false },
          });
          expect(await search('&', { facets: ['owner'] })).toEqual({
            hits: [],
            total: 0,
            facets: { owner: { values: [], more: false } },
          });
        });

        test('a facet has the hundred most frequent values, and says that there are more', async () => {
          const many = await fresh(
            Array.from({ length: 102 }, (_, n) => write(String(n), { title: 'cup', owner: `o${n % 101}`, tags: [] })),
          );
          const { facets } = await many.search!({
            text: 'cup',
            forgiving: false,
            fields,
            where: [],
            facets: ['owner'],
            orderBy: [],
            limit: 1,
            maxMs: 8_000,
          });
          expect(facets.owner!.values).toHaveLength(100);
          expect(facets.owner!.values[0]).toEqual({ value: 'o0', count: 2 });
          expect(facets.owner!.more).toBe(true);
        });

        test('with a limit of 0 there are only the total and the facets', async () => {
          const counted = await search('lantern', { limit: 0, facets: ['tags'] });
          expect(counted).toMatchObject({ hits: [], total: 2 });
          expect(counted.facets.tags!.values).toHaveLength(2);
        });

        test('page by page', async () => {
          for (const text of ['', 'lantern']) {
            const all = (await search(text)).hits;
            const seen: string[] = [];
            let after: { score: number; keys: TypedKey[]; id: string } | undefined;
            for (;;) {
              const { hits } = await search(text, { limit: 1, after });
              if (hits.length === 0) break;
              seen.push(hits[0]!.document.id);
              after = { score: hits[0]!.score, keys: [], id: hits[0]!.document.id };
            }
            expect(seen).toEqual(all.map(({ document }) => document.id));
          }
        });

        test('ordered by a key, page by page, with the total of all pages', async () => {
          for (const [descending, expected] of [
            [false, ['d', 'b', 'a', 'c']],
            [true, ['c', 'a', 'b', 'd']],
          ] as const) {
            const orderBy = [{ key: 'amount', descending }];
            const amounts: Record<string, bigint> = { a: 1250n, b: 400n, c: 1700n, d: 99n };
            expect(await found('', { orderBy })).toEqual(expected);
            for (const [place, id] of expected.entries()) {
              const after = { score: 0, keys: [amounts[id]!], id };
              const next = await search('', { orderBy, after, limit: 2 });
              expect(ids(next.hits.map(({ document }) => document))).toEqual(expected.slice(place + 1, place + 3));
              expect(next.total).toBe(4);
            }
          }
          expect(await found('lantern', { orderBy: [{ key: 'amount', descending: false }] })).toEqual(['b', 'a']);
        });

        test('typing errors are forgiven in short texts, if that is asked for', async () => {
          const forgiving = { forgiving: true };
          expect(await found('lantren')).toEqual([]);
          expect(await found('lantren', forgiving)).toEqual(['a']);
          expect(await found('hangin lantern', forgiving)).toEqual(['a']);
          expect(await found('wiker', forgiving)).toEqual(['c']);
        });

        test('fields without a short one', async () => {
          expect(await found('lantern', { fields: { body: 1 } })).toEqual(['b']);
          expect(await found('WHITE', { fields: { body: 1 } })).toEqual(['a', 'd']);
          expect(await found('white', { fields: { body: 1 }, forgiving: true })).toEqual(['a', 'd']);
          expect((await search('white', { fields: { body: 1 } })).hits.map(({ score }) => score)).toEqual([1, 1]);
        });

        test('a sign that is a letter, and stands for none', async () => {
          expect(await found('lantern ـ')).toEqual(['a', 'b']);
          expect(await found('ـ lantern-ـ', { forgiving: true })).toEqual(['a', 'b']);
        });

        test('a view whose texts stay is found as before, and one whose texts change by the new ones', async () => {
          const searched = await fresh([write('1', { title: 'old cup', amount: 1n, tags: [] })]);
          const change = async (more: Partial<Write>) => {
            const [read] = await searched.load(['1']);
            const next = { ...read!, revision: read!.revision + 1, view: {}, keys: {}, ...more };
            expect(await searched.save([next])).toEqual({ lost: [], refused: [] });
            await searched.refresh();
          };
          const finds = async (text: string, where: object[] = []) =>
            (
              await searched.search!({
                text,
                forgiving: false,
                fields,
                where: where as never,
                facets: [],
                orderBy: [],
                limit: 1,
                maxMs: 8_000,
              })
            ).total === 1;
          await change({ keys: { title: 'old cup', amount: 2n, tags: [] }, sameTexts: true });
          expect(await finds('old', [{ key: 'amount', equals: 2n }])).toBe(true);
          await change({ keys: { title: 'new cup', amount: 2n, tags: [] } });
          expect([await finds('old'), await finds('new')]).toEqual([false, true]);
          await change({ view: undefined });
          expect(await finds('new')).toBe(false);
          await change({ keys: { title: 'third cup', amount: 2n, tags: [] } });
          expect(await finds('third')).toBe(true);
        });
      });
  });
}
