import { contract } from '@caudal/contract/descriptors.ts';
import { given } from '@caudal/testing/given.ts';
import { describe, expect, test } from '@jest/globals';
import {
  type FulfilmentEvent,
  type FulfilmentState,
  fulfilmentDecider,
  next,
  onOrder,
  onPayment,
  onShipment,
} from './fulfilment.ts';

const order = {
  orderId: 'o1',
  customerId: 'c1',
  country: 'France',
  lines: [],
  total: { minorUnits: 750n, currency: 'GBP' },
  paymentMethod: undefined,
  attributes: {},
};
const giveUpTime = new Date('2026-01-01T00:10:00Z');

const started: FulfilmentEvent = { $case: 'started', value: order };
const reserved: FulfilmentEvent = { $case: 'reserved', value: { reservationId: 'o1.1', expireTime: giveUpTime } };
const refused: FulfilmentEvent = {
  $case: 'reservationFailed',
  value: { reason: 'INSUFFICIENT_STOCK', nothingHeld: true },
};
const invalid: FulfilmentEvent = {
  $case: 'reservationFailed',
  value: { reason: 'INVALID_REQUEST', nothingHeld: false },
};
const requested: FulfilmentEvent = { $case: 'paymentRequested', value: { paymentId: 'o1', giveUpTime } };
const paid: FulfilmentEvent = { $case: 'paid', value: {} };
const payFailed: FulfilmentEvent = { $case: 'paymentFailed', value: { reason: 'INSUFFICIENT_FUNDS' } };
const timedOut: FulfilmentEvent = { $case: 'paymentTimedOut', value: {} };
const committed: FulfilmentEvent = { $case: 'committed', value: {} };
const lost: FulfilmentEvent = { $case: 'reservationLost', value: { reservationId: 'o1.1' } };
const confirmed: FulfilmentEvent = { $case: 'confirmed', value: {} };
const shipmentCreated: FulfilmentEvent = { $case: 'shipmentCreated', value: { shipmentId: 'o1' } };
const dispatched: FulfilmentEvent = { $case: 'dispatched', value: {} };
const delivered: FulfilmentEvent = { $case: 'delivered', value: {} };
const cancelRequested: FulfilmentEvent = { $case: 'cancelRequested', value: { reason: 'changed my mind' } };
const cancelRefused: FulfilmentEvent = { $case: 'cancelRefused', value: {} };
const shipmentCancelled: FulfilmentEvent = { $case: 'shipmentCancelled', value: {} };
const undoRequested: FulfilmentEvent = { $case: 'paymentUndoRequested', value: {} };
const paymentUndone: FulfilmentEvent = { $case: 'paymentUndone', value: {} };
const stockUndone: FulfilmentEvent = { $case: 'stockUndone', value: {} };
const marked = (status: string): FulfilmentEvent => ({ $case: 'orderMarked', value: { status } });

const stepAfter = (...events: FulfilmentEvent[]) => next(given(fulfilmentDecider, events).state)?.name;

