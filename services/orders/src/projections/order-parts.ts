/** What an order is read with, beside what its view stores: statuses in the notation of payments and shipments, paid returns. */
import { type Order, type OrderReturn, OrderReturnStatus } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { PaymentStatus } from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
import { ShipmentStatus } from '@caudal/contract/gen/caudal/shipping/v1/shipping.ts';
import { refundOf } from '../domain/returns.ts';

/** The order with the statuses of its payment and shipments as these themselves show them. Views store the former words. */
export function withStatuses(order: Order): Order {
  const { payment, shipment } = order;
  const named = <S extends { status: string }>(one: S) => ({
    ...one,
    shipmentStatus: valueNamed(ShipmentStatus, `SHIPMENT_STATUS_${one.status.toUpperCase()}`),
  });
  return {
    ...order,
    payment: payment && {
      ...payment,
      paymentStatus: valueNamed(PaymentStatus, `PAYMENT_STATUS_${payment.status.toUpperCase()}`),
    },
    shipment: shipment && named(shipment),
    shipments: order.shipments.map(named),
  };
}

/** The value of this name; unspecified if there is none, as of a payment of which only a refund is known yet. */
function valueNamed<V extends number>(values: Readonly<Record<string, V>>, name: string): V {
  return values[name] ?? (0 as V);
}

/** Returns with the status of those that the payment has refunded. */
export function withPaid(returns: OrderReturn[], payment: Order['payment']): OrderReturn[] {
  const paid = new Set(payment?.refunds.flatMap(({ refundId, completed }) => (completed ? refundId : [])));
  return returns.map((one) =>
    one.status === OrderReturnStatus.ORDER_RETURN_STATUS_RETURNED && paid.has(refundOf(one.returnId))
      ? { ...one, status: OrderReturnStatus.ORDER_RETURN_STATUS_REFUNDED }
      : one,
  );
}
