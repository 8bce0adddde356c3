/** Changes stock: caudal.inventory.v1.InventoryService. */
import { executeFor } from '@caudal/context/execute-for.ts';
import { checkTexts } from '@caudal/context/texts.ts';
import { InventoryServiceService, StockItem } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { type Call, service } from '@caudal/rpc/types.ts';
import { type StockEvent, type StockState, stockDecider } from '../domain/stock.ts';
import { adjust, createStockItem, restock } from '../domain/stock-item.ts';
import { stockItemMessage } from '../stock-item-message.ts';
import { byHand, nameOfReturned } from './by-hand.ts';
import type { InventoryDependencies } from './dependencies.ts';
import { commitReservation, releaseReservation, returnStock } from './end-reservation.ts';
import { reserveStock } from './reserve-stock.ts';

export function inventoryService(dependencies: InventoryDependencies) {
  return service(InventoryServiceService, {
    async createStockItem({ productId, kind, policy, quantity }, call) {
      checkTexts('policy', policy);
      const item = { productId, kind, policy, quantity };
      return change(productId, call, (state) => createStockItem(state, item));
    },
    restock: ({ productId, quantity }, call) =>
      change(productId, call, (state) => restock(state, { productId, quantity })),
    adjustStock: ({ productId, delta, reason }, call) =>
      change(productId, call, (state) => adjust(state, { productId, delta, reason })),
    reserveStock: byHand(reserveStock(dependencies)),
    commitReservation: byHand(commitReservation(dependencies)),
    releaseReservation: byHand(releaseReservation(dependencies)),
    returnStock: byHand(returnStock(dependencies), nameOfReturned(dependencies)),
    putBack: returnStock(dependencies),
  });

  function change(productId: string, call: Call, decide: (state: StockState) => StockEvent[]): Promise<StockItem> {
    return executeFor(call, dependencies.aggregates, {
      decider: stockDecider,
      id: productId,
      decide,
      reply: ({ state, version }) => stockItemMessage(state, version),
      replyCodec: StockItem,
    });
  }
}
