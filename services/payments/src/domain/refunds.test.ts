import type { DecisionContext } from '@caudal/aggregates/types.ts';
import { given } from '@caudal/testing/given.ts';
import { describe, expect, test } from '@jest/globals';
import {
  type PaymentEvent,
  type PaymentState,
  paymentDecider,
  refundPayment,
  retryPayment,
  settlePayment,
  undoPayment,
} from './payment.ts';
import { maxUndos, nextStep, type PaymentStep, type StepOutcome, settle } from './payment-steps.ts';
import { isTooOld, mostByHand, refundAtMost } from './refunds.ts';

const now = new Date('2026-01-01T00:00:00Z');
const gbp = (minorUnits: bigint) => ({ minorUnits, currency: 'GBP' });
const paidBy = (method: 'walletId' | 'cardToken', minorUnits = 500n): PaymentEvent[] => [
  {
    $case: 'requested',
    value: {
      ...{ paymentId: 'p1', orderId: 'o1', customerId: 'c1', amount: gbp(minorUnits) },
      method: { $case: method, value: 'x' },
    },
  },
  { $case: 'succeeded', value: { orderId: 'o1', gatewayReference: '' } },
];
const paid = paidBy('cardToken');
const asked = (refundId: string, amount: bigint, reason = 'broken'): PaymentEvent => ({
  $case: 'refundRequested',
  value: { orderId: 'o1', refundId, amount: gbp(amount), reason },
});
const done = (refundId: string, amount: bigint, all: bigint, reason = 'broken'): PaymentEvent => ({
  $case: 'refundCompleted',
  value: { orderId: 'o1', refundId, customerId: 'c1', amount: gbp(amount), reason, refunded: gbp(all) },
});
const allBack: PaymentEvent = {
  $case: 'refunded',
  value: { orderId: 'o1', customerId: 'c1', amount: gbp(500n), inParts: true },
};
const undoRequested: PaymentEvent = { $case: 'undoRequested', value: { orderId: 'o1', reason: 'cancelled' } };
const attention: PaymentEvent = {
  $case: 'attentionNeeded',
  value: { orderId: 'o1', step: 'refundPartCharge', attempt: maxUndos, error: 'NOT_POSSIBLE' },
};

type Decide = (state: PaymentState, context: DecisionContext) => PaymentEvent[];
const after = (...events: PaymentEvent[]) => given(paymentDecider, events, now);
const input = (refundId: string, amount?: bigint) => ({
  ...{ paymentId: 'p1', refundId, reason: 'broken' },
  amount: amount === undefined ? undefined : gbp(amount),
});
const refunding =
  (refundId: string, amount?: bigint): Decide =>
  (state, context) =>
    refundPayment(state, context, input(refundId, amount));
const refundingAtMost =
  (refundId: string, amount: bigint): Decide =>
  (state) =>
    refundAtMost(state, { ...input(refundId), amount: gbp(amount) });
const undoing: Decide = (state, context) => undoPayment(state, context, { reason: 'cancelled' });

describe('a refund of a part', () => {
  test('is requested as often as money is left, which counts those on their way', () => {
    after(...paid)
      .when(refunding('r1', 200n))
      .gives([asked('r1', 200n)]);
    const once = [...paid, asked('r1', 200n)];
    for (const events of [once, [...once, done('r1', 200n, 200n)]]) {
      after(...events)
        .when(refunding('r2', 300n))
        .gives([asked('r2', 300n)]);
      after(...events)
        .when(refunding('r2'))
        .gives([asked('r2', 300n)]);
      after(...events)
        .when(refunding('r2', 301n))
        .refuses('FAILED_PRECONDITION', 'REFUND_TOO_LARGE');
      after(...events, asked('r2', 300n))
        .when(refunding('r3', 1n))
        .refuses('FAILED_PRECONDITION', 'NOTHING_TO_REFUND');
    }
  });

  test('under an id: once, and less if less is left', () => {
    after(...paid)
      .when(refundingAtMost('r1', 200n))
      .gives([asked('r1', 200n)]);
    after(...paid, asked('r1', 200n))
      .when(refundingAtMost('r1', 200n))
      .gives([]);
    after(...paid, asked('r1', 200n))
      .when(refundingAtMost('r2', 400n))
      .gives([asked('r2', 300n)]);
    after(...paid, undoRequested)
      .when(refundingAtMost('r2', 400n))
      .refuses('FAILED_PRECONDITION', 'NOTHING_TO_REFUND');
  });

  test('is refused of a payment that took no money, of another currency, of nothing, and beyond the bound', () => {
    after(paid[0]!).when(refunding('r1', 1n)).refuses('FAILED_PRECONDITION', 'PAYMENT_NOT_SUCCEEDED');
    after().when(refunding('r1', 1n)).refuses('NOT_FOUND', 'PAYMENT_NOT_FOUND');
    for (const amount of [undefined, 1n])
      after(...paidBy('cardToken', 0n))
        .when(refunding('r1', amount))
        .refuses('FAILED_PRECONDITION', 'NOTHING_TO_REFUND');
    after(...paid)
      .when(refunding('r1', 0n))
      .refuses('INVALID_ARGUMENT', 'INVALID_FIELD');
    after(...paid)
      .when((state, context) =>
        refundPayment(state, context, { ...input('r1'), amount: { minorUnits: 1n, currency: 'EUR' } }),
      )
      .refuses('FAILED_PRECONDITION', 'CURRENCY_MISMATCH');
    const many = Array.from({ length: mostByHand }, (_, n) => asked(`r${n}`, 1n));
    after(...paid, ...many)
      .when(refunding('more', 1n))
      .refuses('FAILED_PRECONDITION', 'TOO_MANY_REFUNDS');
    const ofReturns = Array.from({ length: mostByHand }, (_, n) => asked(`return.${n}`, 1n));
    after(...paid, ...ofReturns)
      .when(refunding('more', 1n))
      .gives([asked('more', 1n)]);
    // Refunds of returns have places of their own, and an undo is one more.
    after(...paid, ...many)
      .when(refundingAtMost('return.1', 1n))
      .gives([asked('return.1', 1n)]);
    after(...paid, ...many, ...many)
      .when(refundingAtMost('return.1', 1n))
      .refuses('FAILED_PRECONDITION', 'TOO_MANY_REFUNDS');
    after(...paid, ...many)
      .when(undoing)
      .gives([undoRequested, asked('~rest', 400n, 'cancelled')]);
  });

  test('and an undo: the rest is one more refund, or nothing is left', () => {
    after(...paid, asked('r1', 200n))
      .when(undoing)
      .gives([undoRequested, asked('~rest', 300n, 'cancelled')]);
    after(...paid, asked('r1', 500n))
      .when(undoing)
      .gives([undoRequested]);
    after(...paid, asked('r1', 500n), done('r1', 500n, 500n), allBack)
      .when(undoing)
      .gives([]);
    after(...paid, asked('r1', 200n), undoRequested, asked('~rest', 300n))
      .when(refunding('r2', 1n))
      .refuses('FAILED_PRECONDITION', 'NOTHING_TO_REFUND');
  });
});

