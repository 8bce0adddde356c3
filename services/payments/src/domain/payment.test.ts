import type { DecisionContext } from '@caudal/aggregates/types.ts';
import type { PaymentRequested } from '@caudal/contract/gen/caudal/payments/v1/events.ts';
import { given } from '@caudal/testing/given.ts';
import { describe, expect, test } from '@jest/globals';
import {
  type PaymentEvent,
  type PaymentState,
  paymentDecider,
  refundPayment,
  requestPayment,
  retryPayment,
  settlePayment,
  undoPayment,
} from './payment.ts';
import { maxCharges, maxUndos, nextStep, type StepOutcome, settle } from './payment-steps.ts';

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
const voided: PaymentEvent = { $case: 'voided', value: { orderId, reason: 'cancelled' } };
const refundedOf = ({ amount }: PaymentRequested, inParts = false): PaymentEvent => ({
  $case: 'refunded',
  value: { orderId, customerId: 'c1', amount, inParts },
});
const refunded = refundedOf(byCard);
const barred: PaymentEvent = { $case: 'barred', value: { orderId: '' } };
const lost = 'GATEWAY_OUTCOME_UNKNOWN';
const delayed = (step: string, attempt: number, seconds: number, delays = attempt, error = lost): PaymentEvent => ({
  $case: 'delayed',
  value: { orderId, step, attempt, error, dueTime: new Date(now.getTime() + seconds * 1000), delays },
});
const attentionNeeded = (step: string, attempt: number, error = lost): PaymentEvent => ({
  $case: 'attentionNeeded',
  value: { orderId, step, attempt, error },
});
const retryRequested: PaymentEvent = { $case: 'retryRequested', value: { orderId, note: 'limit raised' } };
const settled: PaymentEvent = { $case: 'settled', value: { orderId, note: 'by bank' } };

type Decide = (state: PaymentState, context: DecisionContext) => PaymentEvent[];
const after = (...events: PaymentEvent[]) => given(paymentDecider, events, now);

