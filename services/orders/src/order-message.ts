/** An order's state as a message of the contract. */

import { commandEtag } from '@caudal/context/etag.ts';
import { FulfilmentStatus, type Order, OrderStatus } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import type { OrderState, Status } from './domain/order.ts';

const statuses: Record<Status, Order['status']> = {
  pending: OrderStatus.ORDER_STATUS_PENDING,
  confirmed: OrderStatus.ORDER_STATUS_CONFIRMED,
  shipped: OrderStatus.ORDER_STATUS_SHIPPED,
  delivered: OrderStatus.ORDER_STATUS_DELIVERED,
  rejected: OrderStatus.ORDER_STATUS_REJECTED,
  cancelling: OrderStatus.ORDER_STATUS_CANCELLING,
  cancelled: OrderStatus.ORDER_STATUS_CANCELLED,
};

/** The answer of commands: an order without payment and shipments, which only the view has. */
export function orderMessage(state: OrderState, version: number): Order {
  const { orderId, customerId, country, lines, total, reference } = state.placed!;
  return {
    orderId,
    customerId,
    country,
    status: statuses[state.status],
    lines,
    total,
    reason: state.reason,
    payment: undefined,
    shipment: undefined,
    shipments: [],
    fulfilmentStatus: FulfilmentStatus.FULFILMENT_STATUS_UNSPECIFIED,
    createTime: state.createTime,
    updateTime: state.updateTime,
    reference,
    etag: commandEtag(version),
  };
}
