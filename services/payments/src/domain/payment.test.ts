import type { Moment } from '@caudal/aggregates/types.ts';
import type { PaymentRequested } from '@caudal/contract/gen/caudal/payments/v1/events.ts';
import { given } from '@caudal/testing/given.ts';
import { describe, expect, test } from '@jest/globals';
import {
  type PaymentEvent,
  type PaymentState,
  paymentDecider,
  refundPayment,
  requestPayment,
  undoPayment,
} from './payment.ts';
import { maxCharges, nextStep, type StepOutcome, settle } from './payment-steps.ts';

const now = new Date('2026-01-01T00:00:00Z');
const orderId = 'o1';
const request = (method: PaymentRequested['method'], minorUnits = 500n): PaymentRequested => ({
  paymentId: 'p1',
  orderId,
  customerId: 'c1',
  amount: { minorUnits, currency: 'GBP' },
  method,
});
const byWallet = request({ $case: 'walletId', value: 'w1' });
const byCard = request({ $case: 'cardToken', value: 'tok' });
const free = request({ $case: 'cardToken', value: 'tok' }, 0n);

const requested = (value = byCard): PaymentEvent => ({ $case: 'requested', value });
const sent = (attempt = 1): PaymentEvent => ({ $case: 'sentToGateway', value: { orderId, attempt } });
const approved: PaymentEvent = {
  $case: 'gatewayResponded',
  value: { orderId, approved: true, gatewayReference: 'g1', reason: '' },
};
const declined: PaymentEvent = {
  $case: 'gatewayResponded',
  value: { orderId, approved: false, gatewayReference: '', reason: 'CARD_DECLINED' },
};
const succeeded = (gatewayReference = ''): PaymentEvent => ({
  $case: 'succeeded',
  value: { orderId, gatewayReference },
});
const failed = (reason: string): PaymentEvent => ({ $case: 'failed', value: { orderId, reason } });
const undoRequested = (reason = 'cancelled'): PaymentEvent => ({ $case: 'undoRequested', value: { orderId, reason } });
const voided: PaymentEvent = { $case: 'voided', value: { orderId } };
const refunded: PaymentEvent = { $case: 'refunded', value: { orderId } };
const barred: PaymentEvent = { $case: 'barred', value: { orderId: '' } };
const delayed = (step: string, attempt: number, seconds: number, error = 'CIRCUIT_OPEN'): PaymentEvent => ({
  $case: 'delayed',
  value: { orderId, step, attempt, error, dueTime: new Date(now.getTime() + seconds * 1000) },
});

type Decide = (state: PaymentState, moment: Moment) => PaymentEvent[];
const after = (...events: PaymentEvent[]) => given(paymentDecider, events, now);

describe('asking for a payment', () => {
  const asking =
    (value = byCard): Decide =>
    (state, moment) =>
      requestPayment(state, moment, value);

  test('once; the same again does nothing, another one is refused', () => {
    after().when(asking()).gives([requested()]);
    after(requested()).when(asking()).gives([]);
    after(requested(), failed('CARD_DECLINED')).when(asking()).gives([]);
    after(requested()).when(asking(byWallet)).refuses('ALREADY_EXISTS', 'PAYMENT_EXISTS');
    after(requested())
      .when(asking(request(byCard.method, 501n)))
      .refuses('ALREADY_EXISTS', 'PAYMENT_EXISTS');
    after()
      .when(asking(request(byCard.method, -1n)))
      .refuses('INVALID_ARGUMENT', 'INVALID_FIELD');
  });

  test('nothing to pay succeeds at once', () => {
    after()
      .when(asking(free))
      .gives([requested(free), succeeded()]);
    expect(nextStep(after(requested(free), succeeded()).state)).toBeUndefined();
  });

  test('after it was undone is refused', () => {
    after(barred).when(asking()).refuses('FAILED_PRECONDITION', 'PAYMENT_BARRED');
  });
});

describe('undoing a payment', () => {
  const undoing: Decide = (state, moment) => undoPayment(state, moment, { reason: 'cancelled' });
  const refunding: Decide = (state, moment) => refundPayment(state, moment, { paymentId: 'p1', reason: 'cancelled' });

  test('bars an unknown one', () => {
    after().when(undoing).gives([barred]);
    after(barred).when(undoing).gives([]);
  });

  test('asks for the void of one that runs, or the refund of one that succeeded, once', () => {
    after(requested()).when(undoing).gives([undoRequested()]);
    after(requested(), undoRequested()).when(undoing).gives([]);
    after(requested(), undoRequested(), voided).when(undoing).gives([]);
    after(requested(), succeeded('g1')).when(undoing).gives([undoRequested()]);
    after(requested(), succeeded('g1'), undoRequested()).when(undoing).gives([]);
    after(requested(), succeeded('g1'), undoRequested(), refunded).when(undoing).gives([]);
    after(requested(), failed('CARD_DECLINED')).when(undoing).gives([]);
    after(requested(free), succeeded()).when(undoing).gives([undoRequested(), refunded]);
  });

  test('a refund is the undoing of one that succeeded', () => {
    after(requested(), succeeded('g1')).when(refunding).gives([undoRequested()]);
    after(requested(), succeeded('g1'), undoRequested()).when(refunding).gives([]);
    after(requested(), succeeded('g1'), undoRequested(), refunded).when(refunding).gives([]);
    after(requested()).when(refunding).refuses('FAILED_PRECONDITION', 'PAYMENT_NOT_SUCCEEDED');
    after(requested(), failed('CARD_DECLINED')).when(refunding).refuses('FAILED_PRECONDITION', 'PAYMENT_NOT_SUCCEEDED');
    after().when(refunding).refuses('NOT_FOUND', 'PAYMENT_NOT_FOUND');
    after(barred).when(refunding).refuses('NOT_FOUND', 'PAYMENT_NOT_FOUND');
  });
});

