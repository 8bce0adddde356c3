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
import { type HoldLimits, withHold } from '../domain/hold.ts';
import type { OrderedLine, Reservation, StoredCart } from '../domain/stored-cart.ts';
import type { CartStore } from '../store/cart-store.ts';
import { type CartKey, customerKey } from '../store/keys.ts';

export interface ReserveDependencies {
  store: CartStore;
  seals: RowSeals;
  inventory: Client<InventoryServiceService>;
  clock: Clock;
  ids: IdSource;
  holdLimits: HoldLimits;
}

const usualTtlMs = 5 * 60_000;
/** Those that could not be released yet, and the last one. */
const mostReservations = 10;

export function reserveCart(dependencies: ReserveDependencies) {
  const { store, seals, inventory, clock, ids, holdLimits } = dependencies;
  return async ({ customerId, ttl }: ReserveCartRequest, call: Call): Promise<CartReservation> => {
    const key = await customerKey(seals, customerId);
    const ttlMs = ttl ? Number(ttl.seconds) * 1_000 + Math.ceil(ttl.nanos / 1e6) : usualTtlMs;
    const reservationId = `cart.${ids()}`;
    const untilMs = clock().getTime() + ttlMs;
    // Noted first: what is reserved and then forgotten would only end by its time.
    const { lines, former } = await note(key, { id: reservationId, untilMs });
    await releaseReservations(dependencies, key, former, call);
    const { expireTime } = await inventory.reserveStock(
      {
        ...{ requestId: ids(), reservationId, lines: lines.map(inPieces), attributes: {} },
        ttl: { seconds: BigInt(Math.floor(ttlMs / 1_000)), nanos: (ttlMs % 1_000) * 1_000_000 },
      },
      { origin: call.origin, signal: call.signal },
    );
    // A call that came meanwhile has released it before it was there.
    if (!(await noteMade(key, reservationId)))
      await releaseReservations(dependencies, key, [{ id: reservationId, untilMs, lines, isMade: true }], call);
    return { reservationId, expireTime };
  };

  /** Notes a reservation of what is in the cart. Returns those that the cart has had, to be released. */
  function note(key: CartKey, { id, untilMs }: { id: string; untilMs: number }) {
    return store.change<{ lines: OrderedLine[]; former: Reservation[] }>({
      key,
      decide(row) {
        const { stored } = row;
        const lines = piecesOf(stored);
        if (lines.length === 0)
          throw refused('CART_EMPTY', 'There is nothing in the cart.', {
            metadata: { last_order_id: stored.lastOrderId },
          });
        const holding = withHold(stored, { lines, untilMs }, holdLimits, clock());
        const former = (stored.reservations ?? []).filter((one) => one.untilMs >= clock().getTime());
        const reservations = [...former, { id, untilMs, lines }].slice(-mostReservations);
        return { row: { ...row, stored: { ...holding, reservations } }, reply: { lines, former } };
      },
      repeat: ({ stored }) => ({ lines: piecesOf(stored), former: [] }),
    });
  }

  /** Notes that a reservation is made. False if it is noted no more. */
  function noteMade(key: CartKey, id: string): Promise<boolean> {
    return store.change({
      key,
      decide(row) {
        const noted = row.stored.reservations ?? [];
        if (!noted.some((one) => one.id === id)) return { row, reply: false };
        const reservations = noted.map((one) => (one.id === id ? { ...one, isMade: true } : one));
        return { row: { ...row, stored: { ...row.stored, reservations } }, reply: true };
      },
      repeat: () => true,
    });
  }
}

/**
 * Ends what the cart has reserved, so that its order can reserve the same pieces. Best effort: it ends by its time as well. One that could not
 * be released stays noted, for the next call to try it again.
 */
export async function releaseReservations(
  dependencies: Pick<ReserveDependencies, 'inventory' | 'clock' | 'ids' | 'store'>,
  key: CartKey,
  reservations: Reservation[],
  call: Pick<Call, 'origin' | 'signal'>,
): Promise<void> {
  const released: Reservation[] = [];
  for (const reservation of reservations)
    if (await release(dependencies, reservation, call)) released.push(reservation);
  if (released.length === 0) return;
  const madeSince = await forget(dependencies.store, key, released);
  if (madeSince.length > 0) await releaseReservations(dependencies, key, madeSince, call);
}

/** Whether it has ended, or is not there. */
async function release(
  { inventory, clock, ids }: Pick<ReserveDependencies, 'inventory' | 'clock' | 'ids'>,
  { id, untilMs, lines }: Reservation,
  { origin, signal }: Pick<Call, 'origin' | 'signal'>,
): Promise<boolean> {
  if (untilMs < clock().getTime()) return false;
  const request = { requestId: ids(), reservationId: id, lines: lines.map(inPieces), reason: '', committed: false };
  try {
    await inventory.releaseReservation(request, { origin, signal });
    return true;
  } catch (error) {
    if (isCode(error, 'NOT_FOUND', 'FAILED_PRECONDITION')) return true;
    if (isCode(error, 'UNAVAILABLE', 'DEADLINE_EXCEEDED')) return false;
    throw error;
  }
}

/**
 * Takes the notes of these away, and leaves those that other calls have made meanwhile. Returns those that were not there when they were
 * released and are made since. A row that an erasure has deleted stays away.
 */
function forget(store: CartStore, key: CartKey, released: Reservation[]): Promise<Reservation[]> {
  const byId = new Map(released.map((one) => [one.id, one]));
  return store.change({
    key,
    decide(row) {
      const noted = row.stored.reservations ?? [];
      const madeSince = noted.filter(({ id, isMade }) => isMade && byId.has(id) && !byId.get(id)!.isMade);
      const reservations = noted.filter((one) => !byId.has(one.id) || madeSince.includes(one));
      const isSame = reservations.length === noted.length;
      return { row: isSame ? row : { ...row, stored: { ...row.stored, reservations } }, reply: madeSince };
    },
    repeat: () => [],
  });
}

const inPieces = ({ productId, quantity }: OrderedLine) => ({ productId, quantity: BigInt(quantity) });

/** The pieces by product. */
function piecesOf({ cart }: StoredCart): OrderedLine[] {
  const pieces = new Map<string, number>();
  for (const { key, quantity } of linesOf(cart)) {
    const { productId } = itemOf(key);
    pieces.set(productId, (pieces.get(productId) ?? 0) + quantity);
  }
  return [...pieces].map(([productId, quantity]) => ({ productId, quantity }));
}
