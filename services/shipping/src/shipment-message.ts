/** A shipment as a message of the contract. */
import { commandEtag } from '@caudal/context/etag.ts';
import { type Shipment, ShipmentStatus } from '@caudal/contract/gen/caudal/shipping/v1/shipping.ts';
import type { ShipmentState } from './domain/shipment.ts';

const statuses: Record<ShipmentState['status'], Shipment['status']> = {
  none: ShipmentStatus.SHIPMENT_STATUS_UNSPECIFIED,
  created: ShipmentStatus.SHIPMENT_STATUS_CREATED,
  dispatched: ShipmentStatus.SHIPMENT_STATUS_DISPATCHED,
  delivered: ShipmentStatus.SHIPMENT_STATUS_DELIVERED,
  cancelled: ShipmentStatus.SHIPMENT_STATUS_CANCELLED,
};

export function shipmentMessage(shipmentId: string, state: ShipmentState, version: number): Shipment {
  const { created, status, carrier, trackingNumber, createTime, updateTime } = state;
  return {
    shipmentId,
    orderId: created?.orderId ?? '',
    customerId: created?.customerId ?? '',
    country: created?.country ?? '',
    status: statuses[status],
    lines: created?.lines ?? [],
    carrier,
    trackingNumber,
    createTime,
    updateTime,
    etag: commandEtag(version),
  };
}
