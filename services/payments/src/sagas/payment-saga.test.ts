import type { PaymentRequested } from '@caudal/contract/gen/caudal/payments/v1/events.ts';
import { concernOf } from '@caudal/sagas/observe.ts';
import { describe, expect, test } from '@jest/globals';
import { type PaymentEvent, paymentDecider } from '../domain/payment.ts';
import { type PaymentMethod, paymentSaga } from './payment-saga.ts';

const at = new Date('2026-01-01T00:00:00Z');
const orderId = 'o1';
const amount = { minorUnits: 500n, currency: 'GBP' };
const methods = {
  wallet: { $case: 'walletId', value: 'w1' },
  card: { $case: 'cardToken', value: 'tok' },
} satisfies Record<PaymentMethod, PaymentRequested['method']>;
const requested = (method: PaymentMethod): PaymentEvent => ({
  $case: 'requested',
  value: { paymentId: 'p1', orderId, customerId: 'c1', amount, method: methods[method] },
});
const undoRequested: PaymentEvent = { $case: 'undoRequested', value: { orderId, reason: 'cancelled' } };
const retryRequested: PaymentEvent = { $case: 'retryRequested', value: { orderId, note: '' } };

const saga = (method: PaymentMethod) => paymentSaga(method, { aggregates: undefined!, gateway: undefined! });

/** The payment that the saga finds in each event, and its step after all of them. */
function led(method: PaymentMethod, events: PaymentEvent[]) {
  const led = saga(method);
  const seen = events.map((event, index) => {
    const observed = { stream: 'payments.payment/p1', id: 'p1', version: index + 1, at, event };
    return concernOf(led, 'payments.payment', observed)?.sagaId;
  });
  const state = events.reduce((before, event) => paymentDecider.evolve(before, event, at), paymentDecider.initial);
  return { seen, next: led.next(state)?.name };
}

describe('payments by wallet and by card', () => {
  test('have a queue each', () => {
    expect([saga('wallet').name, saga('card').name]).toEqual(['wallet-payment', 'card-payment']);
  });

  test.each<[PaymentMethod, PaymentMethod, string, string]>([
    ['wallet', 'card', 'debit', 'voidDebit'],
    ['card', 'wallet', 'charge', 'voidCharge'],
  ])('a payment by %s is run by its own saga only', (own, other, doing, undoing) => {
    expect(led(own, [requested(own)])).toEqual({ seen: ['p1'], next: doing });
    expect(led(other, [requested(own)])).toEqual({ seen: [undefined], next: undefined });
    const events = [requested(own), undoRequested, retryRequested];
    expect(led(own, events)).toEqual({ seen: ['p1', 'p1', 'p1'], next: undoing });
    expect(led(other, events).next).toBeUndefined();
  });

  test.each<[PaymentMethod, string]>([
    ['wallet', 'refundPartDebit'],
    ['card', 'refundPartCharge'],
  ])(
    'a refund of a part of a payment by %s is run when it is requested, and when the one before it is settled',
    (own, step) => {
      const refund = (refundId: string): PaymentEvent => ({
        $case: 'refundRequested',
        value: { orderId, refundId, amount: { ...amount, minorUnits: 1n }, reason: '' },
      });
      const paid = [requested(own), { $case: 'succeeded', value: { orderId, gatewayReference: '' } } as PaymentEvent];
      expect(led(own, [...paid, refund('r1')])).toEqual({ seen: ['p1', undefined, 'p1'], next: step });
      const settled: PaymentEvent = { $case: 'settled', value: { orderId, note: '' } };
      expect(led(own, [...paid, refund('r1'), settled])).toMatchObject({ seen: ['p1', undefined, 'p1', 'p1'] });
    },
  );
});
