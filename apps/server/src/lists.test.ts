/** A walk through all pages of any list gives every item that was there throughout once, while items change: docs/lists.md. */
import type { SearchReader } from '@caudal/context/view-reader.ts';
import { contract } from '@caudal/contract/descriptors.ts';
import { nextWrite } from '@caudal/projections/fold.ts';
import { changeGenerations } from '@caudal/projections/generations/generations.ts';
import { collectionOf } from '@caudal/projections/projector.ts';
import { openSearch, openViews } from '@caudal/projections/queries/views.ts';
import type { Collection, ViewStore } from '@caudal/projections/stores/store.ts';
import { memoryStore } from '@caudal/projections/testing/memory-store.ts';
import { type TestStore, testStores } from '@caudal/projections/testing/stores.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type ListedViews, lists } from './testing/lists.ts';

// biome-ignore lint/suspicious/noExplicitAny: each list has views of its own
type Listed = ListedViews<any>;

/** They read no views. Their pages are tested where they are. */
const elsewhere = new Set([
  // A stream: services/credentials.
  '/caudal.credentials.v1.CredentialQueryService/ListRevocations',
  // The audit log: cli-audit.test.ts.
  '/caudal.audit.v1.AuditQueryService/ListAuditRecords',
  // Tables of their own: services/tracking.
  '/caudal.tracking.v1.TrackingQueryService/ListParcels',
  '/caudal.tracking.v1.TrackingQueryService/ListTraces',
  '/caudal.tracking.v1.TrackingQueryService/SearchParcels',
]);

test('every list of the contract is walked here', () => {
  const paged = contract()
    .methods()
    .filter(({ request }) => request.fields.some(({ name }) => name === 'page_token'))
    .map(({ path }) => path)
    .filter((path) => !elsewhere.has(path));
  expect(Object.keys(lists).sort()).toEqual(paged.sort());
});

/** A collection of a list's views, and how they are written. */
async function placeFor(list: Listed, store: ViewStore) {
  const { projection } = list;
  const collection = collectionOf({ projection, store, generation: 1 });
  await collection.create();
  await changeGenerations(projection, store, () => ({ last: 1, generations: [{ number: 1, fed: true, from: 0 }] }));
  const views = list.searches ? openSearch({ projection, store }) : openViews({ projection, store });
  const known = new Map<number, { id: string; view: unknown }>();
  return {
    reader: views as unknown as SearchReader<unknown>,
    /** Makes views of these numbers, or changes those that are there. */
    async write(contents: Map<number, number>) {
      const changed = [...contents].flatMap(([number, content]) => {
        const before = known.get(number);
        if (before && !list.change) return [];
        const after = before ? { id: before.id, view: list.change!(before.view, content) } : list.view(number, content);
        known.set(number, after);
        return [after];
      });
      await save(collection, projection, changed);
      return changed.map(({ id }) => id);
    },
    /** Ends all views. */
    async clear() {
      const ended = [...known.values()].map(({ id }) => ({ id, view: undefined }));
      known.clear();
      await save(collection, projection, ended);
    },
  };
}

async function save(
  collection: Collection,
  projection: Listed['projection'],
  views: { id: string; view: unknown }[],
): Promise<void> {
  if (views.length === 0) return;
  const before = new Map((await collection.load(views.map(({ id }) => id))).map((document) => [document.id, document]));
  const writes = views.map(({ id, view }) => nextWrite(projection, { id, before: before.get(id), streams: {}, view }));
  expect(await collection.save(writes)).toEqual({ lost: [], refused: [] });
  await collection.refresh();
}

/** What happens between two pages: by the number of a view, its new content. Numbers from 20 on are new views. */
const between = fc.array(fc.tuple(fc.nat(40), fc.nat(9)), { maxLength: 6 }).map((pairs) => new Map(pairs));
const walks = fc.record({
  initial: fc.uniqueArray(fc.integer({ min: 0, max: 19 }), { minLength: 1, maxLength: 14 }),
  pageSize: fc.integer({ min: 1, max: 4 }),
  changes: fc.array(between, { minLength: 1, maxLength: 8 }),
});

/** Walks the list with new views for each run. */
async function walk(list: Listed, order: string, store: ViewStore, numRuns: number) {
  const { reader, write, clear } = await placeFor(list, store);
  await fc.assert(
    fc.asyncProperty(walks, async ({ initial, pageSize, changes }) => {
      await clear();
      const throughout = await write(new Map(initial.map((number) => [number, number % 5])));
      const seen: string[] = [];
      let pageToken = '';
      let round = 0;
      do {
        const { ids, nextPageToken } = await list.page(reader, { orderBy: order, pageSize, pageToken });
        expect(ids.length).toBeLessThanOrEqual(pageSize);
        seen.push(...ids);
        pageToken = nextPageToken;
        await write(changes[round % changes.length]!);
        // 41 views at most, so as many pages.
        expect(++round).toBeLessThanOrEqual(42);
      } while (pageToken !== '');
      const counts = throughout.map((id) => [id, seen.filter((one) => one === id).length]);
      expect(counts).toEqual(throughout.map((id) => [id, 1]));
      // New ones come once or not at all.
      expect(new Set(seen).size).toBe(seen.length);
    }),
    { numRuns },
  );
  // Other orders have the same views, which they know nothing of.
  await clear();
}

