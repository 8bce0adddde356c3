/**
 * Decisions about reservations. Each may be repeated: what has been done is not done again, and what contradicts it is
 * refused. A reservation goes open -> committed | released | expired, and committed -> returned; an id that has ended
 * is never opened again.
 */
import type { DecisionContext } from '@caudal/aggregates/types.ts';
import { type CaudalError, refused } from '@caudal/kernel/errors.ts';
import { kindNamed } from './kinds.ts';
import {
  availableOf,
  endedReservation,
  moved,
  openReservation,
  rememberedUntil,
  type StockEvent,
  type StockState,
} from './stock.ts';
import { mustExist } from './stock-item.ts';

/** One product's part of a reservation. */
export interface Line {
  productId: string;
  reservationId: string;
  quantity: bigint;
}

export interface ReserveInput extends Line {
  expireAt: Date;
  /** Who buys, for kinds that care. */
  attributes: Record<string, string>;
}

/**
 * Promises pieces. Refused: NOT_FOUND; FAILED_PRECONDITION INSUFFICIENT_STOCK, RESERVATION_MISMATCH (it is there, with
 * another quantity), RESERVATION_BARRED (it was released before it came), RESERVATION_ENDED, and what the kind refuses.
 */
export function reserve(state: StockState, { now }: DecisionContext, input: ReserveInput): StockEvent[] {
  const { reservationId, quantity } = input;
  mustExist(state, input.productId);
  const open = openReservation(state, reservationId);
  if (open) {
    assertSame(open.quantity, input);
    return [];
  }
  const ended = endedReservation(state, reservationId, now);
  if (ended?.how === 'committed') {
    assertSame(ended.quantity, input);
    return [];
  }
  if (ended?.how === 'barred') {
    throw refused('RESERVATION_BARRED', `The reservation "${reservationId}" was released before it was made.`);
  }
  if (ended) throw reservationEnded(reservationId);

  const refusal = kindNamed(state.kind)?.checkReservation(state, { quantity, attributes: input.attributes });
  if (refusal) throw refusal;
  const available = availableOf(state);
  if (quantity > available) {
    throw refused('INSUFFICIENT_STOCK', `${available} of "${input.productId}" can be promised, not ${quantity}.`, {
      metadata: { product_id: input.productId, available: String(available) },
    });
  }
  return [moved(state, { $case: 'reserved', value: { reservationId, quantity, expireTime: input.expireAt } })];
}

/**
 * Takes promised pieces out of the stock. A reservation whose time is over but that nobody has expired yet can still be
 * committed. Refused: NOT_FOUND; FAILED_PRECONDITION RESERVATION_ENDED, RESERVATION_MISMATCH.
 */
export function commit(state: StockState, { now }: DecisionContext, line: Line): StockEvent[] {
  const { reservationId, quantity } = line;
  mustExist(state, line.productId);
  const open = openReservation(state, reservationId);
  if (open) {
    assertSame(open.quantity, line);
    return [moved(state, { $case: 'committed', value: { reservationId, quantity } })];
  }
  const ended = endedReservation(state, reservationId, now);
  if (ended?.how !== 'committed') throw reservationEnded(reservationId);
  assertSame(ended.quantity, line);
  return [];
}

export interface ReleaseInput {
  reservationId: string;
  reason: string;
  /** The pieces that the caller knows to have been committed; undefined: it does not know. */
  committed?: bigint;
}

/**
 * Ends a reservation whatever became of it: open, its pieces are free again; committed, they are back; ended, nothing;
 * unknown, it is barred, so that it is refused if it comes late. Unknown but known to the caller as committed, that was too
 * long ago: its pieces are back, and that is remembered, so that it happens once. So a release wins over a reserve and a commit in either
 * order, and whoever does not know what became of them (an order that is given up in between) just asks for it.
 *
 * To release committed pieces is to say that they have not left the warehouse. The alternative, to refuse it and to
 * ask for a return instead, leaves the caller to find out first whether its commit has landed.
 *
 * Where no stock is kept there is nothing to give back, and a late reservation is refused anyway.
 */
export function release(
  state: StockState,
  { now }: DecisionContext,
  { reservationId, reason, committed }: ReleaseInput,
): StockEvent[] {
  if (state.productId === '') return [];
  const open = openReservation(state, reservationId);
  if (open) {
    return [moved(state, { $case: 'released', value: { reservationId, quantity: open.quantity, reason } })];
  }
  const ended = endedReservation(state, reservationId, now);
  const quantity = ended ? (ended.how === 'committed' ? ended.quantity : undefined) : committed;
  if (quantity !== undefined) return [moved(state, { $case: 'returned', value: { reservationId, quantity } })];
  return ended ? [] : [{ $case: 'barred', value: { reservationId, until: rememberedUntil(now, 'barred') } }];
}

/** Takes a reserve back, as a release does, but leaves alone what is committed: that was another call's reservation. */
export function withdraw(state: StockState, context: DecisionContext, input: ReleaseInput): StockEvent[] {
  if (endedReservation(state, input.reservationId, context.now)?.how === 'committed') return [];
  return release(state, context, input);
}

/** Ends a reservation whose time is over. Nothing happens to one that has time left, has ended, or is not known. */
export function expire(
  state: StockState,
  { now }: DecisionContext,
  { reservationId }: { reservationId: string },
): StockEvent[] {
  const open = openReservation(state, reservationId);
  if (!open || now < open.expireAt) return [];
  return [moved(state, { $case: 'expired', value: { reservationId, quantity: open.quantity } })];
}

/**
 * Puts committed pieces back, all of them or some, once. Refused: NOT_FOUND; FAILED_PRECONDITION
 * RESERVATION_NOT_COMMITTED (or it is more than 7 days ago), RESERVATION_MISMATCH (more than were committed, or another
 * quantity than was returned).
 */
export function returnPieces(state: StockState, { now }: DecisionContext, line: Line): StockEvent[] {
  const { reservationId, quantity } = line;
  mustExist(state, line.productId);
  const ended = endedReservation(state, reservationId, now);
  if (ended?.how === 'returned') {
    assertSame(ended.quantity, line);
    return [];
  }
  if (ended?.how !== 'committed') {
    throw refused('RESERVATION_NOT_COMMITTED', `No pieces of the reservation "${reservationId}" are committed.`);
  }
  if (quantity > ended.quantity) throw mismatch(ended.quantity, line);
  return [moved(state, { $case: 'returned', value: { reservationId, quantity } })];
}

/** The refusal of a reservation that holds nothing any more. */
export function reservationEnded(reservationId: string): CaudalError {
  return refused('RESERVATION_ENDED', `The reservation "${reservationId}" has ended.`);
}

function assertSame(known: bigint, line: Line): void {
  if (known !== line.quantity) throw mismatch(known, line);
}

function mismatch(known: bigint, { reservationId, productId, quantity }: Line): CaudalError {
  return refused(
    'RESERVATION_MISMATCH',
    `The reservation "${reservationId}" is about ${known} of "${productId}", not ${quantity}.`,
  );
}
