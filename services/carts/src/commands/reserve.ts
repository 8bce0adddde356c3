/** Promises the pieces in a cart for some minutes. */
import { linesOf } from '@caudal/carts/cart.ts';
import { itemOf } from '@caudal/carts/line-key.ts';
import type { CartReservation, ReserveCartRequest } from '@caudal/contract/gen/caudal/carts/v1/carts.ts';
import type { InventoryServiceService } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import type { RowSeals } from '@caudal/eventlog/personal/row-seals.ts';
import { isCode, refused } from '@caudal/kernel/errors.ts';
import type { IdSource } from '@caudal/kernel/ids.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import type { Call, Client } from '@caudal/rpc/types.ts';
import type { StoredCart } from '../domain/stored-cart.ts';
import type { CartStore } from '../store/cart-store.ts';
import { type CartKey, customerKey } from '../store/keys.ts';

export interface ReserveDependencies {
  store: CartStore;
  seals: RowSeals;
  inventory: Client<InventoryServiceService>;
  clock: Clock;
  ids: IdSource;
}

const usualTtlMs = 5 * 60_000;

export function reserveCart(dependencies: ReserveDependencies) {
  const { store, seals, inventory, clock, ids } = dependencies;
  return async ({ customerId, ttl }: ReserveCartRequest, call: Call): Promise<CartReservation> => {
    const key = await customerKey(seals, customerId);
    const ttlMs = ttl ? Number(ttl.seconds) * 1_000 + Math.ceil(ttl.nanos / 1e6) : usualTtlMs;
    const { stored } = await store.read(key);
    const lines = piecesOf(stored);
    if (lines.length === 0)
      throw refused('CART_EMPTY', 'There is nothing in the cart.', { metadata: { last_order_id: stored.lastOrderId } });
    await releaseReservation(dependencies, key, stored, call);
    const reservationId = `cart.${ids()}`;
    const untilMs = clock().getTime() + ttlMs;
    // Noted first: what is reserved and then forgotten would only end by its time.
    await note(store, key, {
      ...{ id: reservationId, untilMs },
      lines: lines.map(({ productId, quantity }) => ({ productId, quantity: Number(quantity) })),
    });
    const { expireTime } = await inventory.reserveStock(
      {
        ...{ requestId: ids(), reservationId, lines, attributes: {} },
        ttl: { seconds: BigInt(Math.floor(ttlMs / 1_000)), nanos: (ttlMs % 1_000) * 1_000_000 },
      },
      { origin: call.origin, signal: call.signal },
    );
    return { reservationId, expireTime };
  };
}

/** Ends what the cart has reserved, so that its order can reserve the same pieces. Best effort: it ends by its time as well. */
export async function releaseReservation(
  { inventory, clock, ids, store }: Pick<ReserveDependencies, 'inventory' | 'clock' | 'ids' | 'store'>,
  key: CartKey,
  stored: StoredCart,
  { origin, signal }: Pick<Call, 'origin' | 'signal'>,
): Promise<void> {
  const { reservation } = stored;
  if (!reservation || reservation.untilMs < clock().getTime()) return;
  const lines = reservation.lines.map(({ productId, quantity }) => ({ productId, quantity: BigInt(quantity) }));
  const request = { requestId: ids(), reservationId: reservation.id, lines, reason: '', committed: false };
  await inventory.releaseReservation(request, { origin, signal }).catch((error: unknown) => {
    if (!isCode(error, 'NOT_FOUND', 'FAILED_PRECONDITION', 'UNAVAILABLE', 'DEADLINE_EXCEEDED')) throw error;
  });
  await note(store, key, undefined);
}

function note(store: CartStore, key: CartKey, reservation: StoredCart['reservation']): Promise<void> {
  return store.change({
    key,
    decide: (row) => ({ row: { ...row, stored: { ...row.stored, reservation } }, reply: undefined }),
    repeat: () => undefined,
  });
}

/** The pieces by product. */
function piecesOf({ cart }: StoredCart): { productId: string; quantity: bigint }[] {
  const pieces = new Map<string, bigint>();
  for (const { key, quantity } of linesOf(cart)) {
    const { productId } = itemOf(key);
    pieces.set(productId, (pieces.get(productId) ?? 0n) + BigInt(quantity));
  }
  return [...pieces].map(([productId, quantity]) => ({ productId, quantity }));
}
