/** Reads shipments, one from the log itself, lists from a view: caudal.shipping.v1.ShippingQueryService. */
import type { Aggregates } from '@caudal/aggregates/types.ts';
import { type ListOrders, listOrder } from '@caudal/context/order-by.ts';
import { pageLimit } from '@caudal/context/page-limit.ts';
import type { ViewReader } from '@caudal/context/view-reader.ts';
import {
  type ListShipmentsRequest,
  type Shipment,
  ShipmentStatus,
  ShippingQueryServiceService,
} from '@caudal/contract/gen/caudal/shipping/v1/shipping.ts';
import type { Condition } from '@caudal/projections/types.ts';
import { service } from '@caudal/rpc/types.ts';
import { shipmentDecider, shipmentOf } from '../domain/shipment.ts';
import { streamIdOf } from '../domain/shipment-ids.ts';
import { shipmentMessage } from '../shipment-message.ts';

export interface ShippingQueryDependencies {
  aggregates: Pick<Aggregates, 'load'>;
  views: ViewReader<Shipment>;
}

const shipmentsBy: ListOrders = {
  'create_time desc': [{ key: 'create_time', descending: true }],
  create_time: [{ key: 'create_time' }],
};

export function shippingQueryService({ aggregates, views }: ShippingQueryDependencies) {
  return service(ShippingQueryServiceService, {
    async getShipment({ shipmentId }, call) {
      const { state } = await aggregates.load(shipmentDecider, streamIdOf(shipmentId));
      // NOT_FOUND, too, for one that was cancelled before it was created: it has no owner.
      shipmentOf(state, shipmentId);
      call.authorize(state.created!.customerId);
      return shipmentMessage(shipmentId, state);
    },

    async listShipments(request, call) {
      const page = await views.find(
        {
          where: [...conditions(request), { key: 'create_time' }],
          ...listOrder(request.orderBy, shipmentsBy),
          limit: pageLimit(request.pageSize),
          pageToken: request.pageToken,
        },
        call,
      );
      return { shipments: page.views.map(({ view }) => view), nextPageToken: page.nextPageToken };
    },
  });
}

function conditions({ customerId, orderId, status }: ListShipmentsRequest): Condition[] {
  const where: Condition[] = [];
  if (customerId) where.push({ key: 'customer_id', equals: customerId });
  if (orderId) where.push({ key: 'order_id', equals: orderId });
  if (status !== ShipmentStatus.SHIPMENT_STATUS_UNSPECIFIED) where.push({ key: 'status', equals: String(status) });
  return where;
}
