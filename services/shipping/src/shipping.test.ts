import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import {
  ShipmentStatus,
  type ShippingQueryServiceService,
  type ShippingServiceService,
} from '@caudal/contract/gen/caudal/shipping/v1/shipping.ts';
import { newId } from '@caudal/kernel/ids.ts';
import type { Handlers } from '@caudal/rpc/types.ts';
import { refusalOf, testCall } from '@caudal/testing/call.ts';
import { given } from '@caudal/testing/given.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { describe, expect, test } from '@jest/globals';
import { shippingService } from './commands/shipping-service.ts';
import {
  cancelShipment,
  createShipment,
  deliverShipment,
  dispatchShipment,
  type ShipmentEvent,
  type ShipmentState,
  shipmentDecider,
} from './domain/shipment.ts';
import { shippingQueryService } from './queries/shipping-query-service.ts';

const parcel = {
  shipmentId: 'o1',
  orderId: 'o1',
  customerId: 'c1',
  country: 'France',
  lines: [{ productId: 'P1', quantity: 2n }],
};
const created: ShipmentEvent = { $case: 'created', value: parcel };
const dispatched: ShipmentEvent = {
  $case: 'dispatched',
  value: { orderId: 'o1', carrier: 'DHL', trackingNumber: '7' },
};
const delivered: ShipmentEvent = { $case: 'delivered', value: { orderId: 'o1' } };
const cancelled: ShipmentEvent = { $case: 'cancelled', value: { orderId: 'o1' } };
const after = (...events: ShipmentEvent[]) => given(shipmentDecider, events);

const creating =
  (change = {}) =>
  (state: ShipmentState) =>
    createShipment(state, { ...parcel, ...change });
const cancelling = (state: ShipmentState) => cancelShipment(state, 'o1');
const dispatching =
  (carrier = 'DHL') =>
  (state: ShipmentState) =>
    dispatchShipment(state, { shipmentId: 'o1', carrier, trackingNumber: '7' });
const delivering = (state: ShipmentState) => deliverShipment(state, 'o1');

describe('a shipment', () => {
  test('is created once; a repeat changes nothing', () => {
    after().when(creating()).gives([created]);
    after(created).when(creating()).gives([]);
    after(created, dispatched).when(creating()).gives([]);
    after(created)
      .when(creating({ country: 'Spain' }))
      .refuses('ALREADY_EXISTS', 'SHIPMENT_EXISTS');
    after(created)
      .when(creating({ lines: [{ productId: 'P1', quantity: 3n }] }))
      .refuses('ALREADY_EXISTS', 'SHIPMENT_EXISTS');
  });

  test('is cancelled before it leaves, even before it is created', () => {
    after(created).when(cancelling).gives([cancelled]);
    after().when(cancelling).gives([cancelled]);
    after(created, cancelled).when(cancelling).gives([]);
    after(cancelled).when(creating()).refuses('FAILED_PRECONDITION', 'SHIPMENT_CANCELLED');
    after(created, dispatched).when(cancelling).refuses('FAILED_PRECONDITION', 'SHIPMENT_DISPATCHED');
    after(created, dispatched, delivered).when(cancelling).refuses('FAILED_PRECONDITION', 'SHIPMENT_DISPATCHED');
  });

  test('leaves once', () => {
    after(created).when(dispatching()).gives([dispatched]);
    after(created, dispatched).when(dispatching()).gives([]);
    after(created, dispatched, delivered).when(dispatching()).gives([]);
    after(created, dispatched).when(dispatching('UPS')).refuses('FAILED_PRECONDITION', 'SHIPMENT_DISPATCHED');
    after(created, cancelled).when(dispatching()).refuses('FAILED_PRECONDITION', 'SHIPMENT_CANCELLED');
    after().when(dispatching()).refuses('NOT_FOUND', 'SHIPMENT_NOT_FOUND');
    after(cancelled).when(dispatching()).refuses('NOT_FOUND', 'SHIPMENT_NOT_FOUND');
  });

  test('arrives after it has left', () => {
    after(created, dispatched).when(delivering).gives([delivered]);
    after(created, dispatched, delivered).when(delivering).gives([]);
    after(created).when(delivering).refuses('FAILED_PRECONDITION', 'SHIPMENT_NOT_DISPATCHED');
    after(created, cancelled).when(delivering).refuses('FAILED_PRECONDITION', 'SHIPMENT_CANCELLED');
    after().when(delivering).refuses('NOT_FOUND', 'SHIPMENT_NOT_FOUND');
  });

  test('is changed by the service, and read by its owner', async () => {
    const now = new Date('2026-01-01T00:00:00Z');
    const aggregates = openAggregates({ log: memoryLog({ domain: 'shipping' }), clock: () => now, ids: newId });
    const api = shippingService({ aggregates }).handlers as unknown as Handlers<ShippingServiceService>;
    const queries = shippingQueryService({ aggregates }).handlers as unknown as Handlers<ShippingQueryServiceService>;
    const call = testCall({ requestId: 'x' });
    await api.createShipment({ requestId: 'x', ...parcel }, call);
    expect(call.written).toEqual([{ stream: 'shipping.shipment/o1', version: 1 }]);
    await api.dispatchShipment({ requestId: '', shipmentId: 'o1', carrier: 'DHL', trackingNumber: '7' }, testCall());
    await api.deliverShipment({ requestId: '', shipmentId: 'o1' }, testCall());
    expect(await queries.getShipment({ shipmentId: 'o1' }, testCall({ subject: 'c1' }))).toEqual({
      ...parcel,
      status: ShipmentStatus.SHIPMENT_STATUS_DELIVERED,
      carrier: 'DHL',
      trackingNumber: '7',
      createTime: now,
      updateTime: now,
      etag: '3',
    });
    expect((await refusalOf(queries.getShipment({ shipmentId: 'o1' }, testCall({ subject: 'c2' })))).reason).toBe(
      'NOT_OWNER',
    );
    const gone = await api.cancelShipment({ requestId: '', shipmentId: 'o2' }, testCall());
    expect(gone).toMatchObject({ shipmentId: 'o2', status: ShipmentStatus.SHIPMENT_STATUS_CANCELLED });
    expect((await refusalOf(queries.getShipment({ shipmentId: 'o2' }, testCall()))).code).toBe('NOT_FOUND');
  });
});
