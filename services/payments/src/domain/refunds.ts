/**
 * Refunds of a payment in parts: as many as money is left, each under an id, done one after the other in the order of their
 * requests. An undo refunds what is left as one more. See docs/returns.md.
 */
import type { EventOf, payment } from '@caudal/contract/entities.ts';
import type { PaymentRequested } from '@caudal/contract/gen/caudal/payments/v1/events.ts';
import type { Money } from '@caudal/contract/gen/caudal/type/v1/money.ts';
import { repeatableMs } from '@caudal/contract/remembered.ts';
import { invalidField, notFound, refused } from '@caudal/kernel/errors.ts';

type PaymentEvent = EventOf<typeof payment>;

export interface RefundState {
  refundId: string;
  /** Minor units of the payment's currency. */
  amount: bigint;
  reason: string;
  completed: boolean;
  createTime: Date;
  /** Since when it is tried: the first that is pending, or an operator has had it tried again. */
  triedSince: Date;
}

/** The part of a payment's state that refunds depend on. */
export interface Refundable {
  /** The payment as it was requested; undefined before that. */
  request: PaymentRequested | undefined;
  status: 'none' | 'requested' | 'succeeded' | 'failed' | 'voided' | 'refunded' | 'barred';
  /** An undo is requested, and not done yet. */
  undoing: boolean;
  /** Its refunds of parts, the oldest first. They are done in this order. */
  refunds: RefundState[];
}

/** The most refunds of a payment by hand, and in all; the one of an undo comes on top. Those of returns keep their places. */
export const mostByHand = 100;
export const mostRefunds = 200;

/** Whether nothing can tell any more, by now, whether this refund to a wallet is done. */
export function isTooOld({ triedSince }: RefundState, now: Date): boolean {
  return now.getTime() > triedSince.getTime() + repeatableMs;
}

/** The id of the refund by which an undo pays the rest. Ids of other refunds have no such sign. */
const restId = '~rest';

type Requested = Extract<PaymentEvent, { $case: 'refundRequested' }>['value'];

/** The refunds after one more was requested. */
export function refundRequested(refunds: RefundState[], value: Requested, at: Date): RefundState[] {
  const { refundId, amount, reason } = value;
  const asked = { refundId, amount: amount!.minorUnits, reason, completed: false };
  return [...refunds, { ...asked, createTime: at, triedSince: at }];
}

/** The refunds after one is paid: the next one begins. */
export function refundDone(refunds: RefundState[], { refundId }: { refundId: string }, at: Date): RefundState[] {
  const done = refunds.map((refund) => (refund.refundId === refundId ? { ...refund, completed: true } : refund));
  return firstTried(done, at);
}

/** The refunds when the first pending one is tried from the beginning. Those behind it wait, and were never tried. */
export function firstTried(refunds: RefundState[], at: Date): RefundState[] {
  const first = refunds.findIndex(({ completed }) => !completed);
  return refunds.map((refund, index) => (index === first ? { ...refund, triedSince: at } : refund));
}

/** What is neither paid back nor on its way, in minor units; of a payment that is undone as a whole, nothing. */
export function leftOf({ request, status, undoing, refunds }: Refundable): bigint {
  if (status !== 'succeeded' || (undoing && refunds.length === 0)) return 0n;
  return refunds.reduce((left, { amount }) => left - amount, request!.amount!.minorUnits);
}

/** What was paid back, in minor units. */
export function paidBack({ request, status, refunds }: Refundable): bigint {
  if (status === 'refunded') return request!.amount!.minorUnits;
  return refunds.reduce((sum, { amount, completed }) => (completed ? sum + amount : sum), 0n);
}

/** The refund that is done next. */
export function firstPending({ status, refunds }: Refundable): RefundState | undefined {
  return status === 'succeeded' ? refunds.find((refund) => !refund.completed) : undefined;
}

