/** Queries over generations: current, pages, tokens. */
import { order } from '@caudal/contract/entities.ts';
import { openToken, sealToken } from '@caudal/kernel/sealed-token.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  changeGenerations,
  currentOf,
  type Generations,
  heldUntil,
  isExpired,
  isFed,
  isReadable,
} from '../generations/generations.ts';
import { collectionOf, createProjector } from '../projector.ts';
import { created, type Details, details, testLogs } from '../testing/projections.ts';
import { type TestStore, testStores } from '../testing/stores.ts';
import type { Page, Query } from '../types.ts';
import { decodeToken, encodeToken, type Shape } from './page-token.ts';
import { openSearch, openViews } from './views.ts';

describe('a record of generations', () => {
  const record: Generations = {
    last: 3,
    generations: [
      { number: 1, fed: true, from: 0, until: 701_000 },
      { number: 2, fed: true, from: 101_000 },
      { number: 3, fed: false },
    ],
  };
  const [first, second, third] = record.generations as [never, never, never];

  test('defines at any moment which generation is read, fed, held and expired', () => {
    expect([98_500, 100_999, 101_000, 9e9].map((now) => currentOf(record, now)?.number)).toEqual([1, 1, 2, 2]);
    expect(currentOf({ last: 1, generations: [third] }, 5)).toBeUndefined();
    expect([100_000, 700_999, 701_000].map((now) => isReadable(first, now))).toEqual([true, true, false]);
    expect([100_999, 101_000].map((now) => isReadable(second, now))).toEqual([false, true]);
    expect([isFed(first, 700_999), isFed(first, 701_000), isFed(second, 0), isFed(third, 0)]).toEqual([
      true,
      false,
      true,
      false,
    ]);
    expect([100_000, 100_600, 101_000].map((now) => heldUntil(record, 1, now))).toEqual([
      undefined,
      101_000,
      undefined,
    ]);
    expect(heldUntil(record, 2, 100_600)).toBeUndefined();
    expect([760_999, 761_000].map((now) => isExpired(first, now))).toEqual([false, true]);
  });

  test('a clock that is set back removes no generation, and undoes no switch', () => {
    const hour = 3_600_000;
    const only: Generations = { last: 1, generations: [{ number: 1, fed: true, from: 10 * hour }] };
    expect(currentOf(only, 9 * hour)?.number).toBe(1);
    expect(isReadable(only.generations[0]!, 9 * hour)).toBe(true);
    const switched: Generations = {
      last: 2,
      generations: [
        { number: 1, fed: true, from: 8 * hour, until: 10 * hour + 600_000 },
        { number: 2, fed: true, from: 10 * hour },
      ],
    };
    expect(currentOf(switched, 9 * hour)?.number).toBe(2);
    expect(isReadable(switched.generations[1]!, 9 * hour)).toBe(true);
    const rebuilt = { last: 2, generations: [only.generations[0]!, { number: 2, fed: true, from: 9 * hour + 2_500 }] };
    expect([9 * hour, 9 * hour + 2_500].map((now) => currentOf(rebuilt, now)?.number)).toEqual([1, 2]);
  });
});

