/**
 * Returns of an order: pieces that have come back, line by line, as often as pieces are left. The order counts what was
 * requested; the order's saga (sagas/lead-return.ts) puts it into the stock and refunds it, and a refusal of the stock takes it off
 * the count. See docs/returns.md.
 */
import type { EventOf, order } from '@caudal/contract/entities.ts';
import type { OrderCreated } from '@caudal/contract/gen/caudal/orders/v1/events.ts';
import { ReturnDecision, type ReturnLine } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import type { Money } from '@caudal/contract/gen/caudal/type/v1/money.ts';
import { CaudalError, type FieldViolation, invalidField, notFound, refused } from '@caudal/kernel/errors.ts';
import { statusName } from './status-name.ts';

type OrderEvent = EventOf<typeof order>;
type ValueOf<C extends OrderEvent['$case']> = Extract<OrderEvent, { $case: C }>['value'];

export interface ReturnState {
  returnId: string;
  lines: ReturnLine[];
  /** Minor units of the order's currency: the price of its pieces, or less; once it is returned, what is refunded. */
  refund: bigint;
  status: 'requested' | 'returned' | 'refused' | 'attention';
  reason: string;
  /** Why it was refused, or needs attention. */
  refusal: string;
  /** Why less is refunded than was requested. */
  refundRefusal: string;
  createTime: Date;
  /** When it was last tried from the beginning: when it was requested, or an operator had it tried again. */
  triedSince: Date;
  /** An operator has found its pieces in the stock: only its refund is left to do. */
  inStock: boolean;
}

/** The most returns of an order, of which so many may be in progress, and lines of all of them. */
export const mostReturns = 100;
export const mostOpen = 20;
export const mostLines = 1_000;

/** Statuses of an order of which pieces have left. Before that it can be cancelled. */
const returnable = new Set(['shipped', 'delivered']);

/** The part of an order that its returns depend on. */
export interface Returnable {
  /** The order as it was placed; undefined before that. */
  placed: OrderCreated | undefined;
  status: string;
  /** The oldest first. */
  returns: ReturnState[];
}

type ReturnEvent = Extract<
  OrderEvent,
  { $case: 'returnRequested' | 'returned' | 'returnRefused' | 'returnAttentionNeeded' | 'returnRetried' }
>;

/** The returns after an event about one of them. */
export function returnsAfter(returns: ReturnState[], event: ReturnEvent, at: Date): ReturnState[] {
  const change = (returnId: string, changed: Partial<ReturnState>) =>
    returns.map((one) => (one.returnId === returnId ? { ...one, ...changed } : one));
  switch (event.$case) {
    case 'returnRequested': {
      const { returnId, lines, refund, reason } = event.value;
      const asked = {
        returnId,
        lines,
        refund: refund!.minorUnits,
        reason,
        createTime: at,
        triedSince: at,
        inStock: false,
      };
      return [...returns, { ...asked, status: 'requested', refusal: '', refundRefusal: '' }];
    }
    case 'returned': {
      const { returnId, refund, refundRefusal } = event.value;
      return change(returnId, { status: 'returned', refund: refund!.minorUnits, refundRefusal });
    }
    case 'returnRefused':
      return change(event.value.returnId, { status: 'refused', refusal: event.value.reason });
    case 'returnAttentionNeeded':
      return change(event.value.returnId, { status: 'attention', refusal: event.value.reason });
    case 'returnRetried': {
      const { returnId, inStock } = event.value;
      return change(returnId, { status: 'requested', refusal: '', triedSince: at, inStock });
    }
  }
}

/** By product: pieces of these returns. */
export function piecesOf(returns: ReturnState[]): Map<string, bigint> {
  const pieces = new Map<string, bigint>();
  for (const { productId, quantity } of returns.flatMap(({ lines }) => lines))
    pieces.set(productId, (pieces.get(productId) ?? 0n) + quantity);
  return pieces;
}

/** Returns whose pieces are in the stock again. */
export function done(returns: ReturnState[]): ReturnState[] {
  return returns.filter(({ status }) => status === 'returned');
}

/** Whether this return has no outcome yet. */
export function isRequested({ returns }: Returnable, returnId: string): boolean {
  return returns.some((one) => one.returnId === returnId && one.status === 'requested');
}

/** The id of a return's refund. Those of refunds that are no return's are UUIDs. */
export function refundOf(returnId: string): string {
  return `return.${returnId}`;
}

/**
 * What is out of the order's lines, as the order knows: without those that are returned. What an operator has found in the stock counts
 * once its return has ended, in the order of the saga: a return that is led meanwhile must repeat the same request.
 */
export function outOf({ placed, returns }: Returnable): ReturnLine[] {
  const back = piecesOf(done(returns));
  return placed!.lines.flatMap(({ productId, quantity }) => {
    const out = quantity - (back.get(productId) ?? 0n);
    return out > 0n ? [{ productId, quantity: out }] : [];
  });
}

export interface ReturnInput {
  orderId: string;
  returnId: string;
  lines: ReturnLine[];
  reason: string;
  /** What to refund; undefined: the price of the pieces. */
  refund: Money | undefined;
}

/** Throws RETURN_EXISTS if the order has a return of this id. */
export function assertNewReturn({ returns }: Returnable, returnId: string): void {
  if (returns.some((one) => one.returnId === returnId))
    throw new CaudalError('ALREADY_EXISTS', 'RETURN_EXISTS', `The order has a return "${returnId}" already.`);
}

/**
 * Requests a return. Refused: NOT_FOUND; ALREADY_EXISTS RETURN_EXISTS; FAILED_PRECONDITION ORDER_NOT_RETURNABLE (nothing has left),
 * RETURN_TOO_LARGE (more than is left; or of products that are not in the order), TOO_MANY_RETURNS, REFUND_TOO_LARGE (more than the price),
 * CURRENCY_MISMATCH.
 */