/** The events of a refund that is paid. `byHand`: by an operator. */
export function completed(
  state: Refundable,
  { refundId, amount, reason }: RefundState,
  byHand = false,
): PaymentEvent[] {
  const { orderId, customerId, amount: whole } = state.request!;
  const { currency } = whole!;
  const refunded = paidBack(state) + amount;
  const money = (minorUnits: bigint): Money => ({ minorUnits, currency });
  const done: PaymentEvent = {
    $case: 'refundCompleted',
    value: {
      ...{ orderId, refundId, customerId, amount: money(amount), reason, refunded: money(refunded) },
      ...(byHand && { settled: true }),
    },
  };
  if (refunded < whole!.minorUnits) return [done];
  return [done, { $case: 'refunded', value: { orderId, customerId, amount: whole, inParts: true } }];
}

/** The refund of what is left, by an undo. */
export function restOf(state: Refundable, reason: string): PaymentEvent {
  return requested(state, restId, leftOf(state), reason);
}

export interface RefundInput {
  paymentId: string;
  refundId: string;
  /** Undefined: what is left. */
  amount: Money | undefined;
  reason: string;
}

/**
 * Requests a refund of this amount. A repeat is another refund; the caller's request id says whether it is one. Refused: NOT_FOUND;
 * INVALID_ARGUMENT (not above zero); FAILED_PRECONDITION PAYMENT_NOT_SUCCEEDED, CURRENCY_MISMATCH, NOTHING_TO_REFUND,
 * REFUND_TOO_LARGE, TOO_MANY_REFUNDS.
 */
export function refundPart(state: Refundable, input: RefundInput): PaymentEvent[] {
  const left = refundable(state, input);
  assertFewer(state, state.refunds.filter(isByHand), mostByHand);
  const amount = input.amount?.minorUnits ?? left;
  if (amount > left) {
    const { currency } = state.request!.amount!;
    throw refused('REFUND_TOO_LARGE', `Of the payment ${left} minor units of ${currency} are left, not ${amount}.`, {
      metadata: { left: String(left), currency },
    });
  }
  return [requested(state, input.refundId, amount, input.reason)];
}

/**
 * Requests a refund of this amount under its id, or of what is left if that is less; a repeat of the id changes nothing. Refused: as
 * by `refundPart`.
 */
export function refundAtMost(state: Refundable, input: RefundInput & { amount: Money }): PaymentEvent[] {
  if (state.refunds.some(({ refundId }) => refundId === input.refundId)) return [];
  const left = refundable(state, input);
  assertFewer(state, state.refunds, mostRefunds);
  const amount = input.amount.minorUnits < left ? input.amount.minorUnits : left;
  return [requested(state, input.refundId, amount, input.reason)];
}

/** What is left of a payment that can be refunded. */
function refundable(state: Refundable, { paymentId, amount }: RefundInput): bigint {
  const { request, status } = state;
  if (amount && amount.minorUnits <= 0n) throw invalidField('amount.minor_units', 'must be above zero');
  if (!request) throw notFound('payment', paymentId);
  if (status !== 'succeeded' && status !== 'refunded') {
    throw refused('PAYMENT_NOT_SUCCEEDED', 'No money was taken, so there is none to pay back.', {
      metadata: { status },
    });
  }
  const { currency } = request.amount!;
  if (amount && amount.currency !== currency) {
    throw refused('CURRENCY_MISMATCH', `The payment is in ${currency}, not in ${amount.currency}.`);
  }
  const left = leftOf(state);
  if (left === 0n)
    throw refused('NOTHING_TO_REFUND', 'All of the payment is paid back, or on its way, or it was of nothing.');
  return left;
}

/** Whether it is no return's. Ids of others are UUIDs. */
const isByHand = ({ refundId }: RefundState): boolean => !refundId.startsWith('return.');

/** Throws TOO_MANY_REFUNDS if there are as many as may be. */
function assertFewer(state: Refundable, counted: RefundState[], most: number): void {
  if (counted.length < most) return;
  const { currency } = state.request!.amount!;
  const message = `The payment has ${counted.length} refunds of this kind. Cancel or return its order, or deposit the rest.`;
  throw refused('TOO_MANY_REFUNDS', message, { metadata: { left: String(leftOf(state)), currency } });
}

function requested({ request }: Refundable, refundId: string, minorUnits: bigint, reason: string): PaymentEvent {
  const { orderId, amount } = request!;
  const money = { minorUnits, currency: amount!.currency };
  return { $case: 'refundRequested', value: { orderId, refundId, amount: money, reason } };
}
