/** The shipments of an order that has one, as most have, and what every command of version 0.2 has always done. */
import { given } from '@caudal/testing/given.ts';
import { describe, expect, test } from '@jest/globals';
import { after, cancelled, created, delivered, dispatched, parcel } from '../testing/histories.ts';
import {
  cancelShipments,
  correctTracking,
  createShipment,
  deliverShipment,
  dispatchShipment,
  markLost,
  maxAttempts,
  maxCorrections,
  recordFailedDelivery,
  type ShipmentEvent,
  type ShipmentState,
  shipmentDecider,
  shipmentOf,
} from './shipment.ts';

const creating =
  (change = {}) =>
  (state: ShipmentState) =>
    createShipment(state, { ...parcel, ...change });
const cancelling = (state: ShipmentState) => cancelShipments(state, 'o1');
const dispatching =
  (carrier = 'DHL') =>
  (state: ShipmentState) =>
    dispatchShipment(state, { shipmentId: 'o1', carrier, trackingNumber: '7', etag: '' });
const delivering = (state: ShipmentState) => deliverShipment(state, 'o1');
const correcting = (trackingNumber: string) => (state: ShipmentState) =>
  correctTracking(state, { shipmentId: 'o1', carrier: 'DHL', trackingNumber });
const failing = (attempt: number) => (state: ShipmentState) =>
  recordFailedDelivery(state, { shipmentId: 'o1', attempt, reason: 'not at home' });

function corrected(trackingNumber: string, correction: number): ShipmentEvent {
  const value = { orderId: 'o1', customerId: 'c1', shipmentId: 'o1', carrier: 'DHL', trackingNumber, correction };
  return { $case: 'trackingCorrected', value };
}

const failed = (attempt: number): ShipmentEvent => ({
  $case: 'deliveryFailed',
  value: { orderId: 'o1', shipmentId: 'o1', attempt, reason: 'not at home' },
});

