/** Changes shipments: caudal.shipping.v1.ShippingService. */
import type { Aggregates } from '@caudal/aggregates/types.ts';
import { executeFor } from '@caudal/context/execute-for.ts';
import { Shipment, ShippingServiceService } from '@caudal/contract/gen/caudal/shipping/v1/shipping.ts';
import { type Call, service } from '@caudal/rpc/types.ts';
import {
  cancelShipment,
  createShipment,
  deliverShipment,
  dispatchShipment,
  type ShipmentEvent,
  type ShipmentState,
  shipmentDecider,
} from '../domain/shipment.ts';
import { shipmentMessage } from '../shipment-message.ts';

export function shippingService({ aggregates }: { aggregates: Aggregates }) {
  return service(ShippingServiceService, {
    createShipment: ({ shipmentId, orderId, customerId, country, lines }, call) =>
      change(shipmentId, call, (state) => createShipment(state, { shipmentId, orderId, customerId, country, lines })),
    cancelShipment: ({ shipmentId }, call) => change(shipmentId, call, (state) => cancelShipment(state, shipmentId)),
    dispatchShipment: ({ shipmentId, carrier, trackingNumber }, call) =>
      change(shipmentId, call, (state) => dispatchShipment(state, { shipmentId, carrier, trackingNumber })),
    deliverShipment: ({ shipmentId }, call) => change(shipmentId, call, (state) => deliverShipment(state, shipmentId)),
  });

  function change(
    shipmentId: string,
    call: Call,
    decide: (state: ShipmentState) => ShipmentEvent[],
  ): Promise<Shipment> {
    return executeFor(call, aggregates, {
      decider: shipmentDecider,
      id: shipmentId,
      decide,
      reply: ({ state, version }) => shipmentMessage(shipmentId, state, version),
      replyCodec: Shipment,
    });
  }
}
