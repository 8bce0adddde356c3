/** The decisions of version 0.2 about reservations: see former-stock.ts. */
import type { DecisionContext } from '@caudal/aggregates/types.ts';
import { type CaudalError, refused } from '@caudal/kernel/errors.ts';
import { kindNamed } from '../domain/kinds.ts';
import type { Line, ReleaseInput, ReserveInput } from '../domain/reservations.ts';
import { availableOf, type StockEvent } from '../domain/stock.ts';
import { mustExist } from '../domain/stock-item.ts';
import { endedReservation, type FormerStock, moved, openReservation, rememberedUntil } from './former-stock.ts';

/**
 * Promises pieces. Refused: NOT_FOUND; FAILED_PRECONDITION INSUFFICIENT_STOCK, RESERVATION_MISMATCH (it exists, with
 * another quantity), RESERVATION_BARRED (it was released before this command), RESERVATION_ENDED, and refusals of the
 * kind.
 */
export function reserve(state: FormerStock, { now }: DecisionContext, input: ReserveInput): StockEvent[] {
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
 * Takes promised pieces out of the stock. An overdue reservation can be committed until its expiry is recorded.
 * Refused: NOT_FOUND; FAILED_PRECONDITION RESERVATION_ENDED, RESERVATION_MISMATCH.
 */
export function commit(state: FormerStock, { now }: DecisionContext, line: Line): StockEvent[] {
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

/**
 * Ends a reservation. Open: its pieces are free again. Committed: they are put back. Ended: nothing. Unknown: it is
 * barred, or with `committed`, which means a commit too old to be remembered, its pieces are put back, once. Without
 * stock of the product: nothing, as a late reserve is refused anyway. See README, "Release returns committed pieces".
 */
export function release(
  state: FormerStock,
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

/** Takes back a reserve like a release, except for committed pieces: those belong to another call's reservation. */
export function withdraw(state: FormerStock, context: DecisionContext, input: ReleaseInput): StockEvent[] {
  if (endedReservation(state, input.reservationId, context.now)?.how === 'committed') return [];
  return release(state, context, input);
}

/** Ends an overdue reservation. A reservation that is not due, has ended or is unknown stays as it is. */
export function expire(
  state: FormerStock,
  { now }: DecisionContext,
  { reservationId }: { reservationId: string },
): StockEvent[] {
  const open = openReservation(state, reservationId);
  if (!open || now < open.expireAt) return [];
  return [moved(state, { $case: 'expired', value: { reservationId, quantity: open.quantity } })];
}

/**
 * Puts committed pieces back, all of them or some, once. Refused: NOT_FOUND; FAILED_PRECONDITION
 * RESERVATION_NOT_COMMITTED (also if the commit was more than 7 days ago), RESERVATION_MISMATCH (more than were
 * committed, or another quantity than was returned before).
 */
export function returnPieces(state: FormerStock, { now }: DecisionContext, line: Line): StockEvent[] {
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

/** The refusal of a reservation that holds no pieces any more. */
function reservationEnded(reservationId: string): CaudalError {
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
