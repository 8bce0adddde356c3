/** Orders with a return that needs attention: nothing is tried until an operator settles it. */
import type { ContextGauge } from '@caudal/context/context.ts';
import { orderDetails } from '../projections/order-details.ts';

const most = 100;

export const returnsAttention: ContextGauge = {
  name: 'orders_returns_needing_attention',
  description: 'Orders with a return that needs attention; 100 if there are more',
  unit: '1',
  async read({ views }) {
    const found = await views(orderDetails).find({
      where: [{ key: 'needs_attention', equals: true }],
      orderBy: [{ key: 'create_time' }],
      limit: most,
    });
    return found.views.length;
  },
};
