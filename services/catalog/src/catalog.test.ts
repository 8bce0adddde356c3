import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import {
  type CatalogQueryServiceService,
  type CatalogServiceService,
  Product,
} from '@caudal/contract/gen/caudal/catalog/v1/catalog.ts';
import { newId } from '@caudal/kernel/ids.ts';
import type { Handlers } from '@caudal/rpc/types.ts';
import { refusalOf, testCall } from '@caudal/testing/call.ts';
import { viewsOf } from '@caudal/testing/interleavings.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { fixedViews } from '@caudal/testing/view-readers.ts';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { catalogService } from './commands/catalog-service.ts';
import { isListed, productSearch } from './projections/product-search.ts';
import { catalogQueryService } from './queries/catalog-query-service.ts';

const start = new Date('2026-01-01T00:00:00Z');
const texts = { title: 'Mug', description: 'For tea', category: 'kitchen' };
const price = { minorUnits: 250n, currency: 'GBP' };

describe('commands', () => {
  let api: Handlers<CatalogServiceService>;
  const create = (call = testCall()) => api.createProduct({ requestId: '', productId: 'P1', ...texts, price }, call);
  const update = (change: object) =>
    api.updateProduct(
      {
        requestId: '',
        productId: 'P1',
        etag: '',
        title: undefined,
        description: undefined,
        category: undefined,
        updateMask: undefined,
        ...change,
      },
      testCall(),
    );

  beforeEach(() => {
    const log = memoryLog({ domain: 'catalog', clock: () => start });
    const aggregates = openAggregates({ log, clock: () => start, ids: newId });
    api = catalogService({ aggregates }).handlers as unknown as Handlers<CatalogServiceService>;
  });

  test('answer with the product and with a consistency token', async () => {
    const call = testCall({ requestId: 'x' });
    const created = await create(call);
    expect(created).toEqual({
      productId: 'P1',
      ...texts,
      price,
      discontinued: false,
      available: 0n,
      createTime: start,
      updateTime: start,
      etag: '2',
    });
    expect(call.written).toEqual([{ stream: 'catalog.product/P1', version: 2 }]);
    expect(await create(testCall({ requestId: 'x' }))).toEqual(created);
    const product = { requestId: '', productId: 'P1', etag: '' };
    expect(await api.setPrice({ ...product, price: { minorUnits: 300n, currency: 'GBP' } }, testCall())).toMatchObject({
      etag: '3',
    });
    expect(await api.discontinueProduct(product, testCall())).toMatchObject({ discontinued: true, etag: '4' });
    expect(await api.relistProduct(product, testCall())).toMatchObject({ discontinued: false, etag: '5' });
  });

  test('an update sets the fields of its mask, or without one those that are there, also to empty', async () => {
    await create();
    expect(await update({ title: 'Cup' })).toMatchObject({ title: 'Cup', description: 'For tea' });
    expect(await update({ description: '' })).toMatchObject({ title: 'Cup', description: '', category: 'kitchen' });
    expect(await update({ description: 'For tea', updateMask: [] })).toMatchObject({ description: 'For tea' });
    expect(await refusalOf(update({ title: '' }))).toEqual({ code: 'INVALID_ARGUMENT', reason: 'INVALID_FIELD' });
    expect(await update({ updateMask: ['description'], title: 'ignored' })).toMatchObject({
      title: 'Cup',
      description: '',
    });
    expect(await update({ updateMask: ['*'], title: 'Bowl' })).toMatchObject({ title: 'Bowl', category: '' });
    expect(await refusalOf(update({ updateMask: ['*'] }))).toEqual({
      code: 'INVALID_ARGUMENT',
      reason: 'INVALID_FIELD',
    });
    expect(await refusalOf(update({ updateMask: ['price'] }))).toEqual({
      code: 'INVALID_ARGUMENT',
      reason: 'INVALID_FIELD',
    });
  });

  test('a change with an old etag is refused', async () => {
    await create();
    expect(await refusalOf(update({ title: 'Cup', etag: '1' }))).toEqual({ code: 'ABORTED', reason: 'ETAG_MISMATCH' });
    expect(await update({ title: 'Cup', etag: '2-17' })).toMatchObject({ title: 'Cup' });
    expect((await refusalOf(update({ productId: 'P2', title: 'Cup', etag: '1' }))).code).toBe('NOT_FOUND');
  });

  test('BatchGetProducts reads the present state, in the requested order', async () => {
    await create();
    await api.createProduct({ requestId: '', productId: 'P2', ...texts, price: undefined }, testCall());
    const { products } = await api.batchGetProducts({ productIds: ['P2', 'nothing', 'P1'] }, testCall());
    expect(products.map(({ productId, price: known }) => [productId, known])).toEqual([
      ['P2', undefined],
      ['P1', price],
    ]);
    // A thousand of the longest would be 40 MB.
    expect(products.map(({ title, description }) => [title, description])).toEqual([
      [texts.title, ''],
      [texts.title, ''],
    ]);
  });
});