describe('the next step', () => {
  const next = (...events: PaymentEvent[]) => nextStep(after(...events).state);
  const step = (kind: string, attempt = 1, dueAt?: Date) => ({ kind, attempt, dueAt });

  test('follows from where the payment stands', () => {
    expect(next()).toBeUndefined();
    expect(next(barred)).toBeUndefined();
    expect(next(requested(byWallet))).toEqual(step('debit'));
    expect(next(requested(byWallet), undoRequested())).toEqual(step('voidDebit'));
    expect(next(requested(byWallet), succeeded(), undoRequested())).toEqual(step('refundDebit'));
    expect(next(requested())).toEqual(step('charge'));
    expect(next(requested(), undoRequested())).toEqual(step('voidCharge'));
    expect(next(requested(), succeeded('g1'), undoRequested())).toEqual(step('refundCharge'));
    for (const end of [succeeded('g1'), failed('CARD_DECLINED'), voided])
      expect(next(requested(), end)).toBeUndefined();
    expect(next(requested(), succeeded('g1'), undoRequested(), refunded)).toBeUndefined();
  });

  test('waits for its time, unless something happens', () => {
    const inTwo = new Date(now.getTime() + 2000);
    const waiting = [requested(), sent(1), delayed('charge', 1, 1), sent(2), delayed('charge', 2, 2)];
    expect(next(...waiting)).toEqual(step('charge', 3, inTwo));
    expect(next(...waiting, undoRequested())).toEqual(step('voidCharge'));
    expect(next(...waiting, undoRequested(), delayed('voidCharge', 4, 2))).toEqual(step('voidCharge', 5, inTwo));
  });
});

describe('the outcome of a step', () => {
  const taken: StepOutcome = { kind: 'taken', reference: 'g1' };
  const declines: StepOutcome = { kind: 'refused', reason: 'CARD_DECLINED' };
  const undone: StepOutcome = { kind: 'undone' };
  const postponed: StepOutcome = { kind: 'postponed', error: 'CIRCUIT_OPEN' };
  const settling =
    (outcome: StepOutcome): Decide =>
    (state) =>
      settle(state, now, nextStep(state)!, outcome);

  test('of a debit', () => {
    after(requested(byWallet))
      .when(settling({ kind: 'taken', reference: '' }))
      .gives([succeeded()]);
    after(requested(byWallet))
      .when(settling({ kind: 'refused', reason: 'INSUFFICIENT_FUNDS' }))
      .gives([failed('INSUFFICIENT_FUNDS')]);
  });

  test('of a charge', () => {
    after(requested())
      .when(settling(taken))
      .gives([sent(), approved, succeeded('g1')]);
    after(requested())
      .when(settling(declines))
      .gives([sent(), declined, failed('CARD_DECLINED')]);
    after(requested())
      .when(settling(postponed))
      .gives([sent(), delayed('charge', 1, 1)]);
    after(requested(), sent(6))
      .when(settling(postponed))
      .gives([sent(7), delayed('charge', 7, 60)]);
  });

  test('of the last charge that is not known: the payment is voided', () => {
    after(requested(), sent(maxCharges - 1))
      .when(settling(postponed))
      .gives([sent(maxCharges), undoRequested('GATEWAY_UNAVAILABLE')]);
  });

  test('of a void or refund, which goes on until it is done', () => {
    after(requested(), undoRequested()).when(settling(undone)).gives([voided]);
    after(requested(), undoRequested())
      .when(settling(postponed))
      .gives([delayed('voidCharge', 1, 1)]);
    after(requested(), undoRequested(), delayed('voidCharge', 400, 1))
      .when(settling(postponed))
      .gives([delayed('voidCharge', 401, 300)]);
    after(requested(), succeeded('g1'), undoRequested()).when(settling(undone)).gives([refunded]);
    after(requested(), succeeded('g1'), undoRequested())
      .when(settling(postponed))
      .gives([delayed('refundCharge', 1, 1)]);
    after(requested(byWallet), undoRequested()).when(settling(undone)).gives([voided]);
    after(requested(byWallet), succeeded(), undoRequested()).when(settling(undone)).gives([refunded]);
  });

  test('of a step that is not the next one any more', () => {
    const charge = nextStep(after(requested()).state)!;
    const debit = nextStep(after(requested(byWallet)).state)!;
    const late =
      (step: typeof charge, outcome: StepOutcome): Decide =>
      (state) =>
        settle(state, now, step, outcome);
    after(requested(), undoRequested()).when(late(charge, taken)).gives([sent(), approved]);
    after(requested(), undoRequested()).when(late(charge, declines)).gives([sent(), declined, voided]);
    after(requested(), undoRequested()).when(late(charge, postponed)).gives([sent()]);
    for (const end of [[succeeded('g1')], [undoRequested(), voided], [failed('CARD_DECLINED')]]) {
      after(requested(), ...end)
        .when(late(charge, taken))
        .gives([]);
    }
    after(requested(), succeeded('g1'), undoRequested()).when(late(charge, taken)).gives([]);
    after(requested(byWallet), undoRequested()).when(late(debit, taken)).gives([]);
    after(requested(byWallet), undoRequested()).when(late(debit, declines)).gives([]);
  });
});
