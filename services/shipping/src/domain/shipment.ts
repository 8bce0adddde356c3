/**
 * A shipment: all pieces of one order. created -> dispatched -> delivered, or cancelled before it has left. Cancelling
 * an unknown shipment bars it, so a cancellation wins over a later creation.
 */
import type { Decider } from '@caudal/aggregates/types.ts';
import { type EventOf, shipment } from '@caudal/contract/entities.ts';
import type { ShipmentCreated } from '@caudal/contract/gen/caudal/shipping/v1/events.ts';
import { CaudalError, notFound, refused } from '@caudal/kernel/errors.ts';

export type ShipmentEvent = EventOf<typeof shipment>;

export interface ShipmentState {
  /** Content and destination; undefined if the shipment was not created. */
  created: ShipmentCreated | undefined;
  status: 'none' | 'created' | 'dispatched' | 'delivered' | 'cancelled';
  carrier: string;
  trackingNumber: string;
  createTime: Date | undefined;
  updateTime: Date | undefined;
}

export const shipmentDecider: Decider<ShipmentState, ShipmentEvent> = {
  entity: shipment,
  initial: {
    created: undefined,
    status: 'none',
    carrier: '',
    trackingNumber: '',
    createTime: undefined,
    updateTime: undefined,
  },
  owner: (state) => state.created?.customerId,
  evolve(state, event, at) {
    const now = { ...state, updateTime: at };
    switch (event.$case) {
      case 'created':
        return { ...now, created: event.value, status: 'created', createTime: at };
      case 'dispatched': {
        const { carrier, trackingNumber } = event.value;
        return { ...now, status: 'dispatched', carrier, trackingNumber };
      }
      case 'delivered':
        return { ...now, status: 'delivered' };
      case 'cancelled':
        return { ...now, status: 'cancelled' };
    }
  },
};

/** Creates the shipment; a repeat changes nothing. Refused: ALREADY_EXISTS SHIPMENT_EXISTS; SHIPMENT_CANCELLED. */
export function createShipment(state: ShipmentState, input: ShipmentCreated): ShipmentEvent[] {
  if (state.status === 'cancelled') throw isCancelled(input.shipmentId);
  if (!state.created) return [{ $case: 'created', value: input }];
  if (isSame(state.created, input)) return [];
  throw new CaudalError('ALREADY_EXISTS', 'SHIPMENT_EXISTS', `There is another shipment "${input.shipmentId}".`);
}

/** Cancels the shipment before it leaves. Refused: FAILED_PRECONDITION SHIPMENT_DISPATCHED. */
export function cancelShipment(state: ShipmentState, shipmentId: string): ShipmentEvent[] {
  switch (state.status) {
    case 'none':
    case 'created':
      // A shipment has its order's id.
      return [{ $case: 'cancelled', value: { orderId: state.created?.orderId ?? shipmentId } }];
    case 'cancelled':
      return [];
    default:
      throw refused('SHIPMENT_DISPATCHED', `The shipment "${shipmentId}" has left the warehouse.`);
  }
}

export interface Dispatch {
  shipmentId: string;
  carrier: string;
  trackingNumber: string;
}

/** The shipment has left. Refused: NOT_FOUND; SHIPMENT_CANCELLED, SHIPMENT_DISPATCHED (a repeat with other details). */
export function dispatchShipment(
  state: ShipmentState,
  { shipmentId, carrier, trackingNumber }: Dispatch,
): ShipmentEvent[] {
  if (!state.created) throw notFound('shipment', shipmentId);
  if (state.status === 'cancelled') throw isCancelled(shipmentId);
  if (state.status === 'created') {
    return [{ $case: 'dispatched', value: { orderId: state.created.orderId, carrier, trackingNumber } }];
  }
  if (state.carrier === carrier && state.trackingNumber === trackingNumber) return [];
  throw refused('SHIPMENT_DISPATCHED', `The shipment "${shipmentId}" has left with ${state.carrier} already.`);
}

/** The shipment has arrived. Refused: NOT_FOUND; SHIPMENT_CANCELLED, SHIPMENT_NOT_DISPATCHED. */
export function deliverShipment(state: ShipmentState, shipmentId: string): ShipmentEvent[] {
  if (!state.created) throw notFound('shipment', shipmentId);
  switch (state.status) {
    case 'dispatched':
      return [{ $case: 'delivered', value: { orderId: state.created.orderId } }];
    case 'delivered':
      return [];
    case 'cancelled':
      throw isCancelled(shipmentId);
    default:
      throw refused('SHIPMENT_NOT_DISPATCHED', `The shipment "${shipmentId}" has not left the warehouse.`);
  }
}

function isCancelled(shipmentId: string): CaudalError {
  return refused('SHIPMENT_CANCELLED', `The shipment "${shipmentId}" is cancelled.`);
}

function isSame(a: ShipmentCreated, b: ShipmentCreated): boolean {
  return (
    a.orderId === b.orderId &&
    a.customerId === b.customerId &&
    a.country === b.country &&
    a.lines.length === b.lines.length &&
    a.lines.every(({ productId, quantity }, index) => {
      const other = b.lines[index]!;
      return productId === other.productId && quantity === other.quantity;
    })
  );
}
