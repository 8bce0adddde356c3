/**
 * The shipments in an order's details, which all come from one stream, and what they say of the order. The view has their lines
 * only once there are several: the lines of the only one are those of the order.
 */
import type { EventOf, shipment } from '@caudal/contract/entities.ts';
import { FulfilmentStatus, type Order, OrderShipment } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { type ignored, ignoreUnknown } from '@caudal/projections/types.ts';

/** The shipments after an event of their stream, whose id is the order's. */
export function shipmentsAfter(
  shipments: OrderShipment[],
  event: EventOf<typeof shipment>,
  orderId: string,
): OrderShipment[] | typeof ignored {
  const change = (shipmentId: string, changes: Partial<OrderShipment>): OrderShipment[] => {
    // Events of version 0.2 name no shipment: there was only the first, which has the order's id.
    const id = shipmentId || orderId;
    const isKnown = shipments.some((one) => one.shipmentId === id);
    const all = isKnown ? shipments : [...shipments, OrderShipment.fromPartial({ shipmentId: id })];
    return all.map((one) => (one.shipmentId === id ? { ...one, ...changes } : one));
  };
  switch (event.$case) {
    case 'created':
      return change(event.value.shipmentId, { status: 'created' });
    case 'split': {
      const { shipmentId, newShipmentId, lines, keptLines } = event.value;
      const split = OrderShipment.fromPartial({ shipmentId: newShipmentId, status: 'created', lines });
      return [...change(shipmentId, { lines: keptLines }), split];
    }
    case 'dispatched': {
      const { shipmentId, carrier, trackingNumber } = event.value;
      return change(shipmentId, { status: 'dispatched', carrier, trackingNumber });
    }
    case 'trackingCorrected': {
      const { shipmentId, carrier, trackingNumber } = event.value;
      return change(shipmentId, { carrier, trackingNumber });
    }
    case 'deliveryFailed':
      return change(event.value.shipmentId, { status: 'delivery_failed' });
    case 'lost':
      return change(event.value.shipmentId, { status: 'lost' });
    case 'returned':
      return change(event.value.shipmentId, { status: 'returned' });
    case 'delivered':
      return change(event.value.shipmentId, { status: 'delivered' });
    case 'cancelled': {
      const { shipmentIds } = event.value;
      // Without ids: all. If none was created, the id of the first is barred.
      const all = shipments.length > 0 ? shipments : change('', {});
      return all.map((one) =>
        shipmentIds.length === 0 || shipmentIds.includes(one.shipmentId) ? { ...one, status: 'cancelled' } : one,
      );
    }
    default:
      return ignoreUnknown(event);
  }
}

/** How much of the order has left and arrived. What was lost or returned has left; what is cancelled does not count. */
export function fulfilmentStatusOf(shipments: OrderShipment[]): Order['fulfilmentStatus'] {
  const open = shipments.filter(({ status }) => status !== 'cancelled');
  const delivered = open.filter(({ status }) => status === 'delivered').length;
  const left = open.filter(({ status }) => status !== 'created').length;
  if (left === 0) return FulfilmentStatus.FULFILMENT_STATUS_UNSPECIFIED;
  if (delivered === open.length) return FulfilmentStatus.FULFILMENT_STATUS_DELIVERED;
  if (delivered > 0) return FulfilmentStatus.FULFILMENT_STATUS_PARTIALLY_DELIVERED;
  return left === open.length
    ? FulfilmentStatus.FULFILMENT_STATUS_SHIPPED
    : FulfilmentStatus.FULFILMENT_STATUS_PARTIALLY_SHIPPED;
}

/** The order as it is read: with its first shipment by itself, and with the lines of one that is the only one. */
export function withShipments(order: Order): Order {
  const [first, ...others] = order.shipments;
  if (!first) return order;
  const shipment = { ...first, lines: [] };
  if (others.length > 0) return { ...order, shipment };
  const lines = order.lines.map(({ productId, quantity }) => ({ productId, quantity }));
  return { ...order, shipment, shipments: [{ ...first, lines }] };
}
