/**
 * Decisions about reservations. Each but a return may be repeated: a repeat changes nothing, and a contradicting command is
 * refused. A reservation goes open -> committed | released | expired, and committed -> returned, in one step or in several; an
 * id that has ended is not used again.
 */
import { type CaudalError, refused } from '@caudal/kernel/errors.ts';
import { barredUntil, committedClaim, type StockContext } from './claims.ts';
import { kindNamed } from './kinds.ts';
import { availableOf, moved, openReservation, type StockEvent, type StockState } from './stock.ts';
import { assertRoom, mustExist } from './stock-item.ts';

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
    // Pieces may have come back since: a repeat is about all that was committed.
    assertSame((claim(committedClaim(reservationId)) ?? ended).quantity, input);
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
  assertSame((claim(committedClaim(reservationId)) ?? ended).quantity, line);
  return [];
}

export interface ReleaseInput {
  reservationId: string;
  reason: string;
  /** The number of pieces that the caller knows to be committed, and not returned; undefined: it does not know. */
  committed?: bigint;
}

/**
 * Ends a reservation. Open: its pieces are free again. Committed: those that are out are put back. Ended: nothing. Unknown: it
 * is barred, or with `committed`, which means a commit too old to be remembered, its pieces are put back, once. Without
 * stock of the product: nothing, as a late reserve is refused anyway. See README, "Release returns committed pieces". Refused:
 * FAILED_PRECONDITION TOO_MANY_PIECES.
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
  if (quantity !== undefined) {
    assertRoom(state.onHand + quantity);
    return [moved(state, { $case: 'returned', value: { reservationId, quantity, committed: quantity, out: 0n } })];
  }
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

export interface ReturnInput extends Line {
  /** The number of pieces that the caller knows to be out; undefined: it does not know. */
  out?: bigint;
}

/**
 * Puts committed pieces back, as often as some are out. A repeat is another return. If the stock has forgotten the reservation, `out`
 * counts. Refused: NOT_FOUND; FAILED_PRECONDITION RESERVATION_NOT_COMMITTED (also if it is forgotten, and the caller does not
 * know what is out), RETURN_TOO_LARGE (more than is out), TOO_MANY_PIECES.
 */
export function returnPieces(state: StockState, { lookUp }: StockContext, input: ReturnInput): StockEvent[] {
  const { reservationId, quantity } = input;
  mustExist(state, input.productId);
  const isOpen = openReservation(state, reservationId) !== undefined;
  const ended = isOpen ? undefined : lookUp(reservationId);
  const whole = isOpen ? undefined : lookUp(committedClaim(reservationId));
  if (ended?.how === 'returned') throw tooLarge(0n, input);
  // A reservation that is barred was not known when it was released: it may have been forgotten by then.
  const known = ended?.how === 'committed' ? ended.quantity : undefined;
  const out = ended && ended.how !== 'barred' ? known : input.out;
  if (isOpen || out === undefined) {
    throw refused('RESERVATION_NOT_COMMITTED', `No pieces of the reservation "${reservationId}" are committed.`);
  }
  if (quantity > out) throw tooLarge(out, input);
  assertRoom(state.onHand + quantity);
  const committed = known !== undefined && whole ? whole.quantity : out;
  return [moved(state, { $case: 'returned', value: { reservationId, quantity, committed, out: out - quantity } })];
}

function tooLarge(out: bigint, { reservationId, productId, quantity }: Line): CaudalError {
  const message = `${out} of "${productId}" are out by the reservation "${reservationId}", not ${quantity}.`;
  return refused('RETURN_TOO_LARGE', message, { metadata: { product_id: productId, left: String(out) } });
}

/**
 * Throws RESERVATION_ENDED unless the reservation is open, or committed and not returned as a whole. Changes nothing: it makes sure
 * that an earlier answer still holds.
 */
export function assertHeld(state: StockState, { claim }: StockContext, reservationId: string): StockEvent[] {
  if (openReservation(state, reservationId)) return [];
  if (claim(reservationId)?.how !== 'committed') throw reservationEnded(reservationId);
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