export function requestReturn(
  state: Returnable,
  { orderId, returnId, lines, reason, refund }: ReturnInput,
): OrderEvent[] {
  const { placed, status, returns } = state;
  if (!placed) throw notFound('order', orderId);
  assertNewReturn(state, returnId);
  if (!returnable.has(status)) {
    throw refused(
      'ORDER_NOT_RETURNABLE',
      `The order is ${status}: as far as it knows, none of its pieces have left. If they have, try again soon.`,
      {
        metadata: { status: statusName(status) },
      },
    );
  }
  const counted = piecesOf(returns.filter((one) => one.status !== 'refused'));
  const violations: FieldViolation[] = [];
  let price = 0n;
  lines.forEach(({ productId, quantity }, index) => {
    const line = placed.lines.find((one) => one.productId === productId);
    const left = line ? line.quantity - (counted.get(productId) ?? 0n) : 0n;
    if (!line) violations.push({ field: `lines[${index}].product_id`, description: 'is not in the order' });
    else if (quantity > left)
      violations.push({ field: `lines[${index}].quantity`, description: `must be at most what is left: ${left}` });
    else price += quantity * line.unitPrice!.minorUnits;
  });
  if (violations.length > 0) {
    throw refused('RETURN_TOO_LARGE', 'More would be returned than is left.', { violations });
  }
  assertFew(returns, lines.length);
  const { currency } = placed.total!;
  if (refund) assertUpTo({ minorUnits: price, currency }, refund);
  const value = { returnId, lines, refund: refund ?? { minorUnits: price, currency }, reason };
  return [{ $case: 'returnRequested', value }];
}

/** Throws unless it is zero to the price. */
function assertUpTo(price: Money, refund: Money): void {
  if (refund.currency !== price.currency)
    throw refused('CURRENCY_MISMATCH', `The order is in ${price.currency}, not in ${refund.currency}.`);
  if (refund.minorUnits < 0n) throw invalidField('refund.minor_units', 'must not be below zero');
  if (refund.minorUnits > price.minorUnits) {
    const description = `must be at most the price of the pieces: ${price.minorUnits}`;
    throw refused('REFUND_TOO_LARGE', 'More would be refunded than the pieces cost.', {
      violations: [{ field: 'refund.minor_units', description }],
    });
  }
}

/** Throws TOO_MANY_RETURNS if a return of so many lines would be too much. */
function assertFew(returns: ReturnState[], added: number): void {
  const open = returns.filter(({ status }) => status === 'requested').length;
  const lines = returns.reduce((sum, one) => sum + one.lines.length, added);
  if (open >= mostOpen) throw refused('TOO_MANY_RETURNS', `${open} returns of the order are in progress. Try later.`);
  if (returns.length >= mostReturns || lines > mostLines)
    throw refused('TOO_MANY_RETURNS', `An order has at most ${mostReturns} returns, of ${mostLines} lines in all.`);
}

/** The pieces are in the stock again, and this is refunded. */
export function returned(
  { placed }: Returnable,
  { returnId, lines }: ReturnState,
  { refund, refundRefusal = '' }: { refund: bigint; refundRefusal?: string },
): OrderEvent {
  const { customerId, total } = placed!;
  const { currency } = total!;
  const value: ValueOf<'returned'> = {
    ...{ returnId, customerId, refundRefusal },
    refund: { minorUnits: refund, currency },
    pieces: lines.reduce((sum, { quantity }) => sum + quantity, 0n),
    price: { minorUnits: priceOf(placed!, lines), currency },
  };
  return { $case: 'returned', value };
}

/** The stock has none of its pieces out. */
export function returnRefused({ returnId }: ReturnState, reason: string): OrderEvent {
  return { $case: 'returnRefused', value: { returnId, reason } };
}

/** What pieces of the order were sold for, in minor units. */
function priceOf({ lines }: OrderCreated, pieces: ReturnLine[]): bigint {
  const prices = new Map(lines.map(({ productId, unitPrice }) => [productId, unitPrice!.minorUnits]));
  return pieces.reduce((sum, { productId, quantity }) => sum + quantity * (prices.get(productId) ?? 0n), 0n);
}

/** It is not known what was done of the return, and a repeat could do it twice: an operator has to look. */
export function returnUnknown({ returnId }: ReturnState): OrderEvent {
  return { $case: 'returnAttentionNeeded', value: { returnId, reason: 'RETURN_UNKNOWN' } };
}

export interface SettleInput {
  orderId: string;
  returnId: string;
  decision: ReturnDecision;
  note: string;
}

/** An operator decides on a return. Refused: NOT_FOUND; FAILED_PRECONDITION RETURN_NEEDS_NO_ATTENTION. */
export function settleReturn(
  { placed, returns }: Returnable,
  { orderId, returnId, decision, note }: SettleInput,
): OrderEvent[] {
  const one = returns.find((known) => known.returnId === returnId);
  if (!placed) throw notFound('order', orderId);
  if (!one) throw notFound('return', returnId);
  if (one.status !== 'attention') {
    const message = `The return "${returnId}" needs no attention: it continues by itself or has ended.`;
    throw refused('RETURN_NEEDS_NO_ATTENTION', message, {
      metadata: { status: `ORDER_RETURN_STATUS_${one.status.toUpperCase()}` },
    });
  }
  if (decision === ReturnDecision.RETURN_DECISION_REFUSE)
    return [{ $case: 'returnRefused', value: { returnId, reason: 'RETURN_SETTLED', note } }];
  const inStock = decision === ReturnDecision.RETURN_DECISION_REFUND;
  return [{ $case: 'returnRetried', value: { returnId, inStock, note } }];
}
