import { type InventoryQueryServiceService, StockItem } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import type { Handlers } from '@caudal/rpc/types.ts';
import { refusalOf, testCall } from '@caudal/testing/call.ts';
import { fixedViews } from '@caudal/testing/view-readers.ts';
import { expect, test } from '@jest/globals';
import { inventoryQueryService } from './inventory-query-service.ts';

const views = fixedViews({ A: StockItem.fromPartial({ productId: 'A', available: 3n }) }, 'next');
const api = inventoryQueryService({ views }).handlers as unknown as Handlers<InventoryQueryServiceService>;

test('reads the stock of one product, if there is any', async () => {
  const found = await api.getStockItem({ productId: 'A', readMask: undefined }, testCall());
  expect(found).toMatchObject({ productId: 'A', available: 3n });
  expect(await refusalOf(api.getStockItem({ productId: 'B', readMask: undefined }, testCall()))).toEqual({
    code: 'NOT_FOUND',
    reason: 'STOCK_NOT_FOUND',
  });
});

test('counts the products with few available pieces', async () => {
  expect(await api.countStockItems({ maxAvailable: 5n }, testCall())).toEqual({ count: 1n });
  await api.countStockItems({ maxAvailable: undefined }, testCall());
  expect(views.counted).toEqual([[{ key: 'available', atMost: 5n }], []]);
});

test('lists by id, or by what is available, up to a bound', async () => {
  const request = { maxAvailable: 5n, orderBy: '', pageSize: 0, pageToken: 'here', readMask: undefined };
  const page = await api.listStockItems(request, testCall());
  expect(page).toMatchObject({ stockItems: [{ productId: 'A' }], nextPageToken: 'next' });
  expect(views.asked).toEqual([
    {
      where: [{ key: 'available', atMost: 5n }],
      order: 'product_id',
      orderBy: [],
      limit: 20,
      pageToken: 'here',
    },
  ]);
  await api.listStockItems({ ...request, pageSize: 1000 }, testCall());
  expect(views.asked.at(-1)).toMatchObject({ limit: 100 });
  await api.listStockItems({ ...request, orderBy: 'available' }, testCall());
  expect(views.asked.at(-1)).toMatchObject({ orderBy: [{ key: 'available' }] });
  await api.listStockItems({ ...request, orderBy: 'available desc' }, testCall());
  expect(views.asked.at(-1)).toMatchObject({ orderBy: [{ key: 'available', descending: true }] });
  const unknown = api.listStockItems({ ...request, orderBy: 'on_hand' }, testCall());
  expect(await refusalOf(unknown)).toEqual({ code: 'INVALID_ARGUMENT', reason: 'INVALID_FIELD' });
});