describe('page tokens', () => {
  const shape: Shape = { projection: 'p.v1', query: [{ a: 1n }], types: ['long', 'timestamp', 'keyword', 'boolean'] };
  const token = { generation: 2, keys: [2n ** 62n, new Date(5), 'ü', null], id: 'x/1' };

  test('are decoded as they were encoded', () => {
    expect(decodeToken(encodeToken(token, shape), shape)).toEqual(token);
    const search: Shape = { ...shape, types: ['score'] };
    expect(decodeToken(encodeToken({ ...token, keys: [1.7823784] }, search), search).keys).toEqual([1.7823784]);
  });

  /** Sealed by this system, as by another version of it. */
  const forged = (...content: unknown[]) => sealToken('page', JSON.stringify(content));
  const contentOf = (made: string) => JSON.parse(openToken('page', made)!) as unknown[];
  const print = contentOf(encodeToken(token, shape))[0];
  const keys = ['1', '1970-01-01T00:00:00.005Z', 'x', true];
  test.each([
    ['another query', encodeToken(token, { ...shape, query: [{ a: 2n }] })],
    ['another projection', encodeToken(token, { ...shape, projection: 'p.v2' })],
    ['nonsense', 'nonsense'],
    ['no base64url', '*'],
    ['too long', 'a'.repeat(10_000)],
    ['no list', sealToken('page', '{}')],
    ['not sealed, as by 0.2', Buffer.from(JSON.stringify([print, 1, keys, 'x'])).toString('base64url')],
    ['sealed for another use', sealToken('consistency', JSON.stringify([print, 1, keys, 'x']))],
    ['a text with U+0000', forged(print, 1, ['1', keys[1], 'a\0', true], 'x')],
    ['a date that no store has', forged(print, 1, ['1', '+275760-09-13T00:00:00.000Z', 'x', true], 'x')],
    ['a generation that is none', forged(print, 0, keys, 'x')],
    ['too few keys', forged(print, 1, keys.slice(1), 'x')],
    ['a number for a long', forged(print, 1, [1, ...keys.slice(1)], 'x')],
    ['a long that is none', forged(print, 1, ['9999999999999999999', ...keys.slice(1)], 'x')],
    ['no time', forged(print, 1, ['1', 'yesterday', 'x', true], 'x')],
    ['an object', forged(print, 1, ['1', keys[1], { $gt: '' }, true], 'x')],
    ['no id', forged(print, 1, keys, '')],
  ])('are refused: %s', (_, text) => {
    expect(() => decodeToken(text, shape)).toThrow(
      expect.objectContaining({
        code: 'INVALID_ARGUMENT',
        violations: [expect.objectContaining({ field: 'page_token' })],
      }),
    );
  });

  test('that name an order are for this order only; those that name none, for the same query', () => {
    const ordered: Shape = { ...shape, order: 'total desc' };
    expect(decodeToken(encodeToken(token, ordered), ordered)).toEqual(token);
    const otherOrder: Shape = { ...ordered, order: 'total', query: ['other'] };
    expect(() => decodeToken(encodeToken(token, ordered), otherOrder)).toThrow(
      'in the order "total desc", not "total"',
    );
    expect(() => decodeToken(encodeToken(token, ordered), { ...ordered, query: ['other'] })).toThrow('another query');
    // Made when the list had no name for its order: it goes on if that is still its order.
    const older = encodeToken(token, shape);
    expect(decodeToken(older, ordered)).toEqual(token);
    expect(() => decodeToken(older, { ...ordered, query: ['other'] })).toThrow(
      expect.objectContaining({ reason: 'PAGE_TOKEN_EXPIRED' }),
    );
    const parts = contentOf(older);
    for (const order of [7, '', 'total"', 'x'.repeat(101), null])
      expect(() => decodeToken(forged(...parts, order), ordered)).toThrow('was not issued by this method');
  });

  test('are as short as the contract demands, with the longest keys', () => {
    const long = 'ü'.repeat(500);
    const longest = { generation: 10 ** 6, keys: [true, long, long], id: 'x'.repeat(400) };
    const made = encodeToken(longest, {
      ...shape,
      types: ['boolean', 'keyword', 'keyword'],
      order: 'create_time desc',
    });
    expect(made.length).toBeLessThanOrEqual(4_000);
  });

  test('the same with valid content is accepted', () => {
    expect(decodeToken(forged(print, 1, keys, 'x'), shape).keys).toEqual([1n, new Date(5), 'x', true]);
  });
});