describe('the steps of refunds', () => {
  const step = (...events: PaymentEvent[]) => nextStep(after(...events).state);
  const settling =
    (of: PaymentStep, outcome: StepOutcome): Decide =>
    (state) =>
      settle(state, now, of, outcome);
  const two = [...paid, asked('r1', 200n), asked('r2', 300n)];
  const first: PaymentStep = { kind: 'refundPartCharge', attempt: 1, delays: 0, dueAt: undefined, refundId: 'r1' };

  test('come one after the other, and then that of an undo', () => {
    expect(step(...paid)).toBeUndefined();
    expect(step(...two)).toEqual(first);
    expect(step(...two, done('r1', 200n, 200n))).toEqual({ ...first, refundId: 'r2' });
    expect(step(...two, done('r1', 200n, 200n), done('r2', 300n, 500n), allBack)).toBeUndefined();
    expect(step(...paidBy('walletId'), asked('r1', 1n))).toMatchObject({ kind: 'refundPartDebit', refundId: 'r1' });
  });

  test('end a refund once, and the payment with the last of its money', () => {
    const undone: StepOutcome = { kind: 'undone' };
    after(...two)
      .when(settling(first, undone))
      .gives([done('r1', 200n, 200n)]);
    after(...two, done('r1', 200n, 200n))
      .when(settling(first, undone))
      .gives([]);
    after(...two, done('r1', 200n, 200n))
      .when(settling({ ...first, refundId: 'r2' }, undone))
      .gives([done('r2', 300n, 500n), allBack]);
  });

  test('that fail are tried again, and need attention in the end; an operator settles the one that waits', () => {
    const unknown: StepOutcome = { kind: 'unknown', error: 'NOT_POSSIBLE' };
    after(...two)
      .when(settling({ ...first, attempt: maxUndos }, unknown))
      .gives([attention]);
    expect(after(...two).when(settling(first, unknown))).toBeDefined();
    const waiting = after(...two, attention);
    expect(nextStep(waiting.state)).toBeUndefined();
    const settlingBy =
      (refundId: string): Decide =>
      (state, context) =>
        settlePayment(state, context, { paymentId: 'p1', refundId, note: 'by bank' });
    waiting
      .when(settlingBy('r1'))
      .gives([
        { $case: 'settled', value: { orderId: 'o1', note: 'by bank' } },
        { $case: 'refundCompleted', value: { ...done('r1', 200n, 200n).value, settled: true } } as PaymentEvent,
      ]);
    waiting
      .when((state, context) => retryPayment(state, context, { paymentId: 'p1', refundId: 'r1', note: '' }))
      .gives([{ $case: 'retryRequested', value: { orderId: 'o1', note: '' } }]);
    // The operator has looked into another one.
    for (const refundId of ['', 'r2'])
      waiting.when(settlingBy(refundId)).refuses('FAILED_PRECONDITION', 'PAYMENT_NEEDS_NO_ATTENTION');
  });

  test('go on to wait for an operator when more is requested: it may be paid by hand already', () => {
    const waiting = after(...paid, asked('r1', 200n), attention, asked('r2', 1n), undoRequested, asked('~rest', 299n));
    expect(waiting.state.attention).toBe('NOT_POSSIBLE');
    expect(nextStep(waiting.state)).toBeUndefined();
  });

  test('to a wallet are not tried when the wallet may have forgotten them', () => {
    const [refund] = after(...paidBy('walletId'), asked('r1', 1n)).state.refunds;
    const day = (n: number) => new Date(now.getTime() + n * 86_400_000);
    expect([isTooOld(refund!, day(28)), isTooOld(refund!, day(30))]).toEqual([false, true]);
  });
});
