/** Groups of orders: their number, and their total. */
import { isMoneySum } from '@caudal/context/money-sum.ts';
import type { ViewReader } from '@caudal/context/view-reader.ts';
import {
  type Order,
  OrderDimension,
  OrderGroup,
  OrderStatus,
  type SummarizeOrdersRequest,
  type SummarizeOrdersResponse,
} from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { invalidField } from '@caudal/kernel/errors.ts';
import { defineAggregate } from '@caudal/projections/queries/aggregate.ts';
import type { Condition, GroupKey, Key } from '@caudal/projections/types.ts';
import type { Call } from '@caudal/rpc/types.ts';
import { orderDetails } from '../projections/order-details.ts';

const usualGroups = 100;
const mostGroups = 1_000;

const ofAll = defineAggregate(orderDetails, { groupBy: [], compute: { orders: 'count', total: { sum: 'total' } } });

/** INVALID_ARGUMENT if a dimension is unspecified or named twice, or if day and month are both named. */
export async function summarizeOrders(
  views: ViewReader<Order>,
  request: SummarizeOrdersRequest,
  call: Call,
): Promise<SummarizeOrdersResponse> {
  const groupBy = groupKeys(request.groupBy);
  const byTime = groupBy.some((key) => typeof key !== 'string');
  const { rows, more } = await views.aggregate(
    {
      ...ofAll,
      groupBy,
      where: conditions(request),
      orderBy: [{ by: byTime ? 'create_time' : 'orders', descending: true }],
      limit: Math.min(request.maxGroups || usualGroups, mostGroups),
    },
    call,
  );
  return { groups: rows.map(({ group, values }) => groupMessage(group, values)), more };
}

function groupKeys(dimensions: OrderDimension[]): GroupKey[] {
  const keys = dimensions.map((dimension): GroupKey => {
    switch (dimension) {
      case OrderDimension.ORDER_DIMENSION_STATUS:
        return 'status';
      case OrderDimension.ORDER_DIMENSION_COUNTRY:
        return 'country';
      case OrderDimension.ORDER_DIMENSION_CURRENCY:
        return 'currency';
      case OrderDimension.ORDER_DIMENSION_CREATE_DAY:
        return { key: 'create_time', unit: 'day', timeZone: 'UTC' };
      case OrderDimension.ORDER_DIMENSION_CREATE_MONTH:
        return { key: 'create_time', unit: 'month', timeZone: 'UTC' };
      default:
        throw invalidField('group_by', 'must not name ORDER_DIMENSION_UNSPECIFIED');
    }
  });
  const names = new Set(keys.map((key) => (typeof key === 'string' ? key : key.key)));
  if (names.size < keys.length) throw invalidField('group_by', 'must name each dimension once, and a day or a month');
  return keys;
}

function conditions({ customerId, status, startTime, endTime }: SummarizeOrdersRequest): Condition[] {
  // A view with only payment or shipment is no order yet, and has no create_time.
  const atMost = endTime && new Date(endTime.getTime() - 1);
  const where: Condition[] = [{ key: 'create_time', atLeast: startTime, atMost }];
  if (customerId) where.push({ key: 'customer_id', equals: customerId });
  if (status !== OrderStatus.ORDER_STATUS_UNSPECIFIED) where.push({ key: 'status', equals: String(status) });
  return where;
}

function groupMessage(group: Record<string, Key>, values: { orders: number; total: bigint }): OrderGroup {
  const { status, currency, create_time: createTime } = group;
  return OrderGroup.fromPartial({
    ...(status !== undefined && { status: Number(status) as OrderStatus }),
    country: text(group.country),
    currency: text(currency),
    ...(createTime instanceof Date && { createTime }),
    orderCount: BigInt(values.orders),
    // Buyers choose how much they order, also of what they do not get: one sum must not take the other groups' answer away.
    ...(currency !== undefined &&
      isMoneySum(values.total) && { total: { minorUnits: values.total, currency: text(currency) } }),
  });
}

function text(key: Key | undefined): string {
  return typeof key === 'string' ? key : '';
}
