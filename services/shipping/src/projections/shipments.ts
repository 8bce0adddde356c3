/**
 * Shipments by order, customer and status. The shipments of an order are one stream and a view each, so an event may change two
 * (a split) or all of them (a cancellation). Each event says which: nothing is remembered of a stream.
 */
import { type EventOf, shipment } from '@caudal/contract/entities.ts';
import { Shipment, ShipmentStatus } from '@caudal/contract/gen/caudal/shipping/v1/shipping.ts';
import { gather, type MultiStreamProjection } from '@caudal/projections/multi-stream/types.ts';
import { ignored, ignoreUnknown } from '@caudal/projections/types.ts';

export const shipments: MultiStreamProjection<Shipment> = {
  name: 'shipments',
  version: 1,
  codec: Shipment,
  gathers: [
    gather<Shipment, EventOf<typeof shipment>>(shipment, {
      views({ id, event }) {
        switch (event.$case) {
          case 'split':
            return [event.value.shipmentId, event.value.newShipmentId];
          case 'cancelled':
            // Events of version 0.2 name no shipment: there was only the first, which has the stream's id.
            return event.value.shipmentIds.length > 0 ? event.value.shipmentIds : [id];
          case 'created':
          case 'dispatched':
          case 'trackingCorrected':
          case 'deliveryFailed':
          case 'lost':
          case 'returned':
          case 'delivered':
            return [event.value.shipmentId || id];
          default:
            return [];
        }
      },
      evolve(view, { event, at, version }, viewId) {
        const seen = { updateTime: at, etag: String(version) };
        const born = { ...seen, createTime: at, status: ShipmentStatus.SHIPMENT_STATUS_CREATED };
        if (event.$case === 'created') return Shipment.fromPartial({ ...event.value, ...born, shipmentId: viewId });
        if (event.$case === 'split' && event.value.newShipmentId === viewId) {
          const { orderId, customerId, country, lines } = event.value;
          return Shipment.fromPartial({ ...born, shipmentId: viewId, orderId, customerId, country, lines });
        }
        // Shipments that were barred before they were created.
        if (!view) return ignored;
        switch (event.$case) {
          case 'split':
            return { ...view, ...seen, lines: event.value.keptLines };
          case 'dispatched': {
            const { carrier, trackingNumber, restShipmentId } = event.value;
            const status = ShipmentStatus.SHIPMENT_STATUS_DISPATCHED;
            return { ...view, ...seen, status, carrier, trackingNumber, restShipmentId };
          }
          case 'trackingCorrected': {
            const { carrier, trackingNumber, correction } = event.value;
            return { ...view, ...seen, carrier, trackingNumber, corrections: correction };
          }
          case 'deliveryFailed': {
            const { attempt, reason } = event.value;
            const status = ShipmentStatus.SHIPMENT_STATUS_DELIVERY_FAILED;
            return { ...view, ...seen, status, failedAttempts: attempt, reason };
          }
          case 'lost':
            return { ...view, ...seen, status: ShipmentStatus.SHIPMENT_STATUS_LOST, reason: event.value.reason };
          case 'returned':
            return { ...view, ...seen, status: ShipmentStatus.SHIPMENT_STATUS_RETURNED, reason: event.value.reason };
          case 'delivered':
            return { ...view, ...seen, status: ShipmentStatus.SHIPMENT_STATUS_DELIVERED, reason: '' };
          case 'cancelled':
            return { ...view, ...seen, status: ShipmentStatus.SHIPMENT_STATUS_CANCELLED, reason: event.value.reason };
          default:
            return ignoreUnknown(event);
        }
      },
    }),
  ],
  keys: {
    order_id: { type: 'keyword', of: ({ orderId }) => orderId },
    customer_id: { type: 'keyword', of: ({ customerId }) => customerId },
    status: { type: 'keyword', of: ({ status }) => String(status) },
    create_time: { type: 'timestamp', of: ({ createTime }) => createTime ?? null },
  },
  indexes: [['create_time'], ['order_id', 'create_time'], ['customer_id', 'create_time'], ['status', 'create_time']],
};
