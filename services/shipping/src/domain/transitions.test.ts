import { given } from '@caudal/testing/given.ts';
import { describe, expect, test } from '@jest/globals';
import { cancelled, created, delivered, dispatched, split, withdrawn } from '../testing/histories.ts';
import {
  cancelShipments,
  correctTracking,
  deliverShipment,
  dispatchShipment,
  markLost,
  markReturned,
  recordFailedDelivery,
  type ShipmentEvent,
  type ShipmentState,
  shipmentDecider,
  shipmentOf,
  withdrawShipment,
} from './shipment.ts';
import { splitShipment } from './split.ts';
import { type Action, hasLeft, type Status, transitions } from './transitions.ts';

const shipmentId = 'o1';
const ended = (events: 'lost' | 'returned'): ShipmentEvent => ({
  $case: events,
  value: { orderId: 'o1', shipmentId, reason: '' },
});
const failed: ShipmentEvent = { $case: 'deliveryFailed', value: { orderId: 'o1', shipmentId, attempt: 1, reason: '' } };

/** How a shipment gets into each status. */
const histories: Record<Status, ShipmentEvent[]> = {
  created: [created],
  dispatched: [created, dispatched()],
  delivery_failed: [created, dispatched(), failed],
  lost: [created, dispatched(), ended('lost')],
  returned: [created, dispatched(), ended('returned')],
  delivered: [created, dispatched(), delivered()],
  cancelled: [created, cancelled('o1')],
};

/** Another shipment has left before: only then is the rest withdrawn. */
const besideOneThatLeft = (events: ShipmentEvent[]) => [created, split(), dispatched('o1~2'), ...events.slice(1)];

/** Each action as a command that is no repeat of an earlier one. */
const actions: Record<Action, (state: ShipmentState) => ShipmentEvent[]> = {
  dispatch: (state) => dispatchShipment(state, { shipmentId, carrier: 'UPS', trackingNumber: '9', etag: '' }),
  split: (state) =>
    splitShipment(state, { shipmentId, newShipmentId: 'o1~2', lines: [{ productId: 'P1', quantity: 1n }] }),
  cancel: (state) => cancelShipments(state, 'o1'),
  withdraw: (state) => withdrawShipment(state, { shipmentId, reason: 'damaged' }),
  correctTracking: (state) => correctTracking(state, { shipmentId, carrier: 'UPS', trackingNumber: '9' }),
  recordFailedDelivery: (state) => recordFailedDelivery(state, { shipmentId, attempt: 2, reason: '' }),
  markLost: (state) => markLost(state, { shipmentId, reason: '' }),
  markReturned: (state) => markReturned(state, { shipmentId, reason: '' }),
  deliver: (state) => deliverShipment(state, shipmentId),
};

/** Docs, "What may happen to a shipment": a status, a reason, or nothing for what is done already. */
const table: Record<Status, Record<Action, Status | 'nothing' | `SHIPMENT_${string}`>> = {
  created: {
    dispatch: 'dispatched',
    split: 'created',
    cancel: 'cancelled',
    withdraw: 'cancelled',
    correctTracking: 'SHIPMENT_NOT_DISPATCHED',
    recordFailedDelivery: 'SHIPMENT_NOT_DISPATCHED',
    markLost: 'SHIPMENT_NOT_DISPATCHED',
    markReturned: 'SHIPMENT_NOT_DISPATCHED',
    deliver: 'SHIPMENT_NOT_DISPATCHED',
  },
  dispatched: {
    dispatch: 'SHIPMENT_DISPATCHED',
    split: 'SHIPMENT_DISPATCHED',
    cancel: 'SHIPMENT_DISPATCHED',
    withdraw: 'SHIPMENT_DISPATCHED',
    correctTracking: 'dispatched',
    recordFailedDelivery: 'delivery_failed',
    markLost: 'lost',
    markReturned: 'returned',
    deliver: 'delivered',
  },
  delivery_failed: {
    dispatch: 'SHIPMENT_DISPATCHED',
    split: 'SHIPMENT_DISPATCHED',
    cancel: 'SHIPMENT_DISPATCHED',
    withdraw: 'SHIPMENT_DISPATCHED',
    correctTracking: 'delivery_failed',
    recordFailedDelivery: 'delivery_failed',
    markLost: 'lost',
    markReturned: 'returned',
    deliver: 'delivered',
  },
  lost: {
    dispatch: 'SHIPMENT_DISPATCHED',
    split: 'SHIPMENT_DISPATCHED',
    cancel: 'SHIPMENT_DISPATCHED',
    withdraw: 'SHIPMENT_DISPATCHED',
    correctTracking: 'lost',
    recordFailedDelivery: 'delivery_failed',
    markLost: 'nothing',
    markReturned: 'returned',
    deliver: 'delivered',
  },
  returned: {
    dispatch: 'SHIPMENT_DISPATCHED',
    split: 'SHIPMENT_DISPATCHED',
    cancel: 'SHIPMENT_DISPATCHED',
    withdraw: 'SHIPMENT_DISPATCHED',
    correctTracking: 'SHIPMENT_RETURNED',
    recordFailedDelivery: 'SHIPMENT_RETURNED',
    markLost: 'SHIPMENT_RETURNED',
    markReturned: 'nothing',
    deliver: 'SHIPMENT_RETURNED',
  },
  delivered: {
    dispatch: 'SHIPMENT_DISPATCHED',
    split: 'SHIPMENT_DISPATCHED',
    cancel: 'SHIPMENT_DISPATCHED',
    withdraw: 'SHIPMENT_DISPATCHED',
    correctTracking: 'SHIPMENT_DELIVERED',
    recordFailedDelivery: 'SHIPMENT_DELIVERED',
    markLost: 'SHIPMENT_DELIVERED',
    markReturned: 'SHIPMENT_DELIVERED',
    deliver: 'nothing',
  },
  cancelled: {
    dispatch: 'SHIPMENT_CANCELLED',
    split: 'SHIPMENT_CANCELLED',
    cancel: 'nothing',
    withdraw: 'nothing',
    correctTracking: 'SHIPMENT_CANCELLED',
    recordFailedDelivery: 'SHIPMENT_CANCELLED',
    markLost: 'SHIPMENT_CANCELLED',
    markReturned: 'SHIPMENT_CANCELLED',
    deliver: 'SHIPMENT_CANCELLED',
  },
};

