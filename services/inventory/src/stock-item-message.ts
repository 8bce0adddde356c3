/** The stock of a product as the contract spells it. */
import { commandEtag } from '@caudal/context/etag.ts';
import type { StockItem } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { availableOf, type StockState } from './domain/stock.ts';

/** The stock as a command has left it. */
export function stockItemMessage(state: StockState, version: number): StockItem {
  const { productId, kind, policy, onHand, reserved, updatedAt } = state;
  return {
    productId,
    kind,
    policy,
    onHand,
    reserved,
    available: availableOf(state),
    updateTime: updatedAt,
    etag: commandEtag(version),
  };
}
