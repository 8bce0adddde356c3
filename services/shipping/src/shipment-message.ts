/** A shipment as a message of the contract. */
import { commandEtag } from '@caudal/context/etag.ts';
import { Shipment, ShipmentStatus } from '@caudal/contract/gen/caudal/shipping/v1/shipping.ts';
import type { ShipmentState } from './domain/shipment.ts';
import type { Status } from './domain/transitions.ts';

const statuses: Record<Status, Shipment['status']> = {
  created: ShipmentStatus.SHIPMENT_STATUS_CREATED,
  dispatched: ShipmentStatus.SHIPMENT_STATUS_DISPATCHED,
  delivery_failed: ShipmentStatus.SHIPMENT_STATUS_DELIVERY_FAILED,
  lost: ShipmentStatus.SHIPMENT_STATUS_LOST,
  returned: ShipmentStatus.SHIPMENT_STATUS_RETURNED,
  delivered: ShipmentStatus.SHIPMENT_STATUS_DELIVERED,
  cancelled: ShipmentStatus.SHIPMENT_STATUS_CANCELLED,
};

/** The shipment; without content if it was barred before it was created. */
export function shipmentMessage(shipmentId: string, state: ShipmentState): Shipment {
  const one = state.shipments.find((known) => known.shipmentId === shipmentId);
  if (!one) {
    const status = ShipmentStatus.SHIPMENT_STATUS_CANCELLED;
    const { updateTime, version } = state;
    return Shipment.fromPartial({ shipmentId, status, updateTime, etag: commandEtag(version) });
  }
  const { orderId, customerId, country } = state.created!;
  const { status, lines, carrier, trackingNumber, reason, failedAttempts, restShipmentId, corrections } = one;
  return {
    shipmentId,
    orderId,
    customerId,
    country,
    status: statuses[status],
    lines: [...lines],
    carrier,
    trackingNumber,
    createTime: one.createTime,
    updateTime: one.updateTime,
    etag: commandEtag(one.version),
    reason,
    failedAttempts,
    restShipmentId,
    corrections,
  };
}
