/**
 * Returns of an order: pieces that have come back, line by line, as often as pieces are left. The order counts what was
 * requested; the saga (sagas/returns.ts) puts it into the stock and refunds it, and a refusal of the stock takes it off the count. See docs/returns.md.
 */
import type { EventOf, order } from '@caudal/contract/entities.ts';
import type { OrderCreated } from '@caudal/contract/gen/caudal/orders/v1/events.ts';
import type { ReturnLine } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { CaudalError, type FieldViolation, notFound, refused } from '@caudal/kernel/errors.ts';

type OrderEvent = EventOf<typeof order>;
type ValueOf<C extends OrderEvent['$case']> = Extract<OrderEvent, { $case: C }>['value'];

export interface ReturnState {
  returnId: string;
  lines: ReturnLine[];
  /** Minor units of the order's currency: the price of its pieces; once it is returned, what is refunded. */
  refund: bigint;
  status: 'requested' | 'returned' | 'refused';
  /** The payment has paid the refund. This may be known before the order knows that the pieces are back. */
  isPaid: boolean;
  reason: string;
  /** Why the stock refused it. */
  refusal: string;
  /** Why the payment refunds nothing. */
  refundRefusal: string;
  createTime: Date;
}

/** The most returns of an order. */
export const mostReturns = 100;

/** Statuses of an order of which pieces are out. */
const returnable = new Set(['confirmed', 'shipped', 'delivered']);

/** The part of an order that its returns depend on. */
export interface Returnable {
  /** The order as it was placed; undefined before that. */
  placed: OrderCreated | undefined;
  status: string;
  /** The oldest first. */
  returns: ReturnState[];
}

/** The returns after an event about one of them. */
export function returnsAfter(
  returns: ReturnState[],
  event: Extract<OrderEvent, { $case: 'returnRequested' | 'returned' | 'returnRefused' | 'returnRefunded' }>,
  at: Date,
): ReturnState[] {
  const change = (returnId: string, changed: Partial<ReturnState>) =>
    returns.map((one) => (one.returnId === returnId ? { ...one, ...changed } : one));
  switch (event.$case) {
    case 'returnRequested': {
      const { returnId, lines, refund, reason } = event.value;
      const asked = { returnId, lines, refund: refund!.minorUnits, reason, createTime: at };
      return [...returns, { ...asked, status: 'requested', isPaid: false, refusal: '', refundRefusal: '' }];
    }
    case 'returned': {
      const { returnId, refund, refundRefusal } = event.value;
      return change(returnId, { status: 'returned', refund: refund!.minorUnits, refundRefusal });
    }
    case 'returnRefused':
      return change(event.value.returnId, { status: 'refused', refusal: event.value.reason });
    case 'returnRefunded':
      return change(event.value.returnId, { isPaid: true });
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

/** The return that is led to its end next. */
export function firstRequested({ returns }: Returnable): ReturnState | undefined {
  return returns.find(({ status }) => status === 'requested');
}

/** What is out of the order's lines, as the order knows: without those that are returned. */
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
}

/**
 * Requests a return. Refused: NOT_FOUND; ALREADY_EXISTS RETURN_EXISTS; FAILED_PRECONDITION ORDER_NOT_RETURNABLE (nothing is out),
 * RETURN_TOO_LARGE (more than is left; or of products that are not in the order), TOO_MANY_RETURNS.
 */
export function requestReturn(state: Returnable, { orderId, returnId, lines, reason }: ReturnInput): OrderEvent[] {
  const { placed, status, returns } = state;
  if (!placed) throw notFound('order', orderId);
  if (returns.some((one) => one.returnId === returnId)) {
    throw new CaudalError('ALREADY_EXISTS', 'RETURN_EXISTS', `The order has a return "${returnId}" already.`);
  }
  if (!returnable.has(status)) {
    throw refused('ORDER_NOT_RETURNABLE', `The order is ${status}: none of its pieces are out.`, {
      metadata: { status },
    });
  }
  const counted = piecesOf(returns.filter((one) => one.status !== 'refused'));
  const violations: FieldViolation[] = [];
  let refund = 0n;
  lines.forEach(({ productId, quantity }, index) => {
    const line = placed.lines.find((one) => one.productId === productId);
    const left = line ? line.quantity - (counted.get(productId) ?? 0n) : 0n;
    if (!line) violations.push({ field: `lines[${index}].product_id`, description: 'is not in the order' });
    else if (quantity > left)
      violations.push({ field: `lines[${index}].quantity`, description: `must be at most what is left: ${left}` });
    else refund += quantity * line.unitPrice!.minorUnits;
  });
  if (violations.length > 0) throw refused('RETURN_TOO_LARGE', 'More would be returned than is left.', { violations });
  if (returns.length >= mostReturns) {
    throw refused('TOO_MANY_RETURNS', `The order has ${mostReturns} returns already.`);
  }
  const { currency } = placed.total!;
  const value = { returnId, lines, refund: { minorUnits: refund, currency }, reason };
  return [{ $case: 'returnRequested', value }];
}

/** The pieces are in the stock again, and this is refunded. */
export function returned(
  { placed }: Returnable,
  { returnId }: ReturnState,
  { refund, refundRefusal = '' }: { refund: bigint; refundRefusal?: string },
): OrderEvent {
  const { customerId, total } = placed!;
  const value: ValueOf<'returned'> = {
    ...{ returnId, customerId, refundRefusal },
    refund: { minorUnits: refund, currency: total!.currency },
  };
  return { $case: 'returned', value };
}

/** The stock has none of its pieces out. */
export function returnRefused({ returnId }: ReturnState, reason: string): OrderEvent {
  return { $case: 'returnRefused', value: { returnId, reason } };
}

/** The refund of a return is paid; no event if that is known. `amount`: what was paid. */
export function refundPaid({ placed, returns }: Returnable, returnId: string, amount: bigint): OrderEvent[] {
  const one = returns.find((known) => known.returnId === returnId);
  if (!one || one.isPaid) return [];
  const { customerId, total } = placed!;
  const refund = { minorUnits: amount, currency: total!.currency };
  return [{ $case: 'returnRefunded', value: { returnId, customerId, refund } }];
}