/** The store, whose views take more bytes than they would. */
function padded(store: ViewStore, bytes: number): ViewStore {
  const padding = 'x'.repeat(bytes);
  const grown = <D extends { view: unknown }>(document: D) => ({
    ...document,
    view: { ...(document.view as object), padding },
  });
  return {
    ...store,
    collection(...of) {
      const collection = store.collection(...of);
      return {
        ...collection,
        find: async (find) => (await collection.find(find)).map(grown),
        search: async (find) => {
          const found = await collection.search!(find);
          return { ...found, hits: found.hits.map(({ document, score }) => ({ document: grown(document), score })) };
        },
      };
    },
  };
}

/** Walks the list with the largest pages. */
async function walkLarge(list: Listed, store: ViewStore) {
  const { reader, write, clear } = await placeFor(list, padded(store, 100 * 1024));
  const ids = await write(new Map(Array.from({ length: 20 }, (_, number) => [number, number % 5])));
  const pages: string[][] = [];
  let pageToken = '';
  do {
    const page = await list.page(reader, { orderBy: list.orders[0]!, pageSize: 100, pageToken });
    pages.push(page.ids);
    pageToken = page.nextPageToken;
  } while (pageToken !== '' && pages.length < 42);
  // 512 KiB are reached with the sixth.
  expect(pages.map(({ length }) => length)).toEqual([6, 6, 6, 2]);
  expect(pages.flat().sort()).toEqual(ids.toSorted());
  await clear();
}

describe('in memory', () => {
  const all = Object.entries(lists).filter(([, { searches }]) => !searches);
  test.each(all)('%s ends a page early where its bytes are many', (_, list) => walkLarge(list, memoryStore()));

  for (const [path, list] of Object.entries(lists).filter(([, { searches }]) => !searches))
    test.each(list.orders)(`${path} by "%s"`, (order) => walk(list, order, memoryStore(), 100));
});

for (const name of ['postgres', 'mongodb', 'elasticsearch'] as const) {
  describeWith([name], `in ${name}`, () => {
    let place: TestStore;
    beforeAll(async () => {
      place = await testStores[name]();
    });
    afterAll(() => place.remove());

    const listed = Object.entries(lists).filter(([, { searches }]) => !searches || name !== 'mongodb');
    test.each(listed)('%s ends a page early where its bytes are many', (_, list) => walkLarge(list, place.store));

    for (const [path, list] of listed)
      test.each(list.orders)(`${path} by "%s"`, (order) => walk(list, order, place.store, 6), 120_000);
  });
}

describe('the transactions of a wallet', () => {
  test('are in the order of their events, all within one millisecond', async () => {
    const list = lists['/caudal.payments.v1.WalletQueryService/ListTransactions'] as Listed;
    const { reader, write } = await placeFor(list, memoryStore());
    const numbers = Array.from({ length: 17 }, (_, number) => number);
    const ids = await write(new Map(numbers.map((number) => [number, 0])));
    const page = await list.page(reader, { orderBy: '', pageSize: 100, pageToken: '' });
    expect(page.ids).toEqual(ids.toReversed());
    const oldest = await list.page(reader, { orderBy: 'create_time', pageSize: 100, pageToken: '' });
    expect(oldest.ids).toEqual(ids);
  });
});

describe('a page token', () => {
  test('names its order: with another one it is refused', async () => {
    const list = lists['/caudal.inventory.v1.InventoryQueryService/ListStockItems'] as Listed;
    const { reader, write } = await placeFor(list, memoryStore());
    await write(new Map([0, 1, 2].map((number) => [number, number])));
    const { nextPageToken } = await list.page(reader, { orderBy: 'available', pageSize: 1, pageToken: '' });
    const again = list.page(reader, { orderBy: '', pageSize: 1, pageToken: nextPageToken });
    await expect(again).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      violations: [
        {
          field: 'page_token',
          description:
            'is of a list in the order "available", not "product_id": leave order_by as it was for the first page',
        },
      ],
    });
    const next = await list.page(reader, { orderBy: 'available', pageSize: 9, pageToken: nextPageToken });
    expect(next.ids).toHaveLength(2);
  });
});
