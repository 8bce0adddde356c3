/**
 * Decisions about reservations. Each may be repeated: a repeat changes nothing, and a contradicting command is refused.
 * A reservation goes open -> committed | released | expired, and committed -> returned; an id that has ended is not
 * used again.
 */
import { type CaudalError, refused } from '@caudal/kernel/errors.ts';
import { barredUntil, type EndedReservation, type StockContext } from './claims.ts';
import { kindNamed } from './kinds.ts';
import { availableOf, moved, openReservation, type StockEvent, type StockState } from './stock.ts';
import { mustExist } from './stock-item.ts';

/** One product's part of a reservation. */
export interface Line {
  productId: string;
  reservationId: string;
  quantity: bigint;
}

export interface ReserveInput extends Line {
  expireAt: Date;
  /** Attributes of the buyer, for kinds with such rules. */
  attributes: Record<string, string>;
}

/**
 * Promises pieces. Refused: NOT_FOUND; FAILED_PRECONDITION INSUFFICIENT_STOCK, RESERVATION_MISMATCH (it exists, with
 * another quantity), RESERVATION_BARRED (it was released before this command), RESERVATION_ENDED, and refusals of the
 * kind.
 */
export function reserve(state: StockState, { claim }: StockContext, input: ReserveInput): StockEvent[] {
  const { reservationId, quantity } = input;
  mustExist(state, input.productId);
  const open = openReservation(state, reservationId);
  if (open) {
    assertSame(open.quantity, input);
    return [];
  }
  const ended = claim(reservationId);
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
export function commit(state: StockState, { claim }: StockContext, line: Line): StockEvent[] {
  const { reservationId, quantity } = line;
  mustExist(state, line.productId);
  const open = openReservation(state, reservationId);
  if (open) {
    assertSame(open.quantity, line);
    return [moved(state, { $case: 'committed', value: { reservationId, quantity } })];
  }
  const ended = claim(reservationId);
  if (ended?.how !== 'committed') throw reservationEnded(reservationId);
  assertSame(ended.quantity, line);
  return [];
}

export interface ReleaseInput {
  reservationId: string;
  reason: string;
  /** The number of pieces that the caller knows to be committed; undefined: it does not know. */
  committed?: bigint;
}

/**
 * Ends a reservation. Open: its pieces are free again. Committed: they are put back. Ended: nothing. Unknown: it is
 * barred, or with `committed`, which means a commit too old to be remembered, its pieces are put back, once. Without
 * stock of the product: nothing, as a late reserve is refused anyway. See README, "Release returns committed pieces".
 */
export function release(
  state: StockState,
  { now, lookUp }: StockContext,
  { reservationId, reason, committed }: ReleaseInput,
): StockEvent[] {
  if (state.productId === '') return [];
  const open = openReservation(state, reservationId);
  if (open) {
    return [moved(state, { $case: 'released', value: { reservationId, quantity: open.quantity, reason } })];
  }
  const ended = lookUp(reservationId);
  const quantity = ended ? (ended.how === 'committed' ? ended.quantity : undefined) : committed;
  if (quantity !== undefined) return [moved(state, { $case: 'returned', value: { reservationId, quantity } })];
  return ended ? [] : [{ $case: 'barred', value: { reservationId, until: barredUntil(now) } }];
}

/** Takes back a reserve like a release, except for committed pieces: those belong to another call's reservation. */
export function withdraw(state: StockState, context: StockContext, input: ReleaseInput): StockEvent[] {
  const isOpen = openReservation(state, input.reservationId) !== undefined;
  if (!isOpen && context.lookUp(input.reservationId)?.how === 'committed') return [];
  return release(state, context, input);
}

/** Ends an overdue reservation. A reservation that is not due, has ended or is unknown stays as it is. */
export function expire(
  state: StockState,
  { now }: StockContext,
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
export function returnPieces(state: StockState, { claim }: StockContext, line: Line): StockEvent[] {
  const { reservationId, quantity } = line;
  mustExist(state, line.productId);
  const ended: EndedReservation | undefined = openReservation(state, reservationId) ? undefined : claim(reservationId);
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

/**
 * Throws RESERVATION_ENDED unless the reservation is open or committed. Changes nothing: it makes sure that an earlier answer
 * still holds.
 */
export function assertHeld(state: StockState, { claim }: StockContext, reservationId: string): StockEvent[] {
  if (!openReservation(state, reservationId) && claim(reservationId)?.how !== 'committed')
    throw reservationEnded(reservationId);
  return [];
}

/**
 * Whether the reservation can't be committed any more: it is unknown, was released, has expired or is barred. Not if its pieces
 * were returned, which they are only after a commit.
 */
export function isLost(state: StockState, { claim }: StockContext, reservationId: string): boolean {
  if (openReservation(state, reservationId)) return false;
  const how = claim(reservationId)?.how;
  return how !== 'committed' && how !== 'returned';
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