const statuses = Object.keys(table) as Status[];
const cells = statuses.flatMap((status) =>
  (Object.keys(actions) as Action[]).map((action) => [status, action, table[status][action]] as const),
);

describe('what may happen to a shipment', () => {
  test.each(cells)('%s: %s gives %s', (status, action, result) => {
    const history = action === 'withdraw' ? besideOneThatLeft(histories[status]) : histories[status];
    const before = given(shipmentDecider, history);
    expect(shipmentOf(before.state, shipmentId).status).toBe(status);
    if (result.startsWith('SHIPMENT_')) {
      before.when(actions[action]).refuses('FAILED_PRECONDITION', result);
      expect(transitions[action][status]).toBeUndefined();
      return;
    }
    const events = actions[action](before.state);
    if (result === 'nothing') return expect(events).toEqual([]);
    const after = given(shipmentDecider, [...history, ...events]);
    expect(events).toHaveLength(1);
    expect(shipmentOf(after.state, shipmentId).status).toBe(result);
    expect(transitions[action][status]).toBe(result);
  });

  const pairs = statuses.flatMap((one) => statuses.map((other) => [one, other] as const));

  test.each(pairs)('an order with shipments %s and %s is cancelled only if none has left', (one, other) => {
    const named = histories[other].slice(1).map((event) => {
      const value = { ...event.value, shipmentId: 'o1~2', shipmentIds: ['o1~2'] };
      return { ...event, value } as ShipmentEvent;
    });
    const both = given(shipmentDecider, [created, split(), ...histories[one].slice(1), ...named]);
    if ([one, other].some(hasLeft))
      return both.when(actions.cancel).refuses('FAILED_PRECONDITION', 'SHIPMENT_DISPATCHED');
    const inWarehouse = [one === 'created' ? ['o1'] : [], other === 'created' ? ['o1~2'] : []].flat();
    both.when(actions.cancel).gives(inWarehouse.length > 0 ? [cancelled(...inWarehouse)] : []);
  });

  test('the rest is withdrawn only when something has left; then it may complete the order', () => {
    const sent = [created, split(), dispatched('o1~2')];
    given(shipmentDecider, [created]).when(actions.withdraw).refuses('FAILED_PRECONDITION', 'CANCEL_ORDER_INSTEAD');
    given(shipmentDecider, sent)
      .when(actions.withdraw)
      .gives([withdrawn('o1')]);
    given(shipmentDecider, [...sent, delivered('o1~2', { partial: true })])
      .when(actions.withdraw)
      .gives([withdrawn('o1', { completes: true })]);
    given(shipmentDecider, [...sent, withdrawn('o1')])
      .when((state) => deliverShipment(state, 'o1~2'))
      .gives([delivered('o1~2')]);
  });
});
