/** Reads orders. */

import { viewEtag } from '@caudal/context/etag.ts';
import { type ListOrders, listOrder } from '@caudal/context/order-by.ts';
import { pageLimit } from '@caudal/context/page-limit.ts';
import type { ViewReader } from '@caudal/context/view-reader.ts';
import { order } from '@caudal/contract/entities.ts';
import {
  type ListOrdersRequest,
  type Order,
  OrderQueryServiceService,
  OrderStatus,
} from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { notFound } from '@caudal/kernel/errors.ts';
import type { Condition, StoredView } from '@caudal/projections/types.ts';
import { service } from '@caudal/rpc/types.ts';
import { withStatuses } from '../projections/order-parts.ts';
import { withShipments } from '../projections/order-shipments.ts';
import { type OpenTexts, withReferences } from '../references.ts';
import { summarizeOrders } from './summarize-orders.ts';

const ordersBy: ListOrders = {
  'create_time desc': [{ key: 'create_time', descending: true }],
  create_time: [{ key: 'create_time' }],
};

export function orderQueryService({ views, openTexts }: { views: ViewReader<Order>; openTexts: OpenTexts }) {
  const messages = (stored: StoredView<Order>[]) => withReferences(stored.map(message), openTexts);

  return service(OrderQueryServiceService, {
    async getOrder({ orderId }, call) {
      const stored = await views.get(orderId, call);
      // An event of the payment or shipment may reach the view before the order's first event.
      if (!stored?.view.orderId) throw notFound('order', orderId);
      call.authorize(stored.view.customerId);
      const [found] = await messages([stored]);
      return found!;
    },

    async listOrders(request, call) {
      const page = await views.find(
        {
          // An order that its payment or shipment has begun is not placed yet.
          where: [...conditions(request), { key: 'create_time' }],
          ...listOrder(request.orderBy, ordersBy),
          limit: pageLimit(request.pageSize),
          pageToken: request.pageToken,
        },
        call,
      );
      return { orders: await messages(page.views), nextPageToken: page.nextPageToken };
    },

    summarizeOrders: (request, call) => summarizeOrders(views, request, call),
  });
}

function conditions({ customerId, status, needsAttention }: ListOrdersRequest): Condition[] {
  const where: Condition[] = [];
  if (customerId) where.push({ key: 'customer_id', equals: customerId });
  if (status !== OrderStatus.ORDER_STATUS_UNSPECIFIED) where.push({ key: 'status', equals: String(status) });
  if (needsAttention) where.push({ key: 'needs_attention', equals: true });
  return where;
}

function message(stored: StoredView<Order>): Order {
  return { ...withStatuses(withShipments(stored.view)), etag: viewEtag(stored, order.stream(stored.id)) };
}
