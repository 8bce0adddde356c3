import { describe, expect, test } from '@jest/globals';
import { after, cancelled, created, delivered, dispatched, parcel, split } from '../testing/histories.ts';
import {
  cancelShipments,
  createShipment,
  deliverShipment,
  dispatchShipment,
  type ShipmentEvent,
  type ShipmentState,
} from './shipment.ts';
import { dispatchPart, maxLines, maxShipments, splitShipment } from './split.ts';

const one = [{ productId: 'P1', quantity: 1n }];
const rest = [
  { productId: 'P1', quantity: 1n },
  { productId: 'P2', quantity: 3n },
];
const splitting =
  (lines = one, newShipmentId = 'o1~2') =>
  (state: ShipmentState) =>
    splitShipment(state, { shipmentId: 'o1', newShipmentId, lines });
const sendingPart =
  (lines = one, shipmentId = 'o1') =>
  (state: ShipmentState) =>
    dispatchPart(state, { shipmentId, carrier: 'DHL', trackingNumber: '7', lines });
const sendingAll = (state: ShipmentState, etag = '') =>
  dispatchShipment(state, { shipmentId: 'o1', carrier: 'DHL', trackingNumber: '7', etag });

/** A split of `from`, where `lines` go to `to`. */
function moved(from: string, to: string, lines = rest, keptLines = one): ShipmentEvent {
  const buyer = { orderId: 'o1', customerId: 'c1', country: 'France' };
  return { $case: 'split', value: { ...buyer, shipmentId: from, newShipmentId: to, lines, keptLines } };
}

describe('a split', () => {
  test('moves pieces to the shipment that its caller names; a repeat changes nothing', () => {
    after(created).when(splitting()).gives([split()]);
    after(created, split()).when(splitting()).gives([]);
    after(created, split(), dispatched(), dispatched('o1~2', { later: true }))
      .when(splitting())
      .gives([]);
    after(created, split()).when(splitting(rest)).refuses('ALREADY_EXISTS', 'SHIPMENT_EXISTS');
    after(created).when(splitting(one, 'o2~2')).refuses('INVALID_ARGUMENT', 'INVALID_FIELD');
    after(created, split())
      .when((state) => splitShipment(state, { shipmentId: 'o1~2', newShipmentId: 'o1', lines: one }))
      .refuses('ALREADY_EXISTS', 'SHIPMENT_EXISTS');
  });

  test('leaves at least one piece, and takes only what is there', () => {
    after(created).when(splitting(parcel.lines)).refuses('FAILED_PRECONDITION', 'NOTHING_LEFT');
    for (const lines of [[{ productId: 'P1', quantity: 3n }], [{ productId: 'P9', quantity: 1n }]])
      after(created).when(splitting(lines)).refuses('FAILED_PRECONDITION', 'NOT_IN_SHIPMENT');
    after(created)
      .when(splitting([...one, ...one]))
      .refuses('INVALID_ARGUMENT', 'PRODUCT_TWICE');
  });

  test('of an order that is cancelled is refused; after a split both shipments are cancelled', () => {
    after(created, cancelled('o1')).when(splitting()).refuses('FAILED_PRECONDITION', 'SHIPMENT_CANCELLED');
    after(created, split())
      .when((state) => cancelShipments(state, 'o1'))
      .gives([cancelled('o1', 'o1~2')]);
  });

  test('does not disturb a late repeat of the creation', () => {
    after(created, split())
      .when((state) => createShipment(state, parcel))
      .gives([]);
  });

  test('gives an order 50 shipments at most', () => {
    const many = { ...parcel, lines: [{ productId: 'P1', quantity: 100n }] };
    const events: ShipmentEvent[] = [{ $case: 'created', value: many }];
    for (let number = 2; number <= maxShipments; number++)
      events.push(moved('o1', `o1~${number}`, one, [{ productId: 'P1', quantity: 101n - BigInt(number) }]));
    after(...events)
      .when(splitting(one, 'o1~99'))
      .refuses('FAILED_PRECONDITION', 'TOO_MANY_SHIPMENTS');
    after(...events)
      .when(sendingPart())
      .refuses('FAILED_PRECONDITION', 'TOO_MANY_SHIPMENTS');
  });

  test('gives an order 2,000 lines at most, of all its shipments together', () => {
    const pieces = (quantity: bigint) =>
      Array.from({ length: maxLines / 2 }, (_, n) => ({ productId: `P${n}`, quantity }));
    const big: ShipmentEvent = { $case: 'created', value: { ...parcel, lines: pieces(3n) } };
    const halved = moved('o1', 'o1~2', pieces(1n), pieces(2n));
    after(big)
      .when(splitting(pieces(1n)))
      .gives([halved]);
    after(big, halved).when(splitting(one, 'o1~3')).refuses('FAILED_PRECONDITION', 'TOO_MANY_SHIPMENTS');
  });
});

