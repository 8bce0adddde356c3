/** What a projector does to the cache, and reads of views and pages with each strategy. */
import { openCache } from '@caudal/cache/cache.ts';
import type { Cache } from '@caudal/cache/types.ts';
import type { ContextProjection, ViewCaching } from '@caudal/context/context.ts';
import { type EventOf, product } from '@caudal/contract/entities.ts';
import { Product } from '@caudal/contract/gen/caudal/catalog/v1/catalog.ts';
import type { ReadStrength } from '@caudal/contract/reads.ts';
import { newEvent } from '@caudal/eventlog/codec.ts';
import type { StoredDocument } from '@caudal/projections/stores/store.ts';
import { openWaits } from '@caudal/rpc/server/waits.ts';
import { productSearch } from '@caudal/service-catalog/projections/product-search.ts';
import { refusalOf, testCall } from '@caudal/testing/call.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { searchReader } from '../queries/view-readers.ts';
import { parseCaches } from '../settings/caches.ts';
import { storeOf } from '../testing/store-of.ts';
import { afterWrites } from './view-caching.ts';

const record = `product-search.v${productSearch.version}`;
const stream = 'catalog.product/p1';

function productNamed(id: string, title: string, revision: number): StoredDocument {
  const view = Product.toJSON(Product.fromPartial({ productId: id, title }));
  return { id, revision, streams: { [`catalog.product/${id}`]: revision }, view };
}

