/** Decisions about the pieces of a product: creating stock, restocking and adjusting it. */
import { CaudalError, notFound, refused } from '@caudal/kernel/errors.ts';
import { kindNamed, kindNames } from './kinds.ts';
import { moved, type StockEvent, type StockState } from './stock.ts';

/** The largest number of pieces of a product; far below the limit of int64. */
const mostPieces = 1_000_000_000_000n;

export interface NewStockItem {
  productId: string;
  /** Empty for "standard". */
  kind: string;
  policy: Record<string, string>;
  quantity: bigint;
}

/** Starts to keep stock. Refused: ALREADY_EXISTS STOCK_EXISTS; INVALID_ARGUMENT UNKNOWN_KIND, INVALID_POLICY. */
export function createStockItem(state: StockState, item: NewStockItem): StockEvent[] {
  if (state.productId !== '') {
    throw new CaudalError('ALREADY_EXISTS', 'STOCK_EXISTS', `Stock of "${item.productId}" is kept already.`);
  }
  const kind = kindNamed(item.kind || 'standard');
  if (!kind) {
    const description = `one of ${kindNames.join(', ')}`;
    throw new CaudalError('INVALID_ARGUMENT', 'UNKNOWN_KIND', `There is no kind of stock "${item.kind}".`, {
      violations: [{ field: 'kind', description }],
    });
  }
  const violations = kind.validatePolicy(item.policy);
  if (violations.length > 0) {
    throw new CaudalError('INVALID_ARGUMENT', 'INVALID_POLICY', `The policy is not valid for ${kind.name} stock.`, {
      violations,
    });
  }
  return [moved(state, { $case: 'created', value: { ...item, kind: kind.name } })];
}

/** Adds pieces. Refused: NOT_FOUND; FAILED_PRECONDITION TOO_MANY_PIECES. */
export function restock(state: StockState, input: { productId: string; quantity: bigint }): StockEvent[] {
  mustExist(state, input.productId);
  assertRoom(state.onHand + input.quantity);
  return [moved(state, { $case: 'restocked', value: { quantity: input.quantity } })];
}

/** Corrects the number of pieces. Refused: NOT_FOUND; FAILED_PRECONDITION BELOW_RESERVED, TOO_MANY_PIECES. */
export function adjust(state: StockState, input: { productId: string; delta: bigint; reason: string }): StockEvent[] {
  mustExist(state, input.productId);
  const after = state.onHand + input.delta;
  assertRoom(after);
  if (after < state.reserved) {
    const promised = state.reserved > 0n ? `, and ${state.reserved} are promised to orders` : '';
    throw refused('BELOW_RESERVED', `Of ${state.onHand} pieces ${after} would be left${promised}.`);
  }
  return [moved(state, { $case: 'adjusted', value: { delta: input.delta, reason: input.reason } })];
}

/** Throws NOT_FOUND unless stock of the product is kept. */
export function mustExist(state: StockState, productId: string): void {
  if (state.productId === '') throw notFound('stock', productId);
}

/** Throws TOO_MANY_PIECES if a product would have so many. */
export function assertRoom(pieces: bigint): void {
  if (pieces > mostPieces)
    throw refused('TOO_MANY_PIECES', `Stock of a product can have at most ${mostPieces} pieces.`);
}