describe('requesting a payment', () => {
  const asking =
    (value = byCard): Decide =>
    (state, context) =>
      requestPayment(state, context, value);

  test('once; a repeat changes nothing, another payment of the id is refused', () => {
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
  const undoing: Decide = (state, context) => undoPayment(state, context, { reason: 'cancelled' });
  const refunding: Decide = (state, context) =>
    refundPayment(state, context, { paymentId: 'p1', refundId: 'r1', amount: undefined, reason: 'cancelled' });

  test('bars an unknown payment', () => {
    after().when(undoing).gives([barred]);
    after(barred).when(undoing).gives([]);
  });

  test('requests the void of an open payment, or the refund of one that succeeded, once', () => {
    after(requested()).when(undoing).gives([undoRequested()]);
    after(requested(), undoRequested()).when(undoing).gives([]);
    after(requested(), undoRequested(), voided).when(undoing).gives([]);
    after(requested(), succeeded('g1')).when(undoing).gives([undoRequested()]);
    after(requested(), succeeded('g1'), undoRequested()).when(undoing).gives([]);
    after(requested(), succeeded('g1'), undoRequested(), refunded).when(undoing).gives([]);
    after(requested(), failed('CARD_DECLINED')).when(undoing).gives([]);
    after(requested(free), succeeded())
      .when(undoing)
      .gives([undoRequested(), refundedOf(free)]);
  });

  test('a refund of all undoes a payment that succeeded; another one has nothing left', () => {
    after(requested(), succeeded('g1')).when(refunding).gives([undoRequested()]);
    after(requested(free), succeeded()).when(refunding).refuses('FAILED_PRECONDITION', 'NOTHING_TO_REFUND');
    for (const gone of [[undoRequested()], [undoRequested(), refunded]])
      after(requested(), succeeded('g1'), ...gone)
        .when(refunding)
        .refuses('FAILED_PRECONDITION', 'NOTHING_TO_REFUND');
    after(requested()).when(refunding).refuses('FAILED_PRECONDITION', 'PAYMENT_NOT_SUCCEEDED');
    after(requested(), failed('CARD_DECLINED')).when(refunding).refuses('FAILED_PRECONDITION', 'PAYMENT_NOT_SUCCEEDED');
    after().when(refunding).refuses('NOT_FOUND', 'PAYMENT_NOT_FOUND');
    after(barred).when(refunding).refuses('NOT_FOUND', 'PAYMENT_NOT_FOUND');
  });
});

describe('a payment that needs attention', () => {
  const note = { paymentId: 'p1', refundId: '', note: 'limit raised' };
  const retrying: Decide = (state, context) => retryPayment(state, context, note);
  const settling: Decide = (state, context) =>
    settlePayment(state, context, { paymentId: 'p1', refundId: '', note: 'by bank' });
  const voiding = [requested(), undoRequested(), attentionNeeded('voidCharge', maxUndos)];
  const refunding = [requested(), succeeded('g1'), undoRequested(), attentionNeeded('refundCharge', maxUndos)];

  test('waits for an operator; a further undo changes nothing', () => {
    for (const waiting of [voiding, refunding]) {
      expect(nextStep(after(...waiting).state)).toBeUndefined();
      after(...waiting)
        .when((state, context) => undoPayment(state, context, { reason: 'again' }))
        .gives([]);
    }
  });

  test('is tried again from the first attempt on', () => {
    after(...voiding)
      .when(retrying)
      .gives([retryRequested]);
    expect(nextStep(after(...voiding, retryRequested).state)).toEqual({
      kind: 'voidCharge',
      attempt: 1,
      delays: 0,
      dueAt: undefined,
    });
  });

  test('is settled: it ends as if the undo had worked', () => {
    after(...voiding)
      .when(settling)
      .gives([settled, voided]);
    after(...refunding)
      .when(settling)
      .gives([settled, { ...refunded, value: { ...refunded.value, settled: true } } as PaymentEvent]);
    expect(nextStep(after(...voiding, settled, voided).state)).toBeUndefined();
  });

  test('no other payment can be retried or settled', () => {
    for (const deciding of [retrying, settling]) {
      after().when(deciding).refuses('NOT_FOUND', 'PAYMENT_NOT_FOUND');
      for (const events of [[], [undoRequested()], [undoRequested(), voided], [succeeded('g1')]]) {
        after(requested(), ...events)
          .when(deciding)
          .refuses('FAILED_PRECONDITION', 'PAYMENT_NEEDS_NO_ATTENTION');
      }
      after(...voiding, retryRequested)
        .when(deciding)
        .refuses('FAILED_PRECONDITION', 'PAYMENT_NEEDS_NO_ATTENTION');
    }
  });
});

describe('the next step', () => {
  const next = (...events: PaymentEvent[]) => nextStep(after(...events).state);
  const step = (kind: string, attempt = 1, dueAt?: Date, delays = attempt - 1) => ({ kind, attempt, delays, dueAt });

  test("follows from the payment's state", () => {
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

  test('waits until it is due, unless another event happens', () => {
    const inTwo = new Date(now.getTime() + 2000);
    const waiting = [requested(), sent(1), delayed('charge', 1, 1), sent(2), delayed('charge', 2, 2)];
    expect(next(...waiting)).toEqual(step('charge', 3, inTwo));
    expect(next(...waiting, undoRequested())).toEqual(step('voidCharge'));
    expect(next(...waiting, undoRequested(), delayed('voidCharge', 4, 2))).toEqual(step('voidCharge', 5, inTwo));
    expect(next(requested(), delayed('charge', 0, 2, 3))).toEqual(step('charge', 1, inTwo, 3));
  });
});

describe('the outcome of a step', () => {
  const taken: StepOutcome = { kind: 'taken', reference: 'g1' };
  const declines: StepOutcome = { kind: 'refused', reason: 'CARD_DECLINED' };
  const undone: StepOutcome = { kind: 'undone' };
  const unknown: StepOutcome = { kind: 'unknown', error: lost };
  const unreachable: StepOutcome = { kind: 'unreachable', error: 'CIRCUIT_OPEN', retryAfterMs: 60_000 };
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
      .when(settling(unknown))
      .gives([sent(), delayed('charge', 1, 1)]);
    after(requested(), sent(6), delayed('charge', 6, 32))
      .when(settling(unknown))
      .gives([sent(7), delayed('charge', 7, 60)]);
  });

  test('of a charge that never reached the gateway: it waits, and that is no attempt', () => {
    after(requested())
      .when(settling(unreachable))
      .gives([delayed('charge', 0, 60, 1, 'CIRCUIT_OPEN')]);
    after(requested(), sent(maxCharges - 1), delayed('charge', maxCharges - 1, 60))
      .when(settling(unreachable))
      .gives([delayed('charge', maxCharges - 1, 60, maxCharges, 'CIRCUIT_OPEN')]);
    // However long the outage lasts, the charge follows it.
    const outage = Array.from({ length: 50 }, (_, n) => delayed('charge', 0, 60, n + 1, 'CIRCUIT_OPEN'));
    after(requested(), ...outage)
      .when(settling(taken))
      .gives([sent(), approved, succeeded('g1')]);
    after(requested(), undoRequested())
      .when((state) => settle(state, now, nextStep(after(requested()).state)!, unreachable))
      .gives([]);
  });

  test('of the last charge, if it is unknown: the payment is voided', () => {
    after(requested(), sent(maxCharges - 1))
      .when(settling(unknown))
      .gives([sent(maxCharges), undoRequested('GATEWAY_UNAVAILABLE')]);
  });

  test('of a void or refund', () => {
    after(requested(), undoRequested()).when(settling(undone)).gives([voided]);
    after(requested(), undoRequested())
      .when(settling(unknown))
      .gives([delayed('voidCharge', 1, 1)]);
    after(requested(), succeeded('g1'), undoRequested()).when(settling(undone)).gives([refunded]);
    after(requested(), succeeded('g1'), undoRequested())
      .when(settling(unknown))
      .gives([delayed('refundCharge', 1, 1)]);
    after(requested(byWallet), undoRequested()).when(settling(undone)).gives([voided]);
    after(requested(byWallet), succeeded(), undoRequested()).when(settling(undone)).gives([refunded]);
  });

  test('of a void or refund that never works: the payment needs attention', () => {
    after(requested(), undoRequested(), delayed('voidCharge', maxUndos - 1, 1))
      .when(settling(unknown))
      .gives([attentionNeeded('voidCharge', maxUndos)]);
    after(requested(), succeeded('g1'), undoRequested(), delayed('refundCharge', maxUndos - 1, 1))
      .when(settling({ kind: 'unknown', error: 'NOT_POSSIBLE' }))
      .gives([attentionNeeded('refundCharge', maxUndos, 'NOT_POSSIBLE')]);
  });

  test('of a void or refund while the gateway is unreachable: it waits without a limit', () => {
    after(requested(), undoRequested(), delayed('voidCharge', maxUndos - 1, 1, 400))
      .when(settling(unreachable))
      .gives([delayed('voidCharge', maxUndos - 1, 300, 401, 'CIRCUIT_OPEN')]);
  });

  test('of a void that another process has given up: nothing more', () => {
    const late = nextStep(after(requested(), undoRequested()).state)!;
    after(requested(), undoRequested(), attentionNeeded('voidCharge', maxUndos))
      .when((state) => settle(state, now, late, unknown))
      .gives([]);
  });

  test('of a step that is no longer the next one', () => {
    const charge = nextStep(after(requested()).state)!;
    const debit = nextStep(after(requested(byWallet)).state)!;
    const late =
      (step: typeof charge, outcome: StepOutcome): Decide =>
      (state) =>
        settle(state, now, step, outcome);
    after(requested(), undoRequested()).when(late(charge, taken)).gives([sent(), approved]);
    after(requested(), undoRequested()).when(late(charge, declines)).gives([sent(), declined, voided]);
    after(requested(), undoRequested()).when(late(charge, unknown)).gives([sent()]);
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