describe('views and pages in the cache', () => {
  let cache: Cache;
  beforeEach(async () => {
    cache = await openCache({ namespace: 'test', maxEntries: 100, localTtlMs: 60_000 });
  });
  afterEach(() => cache.stop());

  function open(views: ViewCaching, caches?: string) {
    const state = { loads: 0, nearest: 0, searches: 0, confirmed: 0 };
    const generations = { last: 1, generations: [{ number: 1, fed: true, from: 0 }] };
    const documents = new Map<string, StoredDocument>([
      [record, { id: record, revision: 1, streams: {}, view: generations }],
    ]);
    const found = (ids: string[]) => ids.flatMap((id) => documents.get(id) ?? []);
    const old = new Map<string, StoredDocument>();
    const base = storeOf({
      async load(ids) {
        if (!ids.includes(record)) state.loads += 1;
        return found(ids);
      },
      async loadNearest(ids) {
        if (ids.includes(record)) return found(ids);
        state.nearest += 1;
        return ids.flatMap((id) => old.get(id) ?? documents.get(id) ?? []);
      },
      async refresh() {},
      async search() {
        state.searches += 1;
        const hits = [...documents.values()].filter(({ id }) => id !== record);
        return {
          hits: hits.map((document) => ({ document, score: 1 })),
          total: hits.length,
          facets: { category: { values: [], more: false } },
        };
      },
    });
    const store = {
      ...base,
      searches: true,
      async confirm() {
        state.confirmed += 1;
      },
    };
    const definition: ContextProjection = { projection: productSearch, store: 'search', cache: views };
    const log = memoryLog({ domain: 'catalog' });
    const parsed = caches === undefined ? undefined : parseCaches(caches);
    const reader = searchReader<Product>({
      ...{ definition, store, cache, caches: parsed, cacheIsInvalidated: true, waits: openWaits(1_000) },
      logs: new Map([
        ['catalog', log],
        ['inventory', memoryLog({ domain: 'inventory' })],
      ]),
    });
    const onWritten = afterWrites<Product>({ cache, definition, caches: parsed, isShared: true });
    const write = async (id: string, title: string, revision: number) => {
      documents.set(id, productNamed(id, title, revision));
      await onWritten(1, [documents.get(id)!]);
    };
    const get = async (readStrength?: ReadStrength) =>
      (await reader.get('p1', { ...testCall(), readStrength }))?.view.title;
    const search = async (readStrength?: ReadStrength) => {
      const query = { text: 'x', fields: { title: 1 }, facets: ['category'], limit: 10 };
      const page = await reader.search(query, { ...testCall(), readStrength });
      return page.views.map(({ view }) => view.title);
    };
    return { state, documents, old, log, write, get, search };
  }

  test('cache-aside: after a write the next read loads', async () => {
    const { state, write, get } = open({ strategy: 'cache-aside', ms: 60_000 });
    await write('p1', 'first', 1);
    expect([await get(), await get(), state.loads]).toEqual(['first', 'first', 1]);
    await write('p1', 'second', 2);
    expect([await get(), state.loads]).toEqual(['second', 2]);
  });

  test('write-through: what the projector has written is read without a load; a deleted view is gone', async () => {
    const { state, documents, write, get } = open(
      { strategy: 'cache-aside', ms: 60_000 },
      'product-search=write-through/1m',
    );
    await write('p1', 'first', 1);
    expect([await get(), state.loads]).toEqual(['first', 0]);
    await write('p1', 'second', 2);
    expect([await get(), state.loads]).toEqual(['second', 0]);
    const onWritten = afterWrites<Product>({
      ...{ cache, isShared: true, caches: undefined },
      definition: { projection: productSearch, store: 'search', cache: { strategy: 'write-through', ms: 60_000 } },
    });
    const gone = { ...productNamed('p1', '', 3), view: undefined };
    documents.set('p1', gone);
    await onWritten(1, [gone]);
    expect([await get(), state.loads]).toEqual([undefined, 1]);
  });

  test('pages are cached if the settings say so, and a change of a view drops those that show it', async () => {
    const { state, write, search } = open(
      { strategy: 'cache-aside', ms: 60_000 },
      'product-search.pages=cache-aside/1m',
    );
    await write('p1', 'first', 1);
    expect([await search(), await search(), state.searches]).toEqual([['first'], ['first'], 1]);
    await write('p2', 'other', 1);
    // The page does not show it, and is as old as its time allows.
    expect([await search(), state.searches]).toEqual([['first'], 1]);
    await write('p1', 'second', 2);
    expect([await search(), state.searches]).toEqual([['second', 'other'], 2]);
  });

  test('without that they are not', async () => {
    const { state, write, search } = open({ strategy: 'cache-aside', ms: 60_000 });
    await write('p1', 'first', 1);
    await search();
    await search();
    expect(state.searches).toBe(2);
  });

  describe('read strength', () => {
    const titled = (title: string): EventOf<typeof product> => ({
      $case: 'updated',
      value: { title, description: '', category: '' },
    });

    test('ONE: the cache, or the nearest copy, which is not kept', async () => {
      const { state, old, write, get } = open({ strategy: 'cache-aside', ms: 60_000 });
      await write('p1', 'second', 2);
      old.set('p1', productNamed('p1', 'first', 1));
      expect([await get('ONE'), await get('ONE'), state]).toMatchObject(['first', 'first', { nearest: 2, loads: 0 }]);
      expect(await get()).toBe('second');
      expect([await get('ONE'), state.nearest]).toEqual(['second', 2]);
    });

    test('QUORUM: the store, confirmed, past the cache', async () => {
      const { state, documents, write, get, search } = open({ strategy: 'cache-aside', ms: 60_000 });
      await write('p1', 'first', 1);
      await get();
      documents.set('p1', productNamed('p1', 'second', 2));
      expect([await get(), await get('QUORUM'), state.confirmed]).toEqual(['first', 'second', 1]);
      expect([await search('QUORUM'), state.confirmed]).toEqual([['second'], 2]);
    });

    test('STRONG: what the log has now; a view that lacks it is waited for, and then refused', async () => {
      const { documents, log, write, get, search } = open({ strategy: 'cache-aside', ms: 60_000 });
      await write('p1', 'first', 1);
      const append = (expected: number) =>
        log.append({
          ...{ stream, expected },
          events: [newEvent({ entity: product, event: titled('x'), origin: testCall().origin, now: new Date() })],
        });
      await append(0);
      expect(await get()).toBe('first');
      expect(await get('STRONG')).toBe('first');
      await append(1);
      expect(await get()).toBe('first');
      const reading = get('STRONG');
      setTimeout(() => documents.set('p1', productNamed('p1', 'second', 2)), 200);
      expect(await reading).toBe('second');
      await append(2);
      expect(await refusalOf(get('STRONG'))).toEqual({ code: 'UNAVAILABLE', reason: 'NOT_YET_VISIBLE' });
      expect(await refusalOf(search('STRONG'))).toEqual({
        code: 'INVALID_ARGUMENT',
        reason: 'READ_STRENGTH_NOT_SERVED',
      });
    });
  });
});