describe('a part that is dispatched', () => {
  test('keeps the id; the rest gets the lowest number that is free', () => {
    const left = dispatched('o1', { restShipmentId: 'o1~2' });
    after(created)
      .when(sendingPart())
      .gives([moved('o1', 'o1~2'), left]);
    after(created, split('o1~2'))
      .when(sendingPart())
      .gives([moved('o1', 'o1~3', [{ productId: 'P2', quantity: 3n }]), dispatched('o1', { restShipmentId: 'o1~3' })]);
    after(created, split('o1~7'))
      .when(sendingPart())
      .gives([moved('o1', 'o1~2', [{ productId: 'P2', quantity: 3n }]), left]);
  });

  test('is known when it is repeated, and is not the whole', () => {
    const sent = after(created, moved('o1', 'o1~2'), dispatched('o1', { restShipmentId: 'o1~2' }));
    sent.when(sendingPart()).gives([]);
    sent.when(sendingPart(rest)).refuses('FAILED_PRECONDITION', 'SHIPMENT_DISPATCHED');
    sent.when((state) => sendingAll(state)).refuses('FAILED_PRECONDITION', 'SHIPMENT_DISPATCHED');
    let metadata = {};
    try {
      sendingAll(sent.state);
    } catch (error) {
      ({ metadata } = error as { metadata: object });
    }
    expect(metadata).toEqual({ status: 'dispatched', restShipment: 'o1~2' });
  });

  test('without a number is not taken for a repeat: it may be another parcel', () => {
    const unnumbered = (state: ShipmentState) =>
      dispatchPart(state, { shipmentId: 'o1', carrier: 'Post', trackingNumber: '', lines: one });
    const { state } = after(created);
    after(created, ...unnumbered(state))
      .when(unnumbered)
      .refuses('FAILED_PRECONDITION', 'SHIPMENT_DISPATCHED');
  });

  test('of a shipment that was split is named by its lines or its etag, since its caller may have read it before', () => {
    after(created, split())
      .when((state) => sendingAll(state))
      .refuses('FAILED_PRECONDITION', 'SHIPMENT_WAS_SPLIT');
    after(created, split())
      .when((state) => sendingAll(state, '2'))
      .gives([dispatched()]);
    after(created, split()).when(sendingPart(rest)).gives([dispatched()]);
    after(created, split()).when(sendingPart(parcel.lines)).refuses('FAILED_PRECONDITION', 'NOT_IN_SHIPMENT');
    after(created, split(), dispatched())
      .when((state) => sendingAll(state))
      .gives([]);
  });

  test('with all pieces, in any order of the lines, is the whole', () => {
    after(created).when(sendingPart(parcel.lines.toReversed())).gives([dispatched()]);
    after(created, dispatched()).when(sendingPart(parcel.lines.toReversed())).gives([]);
    after(created, dispatched()).when(sendingPart()).refuses('FAILED_PRECONDITION', 'SHIPMENT_DISPATCHED');
    after(created, dispatched())
      .when(sendingPart([...one, ...one]))
      .refuses('INVALID_ARGUMENT', 'PRODUCT_TWICE');
  });

  test('ends the time in which the order can be cancelled', () => {
    after(created, moved('o1', 'o1~2'), dispatched('o1', { restShipmentId: 'o1~2' }))
      .when((state) => cancelShipments(state, 'o1'))
      .refuses('FAILED_PRECONDITION', 'SHIPMENT_DISPATCHED');
    after(created, cancelled('o1')).when(sendingPart()).refuses('FAILED_PRECONDITION', 'SHIPMENT_CANCELLED');
  });

  test('is followed by others, the last of which delivers the order', () => {
    const first = [created, moved('o1', 'o1~2'), dispatched('o1', { restShipmentId: 'o1~2' })];
    after(...first)
      .when((state) => dispatchShipment(state, { shipmentId: 'o1~2', carrier: 'DHL', trackingNumber: '7', etag: '' }))
      .gives([dispatched('o1~2', { later: true })]);
    after(...first)
      .when((state) => deliverShipment(state, 'o1'))
      .gives([delivered('o1', { partial: true })]);
    after(...first, delivered('o1', { partial: true }), dispatched('o1~2', { later: true }))
      .when((state) => deliverShipment(state, 'o1~2'))
      .gives([delivered('o1~2')]);
    const lost: ShipmentEvent = { $case: 'lost', value: { orderId: 'o1', shipmentId: 'o1', reason: '' } };
    after(...first, lost, dispatched('o1~2', { later: true }))
      .when((state) => deliverShipment(state, 'o1~2'))
      .gives([delivered('o1~2', { partial: true })]);
  });
});
