/**
 * A payment of an order, from a wallet or by card.
 *
 *      requested ──> succeeded ──(undo, or refunds of all of it)──> refunded
 *          ├───────> failed
 *          └─(undo)> voided               undo of an unknown payment ──> barred (a late request is refused)
 *
 * The state of the payment's saga is here too: the number of attempts, and when to try again (payment-steps.ts). An
 * undo that the gateway has not done after all attempts waits for an operator, who retries it or settles it by hand. Refunds of
 * parts are in refunds.ts.
 */
import type { Decider, DecisionContext } from '@caudal/aggregates/types.ts';
import { type EventOf, payment } from '@caudal/contract/entities.ts';
import type { PaymentRequested } from '@caudal/contract/gen/caudal/payments/v1/events.ts';
import { CaudalError, invalidField, notFound, refused } from '@caudal/kernel/errors.ts';
import {
  completed,
  firstPending,
  firstTried,
  leftOf,
  type Refundable,
  type RefundInput,
  refundDone,
  refundPart,
  refundRequested,
  restOf,
} from './refunds.ts';

export type PaymentEvent = EventOf<typeof payment>;

export interface PaymentState extends Refundable {
  /** Attempts at the gateway so far. */
  attempts: number;
  /** A step that failed and is tried again at `dueAt`. */
  delayed: { step: string; attempt: number; delays: number; dueAt: Date } | undefined;
  /** Why nothing is tried until an operator acts; undefined: no attention is needed. */
  attention: string | undefined;
  /** Why the payment failed, or is undone. */
  reason: string;
  gatewayReference: string;
  createTime: Date | undefined;
  updateTime: Date | undefined;
}

export const paymentDecider: Decider<PaymentState, PaymentEvent> = {
  entity: payment,
  initial: {
    request: undefined,
    status: 'none',
    undoing: false,
    attempts: 0,
    delayed: undefined,
    attention: undefined,
    reason: '',
    refunds: [],
    gatewayReference: '',
    createTime: undefined,
    updateTime: undefined,
  },
  owner: (state) => state.request?.customerId,
  evolve: (state, event, at) => ({
    ...state,
    ...(goesOn(state, event) ? {} : { delayed: undefined, attention: undefined }),
    ...change(state, event, at),
    updateTime: at,
  }),
};

/**
 * Whether the wait of a delayed step, or for an operator, goes on after the event. A request for another refund, or for an undo,
 * says nothing of the refund that waits: the operator may have paid it by hand already.
 */
function goesOn(state: PaymentState, { $case }: PaymentEvent): boolean {
  return $case === 'refundRequested' || ($case === 'undoRequested' && firstPending(state) !== undefined);
}

/** The fields that the event changes. */
function change(state: PaymentState, event: PaymentEvent, at: Date): Partial<PaymentState> {
  switch (event.$case) {
    case 'requested':
      return { request: event.value, status: 'requested', createTime: at };
    case 'sentToGateway':
      return { attempts: event.value.attempt };
    case 'gatewayResponded':
      return { gatewayReference: event.value.gatewayReference };
    case 'succeeded':
      return { status: 'succeeded', gatewayReference: event.value.gatewayReference };
    case 'failed':
      return { status: 'failed', reason: event.value.reason };
    case 'undoRequested':
      return { undoing: true, reason: event.value.reason };
    case 'voided':
      return { status: 'voided', undoing: false };
    case 'refunded':
      return { status: 'refunded', undoing: false };
    case 'barred':
      return { status: 'barred' };
    case 'delayed': {
      const { step, attempt, delays, dueTime } = event.value;
      return { delayed: { step, attempt, delays, dueAt: dueTime! } };
    }
    case 'attentionNeeded':
      return { attention: event.value.error };
    case 'refundRequested':
      return { refunds: refundRequested(state.refunds, event.value, at) };
    case 'refundCompleted':
      return { refunds: refundDone(state.refunds, event.value, at) };
    case 'retryRequested':
      return { refunds: firstTried(state.refunds, at) };
    case 'settled':
      return {};
  }
}

/**
 * Requests a payment; a repeat changes nothing. An amount of zero succeeds at once, without wallet or gateway. Refused:
 * FAILED_PRECONDITION PAYMENT_BARRED (it was undone before this request); ALREADY_EXISTS PAYMENT_EXISTS (another
 * payment has this id); INVALID_ARGUMENT (below zero).
 */
export function requestPayment(
  state: PaymentState,
  _context: DecisionContext,
  request: PaymentRequested,
): PaymentEvent[] {
  const { paymentId, orderId, amount } = request;
  if (amount!.minorUnits < 0n) throw invalidField('amount.minor_units', 'must not be below zero');
  if (state.status === 'barred') {
    throw refused('PAYMENT_BARRED', `The payment "${paymentId}" was undone before it was asked for.`);
  }
  if (state.request) {
    if (isSame(state.request, request)) return [];
    throw new CaudalError('ALREADY_EXISTS', 'PAYMENT_EXISTS', `There is another payment "${paymentId}".`);
  }
  const requested: PaymentEvent = { $case: 'requested', value: request };
  if (amount!.minorUnits > 0n) return [requested];
  return [requested, { $case: 'succeeded', value: { orderId, gatewayReference: '' } }];
}

