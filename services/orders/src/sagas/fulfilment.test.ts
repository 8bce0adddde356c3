import type { Aggregates } from '@caudal/aggregates/types.ts';
import { contract } from '@caudal/contract/descriptors.ts';
import { PaymentStatus } from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
import { invalidField, notFound, refused, unavailable } from '@caudal/kernel/errors.ts';
import { invalidRequest, validator } from '@caudal/rpc/schema/validation.ts';
import type { CallOptions } from '@caudal/rpc/types.ts';
import { given } from '@caudal/testing/given.ts';
import { describe, expect, test } from '@jest/globals';
import { type FulfilmentEvent, fulfilmentDecider, type StepName } from '../domain/fulfilment.ts';
import { type FulfilmentDependencies, fulfilmentSaga } from './fulfilment.ts';

const orderId = 'o'.repeat(64);
const started: FulfilmentEvent = {
  $case: 'started',
  value: {
    orderId,
    customerId: 'c1',
    country: 'France',
    lines: [{ productId: 'P1', quantity: 2n, unitPrice: { minorUnits: 100n, currency: 'GBP' }, title: 'Lantern' }],
    total: { minorUnits: 200n, currency: 'GBP' },
    paymentMethod: { method: { $case: 'walletId', value: 'w1' } },
    attributes: { tier: 'gold' },
  },
};
const reserved: FulfilmentEvent = { $case: 'reserved', value: { reservationId: '', expireTime: undefined } };
const committed: FulfilmentEvent = { $case: 'committed', value: {} };
const cancelRequested: FulfilmentEvent = { $case: 'cancelRequested', value: { reason: 'changed my mind' } };

/** Refused in requests of callers today: a card number, a control character, and one that overrides the direction. */
const taken = 'wrong card 4111 1111 1111 1111\u0007\u202e';

const requests: Record<string, [context: string, message: string]> = {
  reserveStock: ['inventory', 'ReserveStockRequest'],
  commitReservation: ['inventory', 'CommitReservationRequest'],
  releaseReservation: ['inventory', 'ReleaseReservationRequest'],
  createPayment: ['payments', 'CreatePaymentRequest'],
  undoPayment: ['payments', 'UndoPaymentRequest'],
  createShipment: ['shipping', 'CreateShipmentRequest'],
  cancelShipment: ['shipping', 'CancelShipmentRequest'],
};

/** Runs a step after these facts; returns the facts that it adds, and the request that it sent. */
async function run(name: StepName, facts: FulfilmentEvent[], refusal?: Error, answer: object = {}) {
  let sent!: { method: string; request: Record<string, unknown>; options: CallOptions };
  const calls: string[] = [];
  const peer = new Proxy({} as never, {
    get: (_, method: string) => async (request: Record<string, unknown>, options: CallOptions) => {
      sent = { method, request, options };
      calls.push(`${method} ${request.reservationId}`);
      if (refusal) throw refusal;
      return answer;
    },
  });
  const saga = fulfilmentSaga({
    aggregates: {} as Aggregates,
    inventory: peer as FulfilmentDependencies['inventory'],
    payments: peer as FulfilmentDependencies['payments'],
    shipping: peer as FulfilmentDependencies['shipping'],
    reservationMs: 1500,
    paymentMs: 600_000,
  });
  const { state } = given(fulfilmentDecider, facts);
  const origin = { actor: '', causationId: '', correlationId: '', traceparent: '' };
  const context = { now: new Date(0), sagaId: orderId, origin, signal: new AbortController().signal };
  const learnt = await saga.run({ name }, state, context);
  return { fact: learnt[0], facts: learnt, calls, ...sent };
}