for (const name of ['mongodb', 'postgres', 'elasticsearch'] as const) {
  describeWith([name], `views in ${name}`, () => {
    let place: TestStore;
    let now = 1_000_000;
    let version = 0;
    const clock = () => new Date(now);
    beforeAll(async () => {
      place = await testStores[name]();
    });
    afterAll(() => place.remove());
    afterEach(() => {
      now = 1_000_000;
    });

    async function setUp() {
      version += 1;
      const projection = { ...details, version };
      const { store } = place;
      const views = openViews({ projection, store, cacheMs: 0, clock });
      const generation = async (number: number) => {
        const collection = collectionOf({ projection, store, generation: number });
        await collection.create();
        return { collection, projector: createProjector({ projection, store, generation: number }) };
      };
      const record = (generations: Generations['generations']) =>
        changeGenerations(projection, store, () => ({ last: 9, generations }));
      return { ...testLogs(), projection, store, views, generation, record };
    }

    test('there is nothing to read before the first generation', async () => {
      const { views, record, generation } = await setUp();
      await expect(views.get('1')).rejects.toMatchObject({ code: 'UNAVAILABLE', reason: 'VIEW_NOT_BUILT' });
      await generation(1);
      await record([{ number: 1, fed: true, from: now + 1 }]);
      await expect(views.find({ limit: 1 })).rejects.toMatchObject({ reason: 'VIEW_NOT_BUILT' });
      now += 1;
      expect(await views.get('1')).toBeUndefined();
      expect(await views.find({ limit: 1 })).toEqual({ views: [], nextPageToken: '' });
    });

    test('pages continue where they were, whatever is written in between', async () => {
      const { views, record, generation, append, all } = await setUp();
      const { projector, collection } = await generation(1);
      await record([{ number: 1, fed: true, from: 0 }]);
      for (let number = 10; number < 20; number++)
        await append(order, `o${number}`, created(number % 2 ? 'ann' : 'ben', BigInt(number % 4)));
      await projector.handle(all());
      await collection.refresh();
      const query: Query = { orderBy: [{ key: 'total', descending: true }, { key: 'created' }], limit: 3 };
      const seen: string[] = [];
      let page: Page<Details> | undefined;
      for (let round = 0; page?.nextPageToken !== ''; round++) {
        page = await views.find({ ...query, pageToken: page?.nextPageToken });
        seen.push(...page.views.map(({ id }) => id));
        // One view before the page's end, one after: neither shifts the others.
        const [event] = await append(order, `n${round}`, created('cleo', 99n));
        await projector.handle([event!]);
        await collection.refresh();
      }
      expect(seen).toEqual(['o11', 'o15', 'o19', 'o10', 'o14', 'o18', 'o13', 'o17', 'o12', 'o16']);
      const found = await views.find({
        where: [
          { key: 'customer', equals: 'ann' },
          { key: 'total', atLeast: 3n },
        ],
        limit: 10,
      });
      expect(found.views.map(({ id, view }) => [id, view.customer, view.total])).toEqual([
        ['o11', 'ann', 3n],
        ['o15', 'ann', 3n],
        ['o19', 'ann', 3n],
      ]);
      const first = await views.find(query);
      await expect(views.find({ ...query, limit: 5, pageToken: first.nextPageToken })).resolves.toMatchObject({
        views: expect.any(Array),
      });
      await expect(views.find({ limit: 3, pageToken: first.nextPageToken })).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
      });
    });

    test('a page token with any content is taken, or refused as one: no store fails for it', async () => {
      const { views, record, generation, append, all } = await setUp();
      const { projector, collection } = await generation(1);
      await record([{ number: 1, fed: true, from: 0 }]);
      for (const id of ['a', 'b', 'c']) await append(order, id, created('ann', 3n));
      await projector.handle(all());
      await collection.refresh();
      const query: Query = {
        orderBy: [{ key: 'total' }, { key: 'created', descending: true }, { key: 'customer' }],
        limit: 1,
      };
      const { nextPageToken } = await views.find(query);
      const [print] = JSON.parse(openToken('page', nextPageToken)!);
      const odd = fc.constantFrom(
        '',
        '\0',
        'a\0b',
        '\ud800',
        '\udc00x',
        '\uffff',
        '%',
        '"',
        '\\',
        '\u{10ffff}',
        'x'.repeat(5_000),
      );
      const times = [
        '9999-12-31T23:59:59.999Z',
        '0000-01-01T00:00:00.000Z',
        '+012345-01-01T00:00:00.000Z',
        '-000001-01-01T00:00:00.000Z',
      ];
      const time = fc.oneof(
        fc.date({ noInvalidDate: true }).map((date) => date.toJSON()),
        fc.date({ noInvalidDate: true, min: new Date(0), max: new Date(2 ** 42) }).map((date) => date.toJSON()),
        fc.constantFrom(...times, '1970-01-01', 'yesterday'),
      );
      const long = fc.oneof(
        fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n }).map(String),
        fc.constantFrom('-0', '007', '1.5', ''),
      );
      const text = fc.oneof(fc.string({ unit: 'binary' }), odd);
      const key = fc.oneof(text, time, long, fc.jsonValue());
      const number = fc.oneof(
        { weight: 4, arbitrary: fc.constant(1) },
        fc.constantFrom(0, -1, 2, 1.5, 2 ** 53 - 1, 1e300, 'x'),
      );
      const valid = fc.tuple(
        fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String),
        fc.date({ noInvalidDate: true, min: new Date(0), max: new Date(2 ** 42) }).map((date) => date.toJSON()),
        fc.string({ unit: 'grapheme' }),
      );
      const outcomes = { taken: 0, refused: 0 };
      await fc.assert(
        fc.asyncProperty(
          number,
          fc.oneof(valid, fc.tuple(long, time, text), fc.tuple(key, key, key), fc.array(key)),
          text,
          async (...content) => {
            const pageToken = sealToken('page', JSON.stringify([print, ...content]));
            const found = await views.find({ ...query, pageToken }).catch((error: unknown) => error);
            if ((found as Page<Details>).views) outcomes.taken++;
            else {
              outcomes.refused++;
              expect(found).toMatchObject({ code: 'INVALID_ARGUMENT' });
            }
          },
        ),
        { numRuns: 400 },
      );
      expect(Math.min(outcomes.taken, outcomes.refused)).toBeGreaterThan(20);
    });

    test('a page token stays with its generation, and expires with it', async () => {
      const { views, record, generation, append, all } = await setUp();
      const [one, two] = [await generation(1), await generation(2)];
      await append(order, 'a', created('ann'));
      await append(order, 'b', created('ben'));
      await one.projector.handle(all());
      await append(order, 'c', created('cleo'));
      await two.projector.handle(all());
      await Promise.all([one, two].map(({ collection }) => collection.refresh()));
      await record([
        { number: 1, fed: true, from: 0, until: now + 600_000 },
        { number: 2, fed: true, from: now + 100 },
      ]);
      const { nextPageToken } = await views.find({ limit: 1 });
      now += 100;
      const rest = async (pageToken: string) => (await views.find({ limit: 9, pageToken })).views.map(({ id }) => id);
      expect((await views.find({ limit: 9 })).views).toHaveLength(3);
      expect(await rest(nextPageToken)).toEqual(['b']);
      now += 600_000;
      await expect(rest(nextPageToken)).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
        reason: 'PAGE_TOKEN_EXPIRED',
      });
      await record([{ number: 2, fed: true, from: now - 1 }]);
      await one.collection.drop();
      await expect(rest(nextPageToken)).rejects.toMatchObject({ reason: 'PAGE_TOKEN_EXPIRED' });
    });

    test('queries that are not valid throw: the caller has a bug', async () => {
      const { views, record, generation } = await setUp();
      await generation(1);
      await record([{ number: 1, fed: true, from: 0 }]);
      await expect(views.find({ where: [{ key: 'nothing', equals: 1 }], limit: 1 })).rejects.toThrow('not a key');
      await expect(views.find({ where: [{ key: 'total', equals: 'x' }], limit: 1 })).rejects.toThrow('no long');
    });

    if (name === 'mongodb')
      test('a store that cannot search is refused', () => {
        expect(() => openSearch({ projection: details, store: place.store })).toThrow("can't search");
      });
    else
      test('a search continues page by page, in its generation', async () => {
        const { record, store, projection, append, all } = await setUp();
        const titled = {
          ...projection,
          keys: {
            ...projection.keys,
            title: { type: 'text' as const, short: true, of: (view: Details) => view.customer },
          },
        };
        const collection = collectionOf({ projection: titled, store, generation: 1 });
        await collection.create();
        await record([{ number: 1, fed: true, from: 0 }]);
        for (let number = 0; number < 5; number++)
          await append(order, `o${number}`, created(`lantern ${number === 3 ? 'lantern' : 'x'}`, BigInt(number)));
        await createProjector({ projection: titled, store, generation: 1 }).handle(all());
        await collection.refresh();
        const search = openSearch({ projection: titled, store, cacheMs: 0, clock });
        const query = { text: 'lantern', fields: { title: 2 }, facets: ['customer'], limit: 2 };
        const seen: string[] = [];
        let pageToken: string | undefined;
        do {
          const page = await search.search({ ...query, pageToken });
          expect(page.total).toBe(5);
          expect(page.facets).toEqual({
            customer: {
              values: [
                { value: 'lantern x', count: 4 },
                { value: 'lantern lantern', count: 1 },
              ],
              more: false,
            },
          });
          seen.push(...page.views.map(({ id }) => id));
          pageToken = page.nextPageToken;
        } while (pageToken);
        expect(seen).toHaveLength(5);
        expect(new Set(seen)).toEqual(new Set(['o0', 'o1', 'o2', 'o3', 'o4']));
        const { nextPageToken } = await search.search(query);
        await expect(search.search({ ...query, text: 'x', pageToken: nextPageToken })).rejects.toMatchObject({
          code: 'INVALID_ARGUMENT',
        });
        await expect(search.search({ ...query, fields: { customer: 1 } })).rejects.toThrow('not a text key');
        await expect(search.search({ ...query, fields: { title: 0.3 } })).rejects.toThrow('no multiple of 1/4');

        const walk = async (more: object) => {
          const ids: string[] = [];
          let pageToken: string | undefined;
          do {
            const page = await search.search({ ...query, ...more, pageToken });
            ids.push(...page.views.map(({ id }) => id));
            pageToken = page.nextPageToken;
          } while (pageToken);
          return ids;
        };
        const orderBy = [{ key: 'total', descending: true }];
        expect(await walk({ orderBy })).toEqual(['o4', 'o3', 'o2', 'o1', 'o0']);
        const ordered = await search.search({ ...query, orderBy });
        await expect(search.search({ ...query, pageToken: ordered.nextPageToken })).rejects.toMatchObject({
          code: 'INVALID_ARGUMENT',
        });
        // What the first page forgives, all pages do.
        expect((await walk({ text: 'lantren' })).toSorted()).toEqual(['o0', 'o1', 'o2', 'o3', 'o4']);
        expect(await search.search({ ...query, text: '★' })).toEqual({
          views: [],
          nextPageToken: '',
          total: 0,
          facets: { customer: { values: [], more: false } },
          forgiven: false,
        });

        // Every page says whether errors were forgiven.
        const similar = await search.search({ ...query, text: 'lantren' });
        const next = await search.search({ ...query, text: 'lantren', pageToken: similar.nextPageToken });
        const asIs = await search.search(query);
        const none = await search.search({ ...query, text: 'unicorn' });
        expect([similar, next, asIs, none].map(({ forgiven }) => forgiven)).toEqual([true, true, false, false]);
        // A view that has the words as they are, and does not meet the conditions, keeps similar ones from being found.
        const excluded = { where: [{ key: 'total', atMost: 3n }], limit: 9 };
        expect((await walk({ ...excluded, text: 'lanterm' })).length).toBe(4);
        await append(order, 'o5', created('lanterm', 5n));
        await createProjector({ projection: titled, store, generation: 1 }).handle(all());
        await collection.refresh();
        expect(await walk({ ...excluded, text: 'lanterm' })).toEqual([]);
        expect(await walk({ text: 'lanterm' })).toEqual(['o5']);
        // A token of another order says so.
        const named = await search.search({ ...query, orderBy, order: 'total desc' });
        await expect(
          search.search({ ...query, order: 'relevance', pageToken: named.nextPageToken }),
        ).rejects.toMatchObject({
          violations: [{ field: 'page_token', description: expect.stringContaining('leave order_by as it was') }],
        });
        // One from before there were several orders has expired.
        await expect(
          search.search({ ...query, text: 'x', order: 'relevance', pageToken: asIs.nextPageToken }),
        ).rejects.toMatchObject({ reason: 'PAGE_TOKEN_EXPIRED' });
      });
  });
}
