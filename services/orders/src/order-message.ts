/** An order's state as a message of the contract. */

import { commandEtag } from '@caudal/context/etag.ts';
import {
  FulfilmentStatus,
  type Order,
  type OrderReturn,
  OrderReturnStatus,
  OrderStatus,
} from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import type { OrderState, Status } from './domain/order.ts';
import { done, piecesOf, type ReturnState } from './domain/returns.ts';

const statuses: Record<Status, Order['status']> = {
  pending: OrderStatus.ORDER_STATUS_PENDING,
  confirmed: OrderStatus.ORDER_STATUS_CONFIRMED,
  shipped: OrderStatus.ORDER_STATUS_SHIPPED,
  delivered: OrderStatus.ORDER_STATUS_DELIVERED,
  rejected: OrderStatus.ORDER_STATUS_REJECTED,
  cancelling: OrderStatus.ORDER_STATUS_CANCELLING,
  cancelled: OrderStatus.ORDER_STATUS_CANCELLED,
};

const returnStatuses: Record<ReturnState['status'], OrderReturn['status']> = {
  requested: OrderReturnStatus.ORDER_RETURN_STATUS_REQUESTED,
  returned: OrderReturnStatus.ORDER_RETURN_STATUS_RETURNED,
  refused: OrderReturnStatus.ORDER_RETURN_STATUS_REFUSED,
  attention: OrderReturnStatus.ORDER_RETURN_STATUS_NEEDS_ATTENTION,
};

/** The order as its own stream knows it: without payment and shipments, which are of other contexts. */
export function orderMessage(state: OrderState, version: number): Order {
  const { orderId, customerId, country, lines, total, reference } = state.placed!;
  const back = piecesOf(done(state.returns));
  return {
    orderId,
    customerId,
    country,
    status: statuses[state.status],
    lines: lines.map((line) => ({ ...line, returnedQuantity: back.get(line.productId) ?? 0n })),
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
    reservationId: state.reservationId,
    returns: state.returns.map((one) => returnMessage(one, total!.currency)),
  };
}

function returnMessage(
  { refund, status, triedSince: _, inStock: __, ...one }: ReturnState,
  currency: string,
): OrderReturn {
  return { ...one, refund: { minorUnits: refund, currency }, status: returnStatuses[status] };
}