describe('product search', () => {
  const productEvents = {
    stream: 'catalog.product/P1',
    from: start,
    events: [
      { $case: 'created', value: { productId: 'P1', ...texts } },
      { $case: 'priceSet', value: { price } },
      { $case: 'updated', value: { ...texts, title: 'Cup' } },
      { $case: 'discontinued', value: {} },
    ],
  };
  const stockEvents = {
    stream: 'inventory.stock/P1',
    from: new Date('2026-02-01T00:00:00Z'),
    events: [
      { $case: 'created', value: { productId: 'P1', kind: 'premium', policy: {}, quantity: 10n, available: 8n } },
      { $case: 'reserved', value: { reservationId: 'r', quantity: 2n, expireTime: start, available: 6n } },
      { $case: 'barred', value: { reservationId: 's', until: start } },
    ],
  };

  test('is the same whether product or stock comes first', () => {
    const view = viewsOf(productSearch, [productEvents, stockEvents]).get('P1')!;
    expect(view).toEqual({
      productId: 'P1',
      ...texts,
      title: 'Cup',
      price,
      discontinued: true,
      available: 6n,
      createTime: start,
      updateTime: new Date(start.getTime() + 3000),
      etag: '',
    });
    expect(productSearch.keys.on_sale!.of(view)).toBe(false);
    expect(productSearch.keys.in_stock!.of(view)).toBe(true);
  });

  test('a view with stock alone is not a product', () => {
    const view = viewsOf(productSearch, [stockEvents]).get('P1')!;
    expect(isListed(view)).toBe(false);
    expect(productSearch.keys.on_sale!.of(view)).toBe(false);
  });
});

describe('queries', () => {
  const listed = Product.fromPartial({ productId: 'P1', title: 'Mug', createTime: start });
  const products = fixedViews({ P1: listed, P2: Product.fromPartial({ available: 3n }) }, 'next');
  const looks = new Map<string, number>();
  const interest = {
    saw: (id: string) => void looks.set(id, (looks.get(id) ?? 0) + 1),
    of: async (id: string) => looks.get(id) ?? 0,
  };
  const api = catalogQueryService({ products, interest }).handlers as unknown as Handlers<CatalogQueryServiceService>;
  const searching = (change: object) =>
    api.searchProducts(
      {
        query: 'mug',
        categories: [],
        availableOnly: false,
        pageSize: 0,
        pageToken: '',
        readMask: undefined,
        orderBy: '',
        ...change,
      },
      testCall(),
    );

  test('how often a product was looked at', async () => {
    const interestOf = (productId: string) => api.getProductInterest({ productId, readMask: undefined }, testCall());
    for (let i = 0; i < 3; i++) await api.getProduct({ productId: 'P1', readMask: undefined }, testCall());
    expect(await interestOf('P1')).toEqual({ productId: 'P1', reads: 3n });
    expect((await refusalOf(interestOf('P2'))).code).toBe('NOT_FOUND');
  });

  test('one product, if it is in the catalogue', async () => {
    expect(await api.getProduct({ productId: 'P1', readMask: undefined }, testCall())).toMatchObject({ title: 'Mug' });
    for (const productId of ['P2', 'P3']) {
      expect(await refusalOf(api.getProduct({ productId, readMask: undefined }, testCall()))).toEqual({
        code: 'NOT_FOUND',
        reason: 'PRODUCT_NOT_FOUND',
      });
    }
  });

  test('a search is for products on sale, with the conditions of the request', async () => {
    const answer = { totalSize: 2n, nextPageToken: 'next', categories: [], forgiven: false };
    expect(await searching({})).toMatchObject(answer);
    await searching({
      categories: ['kitchen'],
      currency: 'GBP',
      orderBy: ' price   desc ',
      minPrice: 100n,
      maxPrice: 200n,
      availableOnly: true,
      pageSize: 5,
      pageToken: 'here',
    });
    expect(products.asked.map(({ where, limit, orderBy, order }) => ({ where, limit, orderBy, order }))).toEqual([
      { where: [{ key: 'on_sale', equals: true }], limit: 20, orderBy: [], order: 'relevance' },
      {
        where: [
          { key: 'on_sale', equals: true },
          { key: 'category', in: ['kitchen'] },
          { key: 'currency', equals: 'GBP' },
          { key: 'price', atLeast: 100n, atMost: 200n },
          { key: 'in_stock', equals: true },
        ],
        limit: 5,
        orderBy: [{ key: 'price', descending: true }],
        order: 'price desc',
      },
    ]);
  });

  test.each([
    ['', 'relevance'],
    ['relevance', 'relevance'],
    ['price asc', 'price'],
    ['createTime desc', 'create_time desc'],
  ])('the order %j is written as in other lists', async (orderBy, order) => {
    await searching({ orderBy, currency: 'GBP' });
    expect(products.asked.at(-1)!.order).toBe(order);
  });

  test.each([
    [{ minPrice: 3n, maxPrice: 2n, currency: 'GBP' }, 'min_price'],
    [{ minPrice: 3n }, 'currency'],
    [{ maxPrice: 3n }, 'currency'],
    [{ orderBy: 'price' }, 'currency'],
    [{ orderBy: 'price asc' }, 'currency'],
    [{ orderBy: 'title' }, 'order_by'],
    [{ orderBy: 'constructor' }, 'order_by'],
    [{ orderBy: 'price, create_time', currency: 'GBP' }, 'order_by'],
  ])('%j is refused', async (change, field) => {
    await expect(searching(change)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      violations: [expect.objectContaining({ field })],
    });
  });
});