describe('the next step', () => {
  const forward = [started, reserved, requested, paid, committed, confirmed, shipmentCreated];

  test('of an order without any failure', () => {
    expect(stepAfter()).toBeUndefined();
    expect(stepAfter(started)).toBe('reserve');
    expect(stepAfter(started, reserved)).toBe('request-payment');
    expect(next(given(fulfilmentDecider, [started, reserved, requested]).state)).toEqual({
      name: 'give-up-payment',
      dueAt: giveUpTime,
    });
    expect(stepAfter(started, reserved, requested, paid)).toBe('commit');
    expect(stepAfter(started, reserved, requested, paid, committed)).toBe('confirm');
    expect(stepAfter(started, reserved, requested, paid, committed, confirmed)).toBe('create-shipment');
    expect(stepAfter(...forward)).toBeUndefined();
    expect(stepAfter(...forward, dispatched)).toBe('mark-shipped');
    expect(stepAfter(...forward, dispatched, marked('shipped'))).toBeUndefined();
    expect(stepAfter(...forward, delivered)).toBe('mark-shipped');
    expect(stepAfter(...forward, delivered, marked('shipped'))).toBe('mark-delivered');
    expect(stepAfter(...forward, delivered, marked('shipped'), marked('delivered'))).toBeUndefined();
  });

  test('after refused stock: nothing was done, so nothing is undone', () => {
    expect(stepAfter(started, refused)).toBe('mark-rejected');
  });

  test('after an invalid request for stock: earlier steps are unknown, so all is undone', () => {
    expect(stepAfter(started, invalid)).toBe('cancel-shipment');
    expect(stepAfter(started, invalid, shipmentCancelled)).toBe('undo-payment');
    const unpaid = [started, invalid, shipmentCancelled, undoRequested, paymentUndone];
    expect(stepAfter(...unpaid)).toBe('undo-stock');
    expect(stepAfter(...unpaid, stockUndone)).toBe('mark-rejected');
  });

  test('after a payment that succeeds once the order is rejected: no money is kept', () => {
    const ended = [started, refused, marked('rejected')];
    expect(stepAfter(...ended)).toBeUndefined();
    expect(stepAfter(...ended, paid)).toBe('undo-payment');
    expect(stepAfter(...ended, paid, undoRequested)).toBeUndefined();
    expect(stepAfter(...ended, paid, undoRequested, paymentUndone)).toBeUndefined();
  });

  test('after a payment that fails, or whose outcome stays unknown: the pieces go back', () => {
    expect(stepAfter(started, reserved, requested, payFailed)).toBe('undo-stock');
    expect(stepAfter(started, reserved, requested, payFailed, stockUndone)).toBe('mark-rejected');
    expect(stepAfter(started, reserved, requested, timedOut, shipmentCancelled)).toBe('undo-payment');
    // Waits for the payment's event.
    expect(stepAfter(started, reserved, requested, timedOut, shipmentCancelled, undoRequested)).toBeUndefined();
  });

  test('after an expired reservation: reserved again, and given up after three', () => {
    const again = next(given(fulfilmentDecider, [started, reserved, requested, paid, lost]).state);
    expect(again).toEqual({ name: 'reserve', afterAppend: true });
    expect(stepAfter(started, reserved, requested, paid, lost, reserved)).toBe('commit');
    expect(stepAfter(started, reserved, requested, paid, lost, lost, lost)).toBe('cancel-shipment');
    expect(stepAfter(started, reserved, requested, paid, lost, refused)).toBe('cancel-shipment');
  });

  test('after a request to cancel: everything is undone, the latest step first', () => {
    expect(stepAfter(...forward, cancelRequested)).toBe('cancel-shipment');
    expect(stepAfter(...forward, cancelRequested, shipmentCancelled)).toBe('undo-payment');
    expect(stepAfter(...forward, cancelRequested, shipmentCancelled, undoRequested)).toBeUndefined();
    const paidBack = [...forward, cancelRequested, shipmentCancelled, undoRequested, paymentUndone];
    expect(stepAfter(...paidBack)).toBe('undo-stock');
    expect(stepAfter(...paidBack, stockUndone)).toBe('mark-cancelled');
    expect(stepAfter(...paidBack, stockUndone, marked('cancelled'))).toBeUndefined();
  });

  test('after the last of its reservations is lost, or the stock refuses one after a loss: what was lost is released', () => {
    const undone = [payFailed, shipmentCancelled];
    expect(stepAfter(started, lost, lost, lost, ...undone)).toBe('undo-stock');
    expect(stepAfter(started, lost, refused, ...undone)).toBe('undo-stock');
    expect(stepAfter(started, lost, refused, ...undone, stockUndone)).toBe('mark-rejected');
    expect(stepAfter(started, refused)).toBe('mark-rejected');
  });

  test('after a request to cancel before any other fact: every step that might have run is barred', () => {
    expect(stepAfter(started, cancelRequested)).toBe('cancel-shipment');
    expect(stepAfter(started, cancelRequested, shipmentCancelled)).toBe('undo-payment');
  });

  test('of an order that was sent: its returns, one after the other, also after the delivery', () => {
    const asked = (returnId: string): FulfilmentEvent => ({ $case: 'returnRequested', value: { returnId } });
    const led = (returnId: string): FulfilmentEvent => ({ $case: 'returnLed', value: { returnId } });
    expect(stepAfter(...forward, asked('r1'))).toBeUndefined();
    const sent = [...forward, dispatched, marked('shipped')];
    for (const events of [sent, [...sent, delivered, marked('delivered')]]) {
      expect(stepAfter(...events)).toBeUndefined();
      expect(next(given(fulfilmentDecider, [...events, asked('r1'), asked('r2')]).state)).toEqual({
        ...{ name: 'return', afterAppend: true },
      });
      expect(stepAfter(...events, asked('r1'), led('r1'))).toBeUndefined();
      expect(stepAfter(...events, asked('r1'), asked('r2'), led('r1'))).toBe('return');
    }
    // Delivering the order comes first.
    expect(stepAfter(...sent, asked('r1'), delivered)).toBe('mark-delivered');
  });

  test('after a cancellation that was too late: the shipment has left, and the order is delivered', () => {
    expect(stepAfter(...forward, cancelRequested, cancelRefused)).toBeUndefined();
    expect(stepAfter(...forward, cancelRequested, cancelRefused, dispatched)).toBe('mark-shipped');
    // A crash kept everything after the reservation out of the state, so the payment timed out in the state.
    expect(stepAfter(started, reserved, requested, timedOut, cancelRefused)).toBeUndefined();
    expect(stepAfter(started, reserved, requested, timedOut, cancelRefused, dispatched)).toBe('mark-shipped');
    // The same for everything after the payment.
    expect(stepAfter(started, reserved, requested, paid, cancelRequested, cancelRefused, committed)).toBeUndefined();
  });
});