/** Undoes the payment, whatever its state; a repeat changes nothing. An unknown payment is barred. */
export function undoPayment(
  state: PaymentState,
  _context: DecisionContext,
  { reason }: { reason: string },
): PaymentEvent[] {
  const { request, status, undoing } = state;
  if (status === 'none') return [{ $case: 'barred', value: { orderId: '' } }];
  if (undoing || (status !== 'requested' && status !== 'succeeded')) return [];
  const orderId = request!.orderId;
  const undoRequested: PaymentEvent = { $case: 'undoRequested', value: { orderId, reason } };
  if (request!.amount!.minorUnits === 0n) return [undoRequested, refundedWhole(state)];
  // Of a payment that has refunds, the rest is one more.
  if (state.refunds.length > 0 && leftOf(state) > 0n) return [undoRequested, restOf(state, reason)];
  return [undoRequested];
}

/**
 * Refunds this amount, or what is left. A payment of which nothing was refunded is refunded as a whole, as by an undo; of one that
 * took no money nothing is left. Refused: as by `refundPart`.
 */
export function refundPayment(state: PaymentState, context: DecisionContext, input: RefundInput): PaymentEvent[] {
  const isWhole = !input.amount && state.refunds.length === 0 && leftOf(state) > 0n;
  return isWhole ? undoPayment(state, context, input) : refundPart(state, input);
}

/** What an operator decides. */
export interface OperatorInput {
  paymentId: string;
  /** The refund in parts that the operator has looked into; empty: the payment as a whole. */
  refundId: string;
  note: string;
}

/** Tries the undo or refund that needs attention again. Refused: NOT_FOUND; FAILED_PRECONDITION PAYMENT_NEEDS_NO_ATTENTION. */
export function retryPayment(state: PaymentState, _context: DecisionContext, input: OperatorInput): PaymentEvent[] {
  mustNeedAttention(state, input);
  return [{ $case: 'retryRequested', value: { orderId: state.request!.orderId, note: input.note } }];
}

/** Ends the undo or refund that needs attention: an operator has moved the money by hand. Refused: as for `retryPayment`. */
export function settlePayment(state: PaymentState, _context: DecisionContext, input: OperatorInput): PaymentEvent[] {
  mustNeedAttention(state, input);
  const orderId = state.request!.orderId;
  const pending = firstPending(state);
  const ended = pending ? completed(state, pending, true) : [undone(state, true)];
  return [{ $case: 'settled', value: { orderId, note: input.note } }, ...ended];
}

/** The last event of a payment whose undo is done, without refunds of parts. `byHand`: by an operator. */
export function undone(state: PaymentState, byHand = false): PaymentEvent {
  const { request, status, reason } = state;
  if (status === 'succeeded') return refundedWhole(state, byHand);
  return { $case: 'voided', value: { orderId: request!.orderId, reason } };
}

function refundedWhole({ request }: PaymentState, byHand = false): PaymentEvent {
  const { orderId, customerId, amount } = request!;
  const settled = byHand ? { settled: true } : {};
  return { $case: 'refunded', value: { orderId, customerId, amount, inParts: false, ...settled } };
}

function mustNeedAttention(state: PaymentState, { paymentId, refundId }: OperatorInput): void {
  const { request, attention, status } = state;
  if (!request) throw notFound('payment', paymentId);
  const waiting = firstPending(state)?.refundId ?? '';
  if (attention === undefined) {
    const message = `The payment "${paymentId}" needs no attention: it continues by itself or has ended.`;
    throw refused('PAYMENT_NEEDS_NO_ATTENTION', message, { metadata: { status } });
  }
  if (refundId === waiting) return;
  // Another one may wait by now than the operator has seen.
  const what = waiting === '' ? 'the payment as a whole: leave refund_id out' : `its refund "${waiting}"`;
  throw refused('PAYMENT_NEEDS_NO_ATTENTION', `What needs attention is ${what}.`, {
    metadata: { status, refund_id: waiting },
    violations: [{ field: 'refund_id', description: `must be "${waiting}"` }],
  });
}

function isSame(a: PaymentRequested, b: PaymentRequested): boolean {
  return (
    a.orderId === b.orderId &&
    a.customerId === b.customerId &&
    a.amount?.minorUnits === b.amount?.minorUnits &&
    a.amount?.currency === b.amount?.currency &&
    a.method?.$case === b.method?.$case &&
    a.method?.value === b.method?.value
  );
}