describe('a shipment', () => {
  test('is created once; a repeat changes nothing', () => {
    after().when(creating()).gives([created]);
    after(created).when(creating()).gives([]);
    after(created, dispatched()).when(creating()).gives([]);
    after(created)
      .when(creating({ country: 'Spain' }))
      .refuses('ALREADY_EXISTS', 'SHIPMENT_EXISTS');
    after(created)
      .when(creating({ lines: [{ productId: 'P1', quantity: 3n }] }))
      .refuses('ALREADY_EXISTS', 'SHIPMENT_EXISTS');
  });

  test('is cancelled before it leaves, even before it is created', () => {
    after(created)
      .when(cancelling)
      .gives([cancelled('o1')]);
    after().when(cancelling).gives([cancelled()]);
    after(created, cancelled('o1')).when(cancelling).gives([]);
    after(cancelled()).when(creating()).refuses('FAILED_PRECONDITION', 'SHIPMENT_CANCELLED');
    after(created, dispatched()).when(cancelling).refuses('FAILED_PRECONDITION', 'SHIPMENT_DISPATCHED');
    after(created, dispatched(), delivered()).when(cancelling).refuses('FAILED_PRECONDITION', 'SHIPMENT_DISPATCHED');
  });

  test('leaves once', () => {
    after(created).when(dispatching()).gives([dispatched()]);
    after(created, dispatched()).when(dispatching()).gives([]);
    after(created, dispatched(), delivered()).when(dispatching()).gives([]);
    after(created, dispatched()).when(dispatching('UPS')).refuses('FAILED_PRECONDITION', 'SHIPMENT_DISPATCHED');
    after(created, cancelled('o1')).when(dispatching()).refuses('FAILED_PRECONDITION', 'SHIPMENT_CANCELLED');
    after().when(dispatching()).refuses('NOT_FOUND', 'SHIPMENT_NOT_FOUND');
    after(cancelled()).when(dispatching()).refuses('NOT_FOUND', 'SHIPMENT_NOT_FOUND');
  });

  test('arrives after it has left', () => {
    after(created, dispatched()).when(delivering).gives([delivered()]);
    after(created, dispatched(), delivered()).when(delivering).gives([]);
    after(created).when(delivering).refuses('FAILED_PRECONDITION', 'SHIPMENT_NOT_DISPATCHED');
    after(created, cancelled('o1')).when(delivering).refuses('FAILED_PRECONDITION', 'SHIPMENT_CANCELLED');
    after().when(delivering).refuses('NOT_FOUND', 'SHIPMENT_NOT_FOUND');
  });

  test('has its number corrected; a late repeat of the dispatch does not undo that', () => {
    const sent = [created, dispatched()];
    after(...sent)
      .when(correcting('8'))
      .gives([corrected('8', 1)]);
    after(...sent, corrected('8', 1))
      .when(correcting('8'))
      .gives([]);
    after(...sent, corrected('8', 1))
      .when(correcting('9'))
      .gives([corrected('9', 2)]);
    after(...sent, corrected('8', 1))
      .when(dispatching())
      .gives([]);
    after(...sent)
      .when(correcting('7'))
      .gives([]);
    after(created).when(correcting('8')).refuses('FAILED_PRECONDITION', 'SHIPMENT_NOT_DISPATCHED');
  });

  test('is corrected 20 times at most', () => {
    const corrections = Array.from({ length: maxCorrections }, (_, n) => corrected(String(n), n + 1));
    after(created, dispatched(), ...corrections)
      .when(correcting('one more'))
      .refuses('FAILED_PRECONDITION', 'TOO_MANY_CORRECTIONS');
  });

  test('counts failed deliveries by the number of the attempt, in whatever order they are reported', () => {
    const sent = [created, dispatched()];
    after(...sent)
      .when(failing(2))
      .gives([failed(2)]);
    for (const attempt of [1, 2])
      after(...sent, failed(2))
        .when(failing(attempt))
        .gives([]);
    after(...sent, failed(2))
      .when(failing(3))
      .gives([failed(3)]);
    after(...sent, failed(2), delivered())
      .when(failing(1))
      .gives([]);
    after(...sent, delivered())
      .when(failing(1))
      .refuses('FAILED_PRECONDITION', 'SHIPMENT_DELIVERED');
  });

  test('counts failed deliveries by itself for a carrier that does not', () => {
    after(created, dispatched())
      .when(failing(0))
      .gives([failed(1)]);
    after(created, dispatched(), failed(4))
      .when(failing(0))
      .gives([failed(5)]);
  });

  test('is not shut out by an attempt that is a typing error, and has 100 at most', () => {
    after(created, dispatched(), failed(2)).when(failing(13)).refuses('INVALID_ARGUMENT', 'INVALID_FIELD');
    after(created, dispatched(), failed(2))
      .when(failing(12))
      .gives([failed(12)]);
    after(created, dispatched(), failed(maxAttempts))
      .when(failing(0))
      .refuses('FAILED_PRECONDITION', 'TOO_MANY_ATTEMPTS');
  });

  test('may turn up after it was lost', () => {
    const lost: ShipmentEvent = { $case: 'lost', value: { orderId: 'o1', shipmentId: 'o1', reason: 'no trace' } };
    const losing = (state: ShipmentState) => markLost(state, { shipmentId: 'o1', reason: 'no trace' });
    after(created, dispatched()).when(losing).gives([lost]);
    after(created, dispatched(), lost).when(losing).gives([]);
    after(created, dispatched(), lost).when(delivering).gives([delivered()]);
    expect(shipmentOf(after(created, dispatched(), lost, delivered()).state, 'o1')).toMatchObject({
      status: 'delivered',
      reason: '',
    });
  });
});

describe('events of version 0.2, which name no shipment', () => {
  const old = (event: ShipmentEvent): ShipmentEvent => {
    const value = { ...event.value, shipmentId: '', customerId: '', shipmentIds: [] };
    // As its bytes are read: fields that 0.2 does not know have their defaults.
    return shipmentDecider.entity.decode(shipmentDecider.entity.encode({ ...event, value } as ShipmentEvent));
  };

  test('are about the first, which has all lines of the order', () => {
    const sent = given(shipmentDecider, [created, old(dispatched())]);
    expect(sent.state.shipments).toMatchObject([
      { shipmentId: 'o1', status: 'dispatched', carrier: 'DHL', trackingNumber: '7', lines: parcel.lines },
    ]);
    sent.when(dispatching()).gives([]);
    sent.when(delivering).gives([delivered()]);
    const arrived = given(shipmentDecider, [created, old(dispatched()), old(delivered())]);
    expect(shipmentOf(arrived.state, 'o1')).toMatchObject({ status: 'delivered', version: 3 });
    const gone = given(shipmentDecider, [created, old(cancelled('o1'))]);
    expect(shipmentOf(gone.state, 'o1').status).toBe('cancelled');
  });
});