describe("the saga's reactions to events", () => {
  /** The facts that `table` returns for an event, which must have an entry in it. */
  const reaction = <C extends string>(
    events: FulfilmentEvent[],
    table: Record<C, (state: FulfilmentState, event: never) => FulfilmentEvent[]>,
    event: { $case: C; value: unknown },
  ) => table[event.$case](given(fulfilmentDecider, events).state, event as never);

  test('an event that arrives twice adds its fact once', () => {
    const created = { $case: 'created' as const, value: { ...order, reference: '' } };
    expect(reaction([], onOrder, created)).toHaveLength(1);
    expect(reaction([started], onOrder, created)).toEqual([]);
    const succeeded = { $case: 'succeeded' as const, value: { orderId: 'o1', gatewayReference: '' } };
    expect(reaction([started, reserved, requested], onPayment, succeeded)).toEqual([paid]);
    expect(reaction([started, reserved, requested, paid], onPayment, succeeded)).toEqual([]);
    const left = { $case: 'dispatched' as const, value: { orderId: 'o1', carrier: '', trackingNumber: '' } };
    expect(reaction([started], onShipment, left)).toEqual([dispatched]);
    expect(reaction([started, dispatched], onShipment, left)).toEqual([]);
  });

  test('of several shipments: the first to leave, and the event with which all have arrived', () => {
    const arrived = (partial: boolean) => ({ $case: 'delivered' as const, value: { orderId: 'o1', partial } });
    expect(reaction([started, dispatched], onShipment, arrived(true))).toEqual([]);
    expect(reaction([started, dispatched], onShipment, arrived(false))).toEqual([delivered]);
    // The rest is withdrawn from the warehouse when everything else has arrived.
    const withdrawn = (completes: boolean) => ({ $case: 'cancelled' as const, value: { orderId: 'o1', completes } });
    expect(reaction([started, dispatched], onShipment, withdrawn(false))).toEqual([]);
    expect(reaction([started, dispatched], onShipment, withdrawn(true))).toEqual([delivered]);
    expect(reaction([started, dispatched, delivered], onShipment, withdrawn(true))).toEqual([]);
  });

  test('a payment that is voided without a request of the saga has failed', () => {
    const voided = { $case: 'voided' as const, value: { orderId: 'o1' } };
    expect(reaction([started, reserved, requested], onPayment, voided)).toEqual([
      { $case: 'paymentFailed', value: { reason: 'PAYMENT_VOIDED' } },
    ]);
    expect(reaction([started, reserved, requested, undoRequested], onPayment, voided)).toEqual([paymentUndone]);
    const explained = { $case: 'voided' as const, value: { orderId: 'o1', reason: 'GATEWAY_AWAY' } };
    expect(reaction([started, reserved, requested], onPayment, explained)).toEqual([
      { $case: 'paymentFailed', value: { reason: 'GATEWAY_AWAY' } },
    ]);
  });

  test('a refund counts even if the state does not show its request, since its event arrives once', () => {
    const refunded = { $case: 'refunded' as const, value: { orderId: 'o1' } };
    const wanted = [started, reserved, requested, paid, cancelRequested, shipmentCancelled];
    expect(reaction(wanted, onPayment, refunded)).toEqual([paymentUndone]);
    // The answer to the first undo was lost; the saga continues after the event.
    expect(stepAfter(...wanted, paymentUndone)).toBe('undo-stock');
    expect(reaction([...wanted, paymentUndone], onPayment, refunded)).toEqual([]);
    expect(reaction([started, reserved, requested, payFailed], onPayment, refunded)).toEqual([]);
  });

  test('a refund that the saga has not requested is a gift: the order continues', () => {
    expect(stepAfter(started, reserved, requested, paid, paymentUndone)).toBe('commit');
    expect(stepAfter(started, reserved, requested, paid, paymentUndone, committed)).toBe('confirm');
  });

  test('exist only for events that change its state', () => {
    const concerned = (union: string, table: object) => {
      const cases = contract()
        .registry.getMessage(union)!
        .fields.map(({ localName }) => localName);
      const wanted = cases.filter((name) => Object.hasOwn(table, name));
      expect(wanted.length).toBeLessThan(cases.length);
      expect(Object.keys(table).sort()).toEqual(wanted.sort());
      return wanted;
    };
    expect(concerned('caudal.orders.v1.OrderEvent', onOrder)).toEqual([
      'cancelRequested',
      'created',
      'returnRequested',
      'returnRetried',
    ]);
    expect(concerned('caudal.payments.v1.PaymentEvent', onPayment)).toEqual(
      ['succeeded', 'failed', 'voided', 'barred', 'refunded'].sort(),
    );
    expect(concerned('caudal.shipping.v1.ShipmentEvent', onShipment)).toEqual(['cancelled', 'delivered', 'dispatched']);
  });
});
