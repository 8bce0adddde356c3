/** How much a cart may reserve, and for how long: a reservation costs nothing, and others can't buy what it holds. */
import { refused } from '@caudal/kernel/errors.ts';
import type { OrderedLine, StoredCart } from './stored-cart.ts';

export interface HoldLimits {
  /** Of all lines together. */
  mostPieces: number;
  /** Within a day, without an order. */
  mostMs: number;
}

const dayMs = 86_400_000;

/** Notes for how long a cart holds pieces. Time that is noted already counts once. Throws CART_RESERVATION_LIMIT. */
export function withHold(
  stored: StoredCart,
  { lines, untilMs }: { lines: OrderedLine[]; untilMs: number },
  { mostPieces, mostMs }: HoldLimits,
  now: Date,
): StoredCart {
  const pieces = lines.reduce((sum, { quantity }) => sum + quantity, 0);
  if (pieces > mostPieces) throw overLimit(`The cart has ${pieces} pieces, and can reserve ${mostPieces} at most.`);
  const nowMs = now.getTime();
  const isToday = stored.held && stored.held.sinceMs > nowMs - dayMs;
  const before = isToday ? stored.held! : { sinceMs: nowMs, heldMs: 0, untilMs: nowMs };
  const heldMs = before.heldMs + Math.max(0, untilMs - Math.max(nowMs, before.untilMs));
  if (heldMs > mostMs)
    throw overLimit(`Within a day a cart can reserve for ${mostMs / 1_000} seconds without becoming an order.`);
  return { ...stored, held: { sinceMs: before.sinceMs, heldMs, untilMs: Math.max(before.untilMs, untilMs) } };
}

function overLimit(message: string) {
  return refused('CART_RESERVATION_LIMIT', `${message} It can be checked out without a reservation.`);
}
