/** Reads stock: caudal.inventory.v1.InventoryQueryService. */
import { viewEtag } from '@caudal/context/etag.ts';
import { type ListOrders, listOrder } from '@caudal/context/order-by.ts';
import { pageLimit } from '@caudal/context/page-limit.ts';
import type { ViewReader } from '@caudal/context/view-reader.ts';
import { stock } from '@caudal/contract/entities.ts';
import { InventoryQueryServiceService, type StockItem } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { notFound } from '@caudal/kernel/errors.ts';
import type { Condition, StoredView } from '@caudal/projections/types.ts';
import { service } from '@caudal/rpc/types.ts';

/** The ids stand still; how many pieces are available does not. */
const orders: ListOrders = {
  product_id: [],
  available: [{ key: 'available' }],
  'available desc': [{ key: 'available', descending: true }],
};

export function inventoryQueryService({ views }: { views: ViewReader<StockItem> }) {
  return service(InventoryQueryServiceService, {
    async getStockItem({ productId }, call) {
      const stored = await views.get(productId, call);
      if (!stored) throw notFound('stock', productId);
      return message(stored);
    },

    async listStockItems({ maxAvailable, orderBy, pageSize, pageToken }, call) {
      const page = await views.find(
        {
          where: conditions(maxAvailable),
          ...listOrder(orderBy, orders),
          limit: pageLimit(pageSize),
          pageToken,
        },
        call,
      );
      return { stockItems: page.views.map(message), nextPageToken: page.nextPageToken };
    },

    async countStockItems({ maxAvailable }, call) {
      return { count: BigInt(await views.count(conditions(maxAvailable), call)) };
    },
  });
}

function conditions(maxAvailable: bigint | undefined): Condition[] {
  return maxAvailable === undefined ? [] : [{ key: 'available', atMost: maxAvailable }];
}

function message(stored: StoredView<StockItem>): StockItem {
  return { ...stored.view, etag: viewEtag(stored, stock.stream(stored.id)) };
}
