/** Reads shipments from the log itself: caudal.shipping.v1.ShippingQueryService. */
import type { Aggregates } from '@caudal/aggregates/types.ts';
import { ShippingQueryServiceService } from '@caudal/contract/gen/caudal/shipping/v1/shipping.ts';
import { notFound } from '@caudal/kernel/errors.ts';
import { service } from '@caudal/rpc/types.ts';
import { shipmentDecider } from '../domain/shipment.ts';
import { shipmentMessage } from '../shipment-message.ts';

export function shippingQueryService({ aggregates }: { aggregates: Pick<Aggregates, 'load'> }) {
  return service(ShippingQueryServiceService, {
    async getShipment({ shipmentId }, call) {
      const { state, version } = await aggregates.load(shipmentDecider, shipmentId);
      // A shipment that was cancelled before it was created has no owner.
      if (!state.created) throw notFound('shipment', shipmentId);
      call.authorize(state.created.customerId);
      return shipmentMessage(shipmentId, state, version);
    },
  });
}
