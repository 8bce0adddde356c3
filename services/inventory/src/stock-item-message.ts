/** The stock of a product as a message of the contract. */
import { commandEtag } from '@caudal/context/etag.ts';
import type { StockItem } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { availableOf, type StockState } from './domain/stock.ts';

/** The stock after a command. */
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
