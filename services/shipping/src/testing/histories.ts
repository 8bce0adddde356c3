/** Histories of the shipments of the order `o1`, for tests. */
import { given } from '@caudal/testing/given.ts';
import { type ShipmentEvent, shipmentDecider } from '../domain/shipment.ts';

export const parcel = {
  shipmentId: 'o1',
  orderId: 'o1',
  customerId: 'c1',
  country: 'France',
  lines: [
    { productId: 'P1', quantity: 2n },
    { productId: 'P2', quantity: 3n },
  ],
};

export const created: ShipmentEvent = { $case: 'created', value: parcel };

/** Moves one piece of P1 from `o1`, which has everything, to this one. */
export const split = (newShipmentId = 'o1~2'): ShipmentEvent => ({
  $case: 'split',
  value: {
    orderId: 'o1',
    customerId: 'c1',
    country: 'France',
    shipmentId: 'o1',
    newShipmentId,
    lines: [{ productId: 'P1', quantity: 1n }],
    keptLines: [
      { productId: 'P1', quantity: 1n },
      { productId: 'P2', quantity: 3n },
    ],
  },
});

export const dispatched = (shipmentId = 'o1', { later = false, restShipmentId = '' } = {}): ShipmentEvent => ({
  $case: 'dispatched',
  value: {
    orderId: 'o1',
    shipmentId,
    customerId: 'c1',
    carrier: 'DHL',
    trackingNumber: '7',
    later,
    restShipmentId,
  },
});

export const delivered = (shipmentId = 'o1', { partial = false } = {}): ShipmentEvent => ({
  $case: 'delivered',
  value: { orderId: 'o1', shipmentId, partial },
});

export const cancelled = (...shipmentIds: string[]): ShipmentEvent => ({
  $case: 'cancelled',
  value: { orderId: 'o1', shipmentIds, completes: false, reason: '' },
});

/** The rest in the warehouse is withdrawn. */
export const withdrawn = (shipmentId: string, { completes = false } = {}): ShipmentEvent => ({
  $case: 'cancelled',
  value: { orderId: 'o1', shipmentIds: [shipmentId], completes, reason: 'damaged', customerId: 'c1' },
});

export const after = (...events: ShipmentEvent[]) => given(shipmentDecider, events);
