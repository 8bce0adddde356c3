/** Changes stock: caudal.inventory.v1.InventoryService. */
import type { Moment } from '@caudal/aggregates/types.ts';
import { executeFor } from '@caudal/context/execute-for.ts';
import { InventoryServiceService, StockItem } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { type Call, service } from '@caudal/rpc/types.ts';
import { type StockEvent, type StockState, stockDecider } from '../domain/stock.ts';
import { adjust, createStockItem, restock } from '../domain/stock-item.ts';
import { stockItemMessage } from '../stock-item-message.ts';
import type { InventoryDependencies } from './dependencies.ts';
import { commitReservation, releaseReservation, returnStock } from './end-reservation.ts';
import { reserveStock } from './reserve-stock.ts';

export function inventoryService(dependencies: InventoryDependencies) {
  return service(InventoryServiceService, {
    createStockItem: ({ productId, kind, policy, quantity }, call) =>
      change(productId, call, (state, moment) => createStockItem(state, moment, { productId, kind, policy, quantity })),
    restock: ({ productId, quantity }, call) =>
      change(productId, call, (state, moment) => restock(state, moment, { productId, quantity })),
    adjustStock: ({ productId, delta, reason }, call) =>
      change(productId, call, (state, moment) => adjust(state, moment, { productId, delta, reason })),
    reserveStock: reserveStock(dependencies),
    commitReservation: commitReservation(dependencies),
    releaseReservation: releaseReservation(dependencies),
    returnStock: returnStock(dependencies),
  });

  function change(
    productId: string,
    call: Call,
    decide: (state: StockState, moment: Moment) => StockEvent[],
  ): Promise<StockItem> {
    return executeFor(call, dependencies.aggregates, {
      decider: stockDecider,
      id: productId,
      decide,
      reply: ({ state, version }) => stockItemMessage(state, version),
      replyCodec: StockItem,
    });
  }
}