describe("a step of the order's saga", () => {
  const steps: [StepName, FulfilmentEvent[]][] = [
    ['reserve', [started]],
    ['commit', [started, reserved]],
    ['undo-stock', [started, reserved, cancelRequested]],
    ['request-payment', [started, reserved]],
    ['undo-payment', [started, reserved, cancelRequested]],
    ['create-shipment', [started, reserved, committed]],
    ['cancel-shipment', [started, reserved, cancelRequested]],
  ];

  test.each(steps)('%s sends a valid request, even for the longest id, and without a request id', async (...step) => {
    const { method, request, options } = await run(...step);
    const [context, message] = requests[method]!;
    validator(contract().registry.getMessage(`caudal.${context}.v1.${message}`)!)(request);
    expect([request.requestId, options.idempotent]).toEqual(['', true]);
  });

  test.each(steps)('%s passes on the texts of an order that version 0.2 has taken', async (name, facts) => {
    const earlier = facts.map((fact) => structuredClone(fact));
    for (const { $case, value } of earlier) {
      if ($case === 'cancelRequested') value.reason = taken;
      if ($case !== 'started') continue;
      value.country = taken;
      value.attributes = { tier: taken };
      value.paymentMethod = { method: { $case: 'cardToken', value: taken } };
      value.total!.currency = 'AAA';
    }
    const { method, request } = await run(name, earlier);
    const [context, message] = requests[method]!;
    const type = contract().registry.getMessage(`caudal.${context}.v1.${message}`)!;
    validator(type, 'service')(request);
    // These have no texts.
    if (name !== 'commit' && name !== 'cancel-shipment')
      expect(() => validator(type)(request)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
  });

  test('reserves for the time of the setting, with the attributes of the buyer', async () => {
    const { request } = await run('reserve', [started]);
    expect(request).toMatchObject({ ttl: { seconds: 1n, nanos: 500_000_000 }, attributes: { tier: 'gold' } });
  });

  test('reserve distinguishes a refusal of the stock from an invalid request', async () => {
    const short = await run('reserve', [started], refused('INSUFFICIENT_STOCK', 'Too few.'));
    expect(short.fact?.value).toEqual({ reason: 'INSUFFICIENT_STOCK', nothingHeld: true });
    const wrong = await run('reserve', [started], invalidField('ttl', 'is wrong'));
    expect(wrong.fact?.value).toEqual({ reason: 'INVALID_FIELD', nothingHeld: false });
  });

  test.each<[StepName, FulfilmentEvent[]]>([
    ['request-payment', [started, reserved]],
    ['create-shipment', [started, reserved, committed]],
  ])('%s waits while a process of 0.2 refuses the id of a customer that it does not know', async (name, facts) => {
    const older = invalidRequest([{ field: 'customer_id', description: 'must match ^[A-Za-z0-9]$' }]);
    await expect(run(name, facts, older)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    const other = await run(name, facts, invalidRequest([{ field: 'country', description: 'is too long' }]));
    expect(other.facts).toHaveLength(1);
  });

  test.each<[StepName, FulfilmentEvent[], string[]]>([
    ['reserve', [], ['releaseReservation .1', 'releaseReservation .2', 'reserveStock .3']],
    ['commit', [reserved], ['releaseReservation .1', 'releaseReservation .2', 'commitReservation .3']],
    ['undo-stock', [cancelRequested], ['releaseReservation .1', 'releaseReservation .2', 'releaseReservation .3']],
  ])('%s ends the reservations that were lost before, of which lines may be committed', async (name, facts, calls) => {
    const lost: FulfilmentEvent = { $case: 'reservationLost', value: { reservationId: '' } };
    const done = await run(name, [started, lost, lost, ...facts]);
    expect(done.calls.map((call) => call.replace(orderId, ''))).toEqual(calls);
  });

  test.each([
    ['still under way', PaymentStatus.PAYMENT_STATUS_REQUESTED, []],
    ['made at once', PaymentStatus.PAYMENT_STATUS_SUCCEEDED, [{ $case: 'paid', value: {} }]],
    ['refused at once', PaymentStatus.PAYMENT_STATUS_FAILED, [{ $case: 'paymentFailed', value: { reason: 'WHY' } }]],
    // Another caller has undone it: its event reports that.
    ['undone since', PaymentStatus.PAYMENT_STATUS_REFUNDED, []],
  ])('requesting a payment that is %s', async (_, status, outcome) => {
    const { facts } = await run('request-payment', [started, reserved], undefined, { status, reason: 'WHY' });
    expect(facts.slice(1)).toEqual(outcome);
    expect(facts[0]!.$case).toBe('paymentRequested');
  });

  describe('giving up a payment asks for its outcome, whose event may be late', () => {
    const requested: FulfilmentEvent = {
      $case: 'paymentRequested',
      value: { paymentId: orderId, giveUpTime: new Date(0) },
    };
    const giveUp = (refusal?: Error, status?: PaymentStatus) =>
      run('give-up-payment', [started, reserved, requested], refusal, { status, reason: 'WHY' });

    test.each<[string, PaymentStatus, FulfilmentEvent]>([
      ['made', PaymentStatus.PAYMENT_STATUS_SUCCEEDED, { $case: 'paid', value: {} }],
      ['refused', PaymentStatus.PAYMENT_STATUS_FAILED, { $case: 'paymentFailed', value: { reason: 'WHY' } }],
      ['under way', PaymentStatus.PAYMENT_STATUS_REQUESTED, { $case: 'paymentTimedOut', value: {} }],
    ])('that is %s', async (_, status, fact) => {
      const { facts, method, request } = await giveUp(undefined, status);
      expect(facts).toEqual([fact]);
      expect({ method, request }).toEqual({
        method: 'createPayment',
        request: (await run('request-payment', [started, reserved])).request,
      });
    });

    test('that was undone, or is out of reach', async () => {
      expect((await giveUp(refused('PAYMENT_BARRED', 'It was undone.'))).facts[0]!.$case).toBe('paymentTimedOut');
      await expect(giveUp(unavailable('payments'))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    });
  });

  test("cancel-shipment cancels the order's own shipment; if that id is another order's, there is none to cancel", async () => {
    const cancel = (refusal?: Error) =>
      run('cancel-shipment', [started, reserved, committed, cancelRequested], refusal);
    expect((await cancel()).request).toMatchObject({ shipmentId: orderId, orderId });
    expect((await cancel(notFound('shipment', orderId))).facts).toEqual([{ $case: 'shipmentCancelled', value: {} }]);
    const dispatched = await cancel(refused('SHIPMENT_DISPATCHED', 'It has left.'));
    expect(dispatched.facts).toEqual([{ $case: 'cancelRefused', value: {} }]);
  });

  test('undo-stock reports whether the pieces are known to be committed', async () => {
    expect((await run('undo-stock', [started, reserved, cancelRequested])).request).toMatchObject({ committed: false });
    expect((await run('undo-stock', [started, reserved, committed, cancelRequested])).request).toMatchObject({
      committed: true,
      lines: [{ productId: 'P1', quantity: 2n }],
    });
  });
});

test("events of a payment or shipment that only has an id like the order are not the order's", () => {
  const { observes } = fulfilmentSaga({} as FulfilmentDependencies);
  const sagaOf = (entity: string, event: object) =>
    observes
      .find((one) => one.entity.name === entity)!
      .saga({ stream: `${entity}/o1`, id: 'o1', version: 1, at: new Date(0), event } as never);
  const succeeded = (orderId: string) => ({ $case: 'succeeded', value: { orderId, gatewayReference: '' } });
  expect(['o1', 'o2', ''].map((id) => sagaOf('payments.payment', succeeded(id)))).toEqual(['o1', undefined, 'o1']);
  const delivered = (orderId: string) => ({ $case: 'delivered', value: { orderId, shipmentId: '', partial: false } });
  expect(['o1', 'o2', ''].map((id) => sagaOf('shipping.shipment', delivered(id)))).toEqual(['o1', undefined, 'o1']);
});
