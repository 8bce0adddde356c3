/**
 * The age of the oldest pending order, which waits for stock, payment or confirmation. If it grows, that order is
 * stuck.
 */
import type { ContextGauge } from '@caudal/context/context.ts';
import { OrderStatus } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { orderDetails } from '../projections/order-details.ts';

export const pendingOldest: ContextGauge = {
  name: 'orders_pending_oldest_seconds',
  description: 'Age of the oldest order whose view is still pending; 0 if there is none',
  unit: 's',
  async read({ views, clock }) {
    const oldest = await views(orderDetails).find({
      where: [{ key: 'status', equals: String(OrderStatus.ORDER_STATUS_PENDING) }],
      orderBy: [{ key: 'create_time' }],
      limit: 1,
    });
    const createTime = oldest.views[0]?.view.createTime;
    return createTime ? Math.max(0, (clock().getTime() - createTime.getTime()) / 1_000) : 0;
  },
};
