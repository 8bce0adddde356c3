import type { EventOf, shipment } from '@caudal/contract/entities.ts';
import { FulfilmentStatus, type Order } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { viewsOf } from '@caudal/testing/interleavings.ts';
import { describe, expect, test } from '@jest/globals';
import { orderDetails } from './order-details.ts';
import { withShipments } from './order-shipments.ts';

type ShipmentEvent = EventOf<typeof shipment>;

const lamps = (quantity: bigint) => ({ productId: 'LAMP', quantity });
const buyer = { orderId: 'o1', customerId: 'c1' };
const created: ShipmentEvent = {
  $case: 'created',
  value: { ...buyer, shipmentId: 'o1', country: '', lines: [lamps(3n)] },
};
const split: ShipmentEvent = {
  $case: 'split',
  value: {
    ...buyer,
    ...{ country: '', shipmentId: 'o1', newShipmentId: 'o1~2' },
    ...{ lines: [lamps(2n)], keptLines: [lamps(1n)] },
  },
};
const dispatched = (shipmentId = ''): ShipmentEvent => ({
  $case: 'dispatched',
  value: { ...buyer, shipmentId, carrier: 'DHL', trackingNumber: '7', later: false, restShipmentId: '' },
});
const delivered = (shipmentId = ''): ShipmentEvent => ({
  $case: 'delivered',
  value: { orderId: 'o1', shipmentId, partial: false },
});
const cancelled = (...shipmentIds: string[]): ShipmentEvent => ({
  $case: 'cancelled',
  value: { orderId: 'o1', shipmentIds, completes: false, reason: '' },
});
const ended = ($case: 'lost' | 'returned', shipmentId: string): ShipmentEvent => ({
  $case,
  value: { orderId: 'o1', shipmentId, reason: 'why' },
});
const failed: ShipmentEvent = {
  $case: 'deliveryFailed',
  value: { orderId: 'o1', shipmentId: 'o1', attempt: 1, reason: 'closed' },
};

/** The order as it is read, whatever came first: its own event, or those of its shipments. */
function orderAfter(...events: ShipmentEvent[]): Order {
  const lines = [{ ...lamps(3n), unitPrice: undefined, title: 'Lamp' }];
  const rest = { country: '', total: undefined, paymentMethod: undefined, reference: '', attributes: {} };
  const placed = { $case: 'created', value: { ...buyer, ...rest, lines } };
  const from = new Date('2026-01-01T00:00:00Z');
  const views = viewsOf(orderDetails, [
    { stream: 'orders.order/o1', from, events: [placed] },
    { stream: 'shipping.shipment/o1', from, events },
  ]);
  return withShipments(views.get('o1')!);
}

const { FULFILMENT_STATUS_UNSPECIFIED: none, FULFILMENT_STATUS_SHIPPED: shipped } = FulfilmentStatus;
const { FULFILMENT_STATUS_PARTIALLY_SHIPPED: partlyShipped } = FulfilmentStatus;
const { FULFILMENT_STATUS_PARTIALLY_DELIVERED: partlyDelivered, FULFILMENT_STATUS_DELIVERED: all } = FulfilmentStatus;

describe('the shipments of an order', () => {
  test('are one with all its lines, unless it was split', () => {
    expect(orderAfter().shipments).toEqual([]);
    expect(orderAfter(created)).toMatchObject({
      shipment: { shipmentId: 'o1', status: 'created', lines: [] },
      shipments: [{ shipmentId: 'o1', status: 'created', lines: [lamps(3n)] }],
    });
    expect(orderAfter(created, split, dispatched('o1~2'))).toMatchObject({
      shipment: { shipmentId: 'o1', status: 'created', lines: [] },
      shipments: [
        { shipmentId: 'o1', status: 'created', lines: [lamps(1n)] },
        { shipmentId: 'o1~2', status: 'dispatched', carrier: 'DHL', trackingNumber: '7', lines: [lamps(2n)] },
      ],
    });
  });

  test('of version 0.2 are known by the id of their order', () => {
    expect(orderAfter(created, dispatched(), delivered()).shipments).toMatchObject([
      { shipmentId: 'o1', status: 'delivered', trackingNumber: '7' },
    ]);
    expect(orderAfter(created, cancelled()).shipments).toMatchObject([{ shipmentId: 'o1', status: 'cancelled' }]);
    expect(orderAfter(cancelled()).shipment).toMatchObject({ shipmentId: 'o1', status: 'cancelled' });
  });

  test('show what has become of each', () => {
    const corrected: ShipmentEvent = {
      $case: 'trackingCorrected',
      value: { ...buyer, shipmentId: 'o1', carrier: 'UPS', trackingNumber: '8', correction: 1 },
    };
    expect(orderAfter(created, dispatched('o1'), corrected, failed).shipment).toMatchObject({
      status: 'delivery_failed',
      carrier: 'UPS',
      trackingNumber: '8',
    });
    expect(orderAfter(created, dispatched('o1'), ended('lost', 'o1')).shipment?.status).toBe('lost');
    expect(orderAfter(created, dispatched('o1'), ended('returned', 'o1')).shipment?.status).toBe('returned');
  });

  test.each<[string, ShipmentEvent[], FulfilmentStatus]>([
    ['nothing', [], none],
    ['one in the warehouse', [created], none],
    ['one that was cancelled', [created, cancelled('o1')], none],
    ['one on its way', [created, dispatched('o1')], shipped],
    ['one delivered', [created, dispatched('o1'), delivered('o1')], all],
    ['one lost', [created, dispatched('o1'), ended('lost', 'o1')], shipped],
    ['two in the warehouse', [created, split], none],
    ['one on its way, one in the warehouse', [created, split, dispatched('o1')], partlyShipped],
    ['two on their way', [created, split, dispatched('o1'), dispatched('o1~2')], shipped],
    ['one delivered, one in the warehouse', [created, split, dispatched('o1'), delivered('o1')], partlyDelivered],
    [
      'one delivered, one returned',
      [created, split, dispatched('o1'), dispatched('o1~2'), delivered('o1'), ended('returned', 'o1~2')],
      partlyDelivered,
    ],
    ['one on its way, one withdrawn', [created, split, dispatched('o1'), cancelled('o1~2')], shipped],
    ['one delivered, one withdrawn', [created, split, dispatched('o1'), cancelled('o1~2'), delivered('o1')], all],
  ])('%s', (_, events, status) => {
    expect(orderAfter(...events).fulfilmentStatus).toBe(status);
  });
});
