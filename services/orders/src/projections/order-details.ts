/** Order details: an order with its payment and its shipments, in one read. */
import { type EventOf, order, payment, shipment } from '@caudal/contract/entities.ts';
import {
  Order,
  OrderPayment,
  type OrderReturn,
  OrderReturnStatus,
  OrderStatus,
} from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { ignored, ignoreUnknown, on, type Projection } from '@caudal/projections/types.ts';
import { withPaid } from './order-parts.ts';
import { fulfilmentStatusOf, shipmentsAfter } from './order-shipments.ts';

const blank = Order.fromPartial({});

/** Events of the three streams may arrive in any order: each changes only its own part of the view. */
export const orderDetails: Projection<Order> = {
  name: 'order-details',
  version: 4,
  parts: 8,
  codec: Order,
  follows: [
    on<Order, EventOf<typeof order>>(order, {
      view: ({ id }) => id,
      evolve(view = blank, { event, at }) {
        const now = touched(view, at);
        switch (event.$case) {
          case 'created':
            return {
              ...now,
              ...event.value,
              lines: event.value.lines.map((line) => ({ ...line, returnedQuantity: 0n })),
              createTime: at,
              status: OrderStatus.ORDER_STATUS_PENDING,
            };
          case 'confirmed':
            return { ...now, ...reservationOf(event.value), status: OrderStatus.ORDER_STATUS_CONFIRMED };
          case 'shipped':
            return { ...now, ...reservationOf(event.value), status: OrderStatus.ORDER_STATUS_SHIPPED };
          case 'delivered':
            return { ...now, status: OrderStatus.ORDER_STATUS_DELIVERED };
          case 'rejected':
            return { ...now, status: OrderStatus.ORDER_STATUS_REJECTED, reason: event.value.reason };
          case 'cancelRequested':
            return { ...now, status: OrderStatus.ORDER_STATUS_CANCELLING, reason: event.value.reason };
          case 'cancelRefused':
            // `shipped` follows at once, and sets the status.
            return { ...now, reason: '' };
          case 'cancelled':
            return { ...now, status: OrderStatus.ORDER_STATUS_CANCELLED };
          case 'returnRequested': {
            const status = OrderReturnStatus.ORDER_RETURN_STATUS_REQUESTED;
            const one = { ...event.value, status, refusal: '', refundRefusal: '', createTime: at };
            return { ...now, returns: [...view.returns, one] };
          }
          case 'returned':
            return paidReturns(withReturned(now, event.value));
          case 'returnRefused': {
            const { returnId, reason: refusal } = event.value;
            return withReturn(now, returnId, { status: OrderReturnStatus.ORDER_RETURN_STATUS_REFUSED, refusal });
          }
          case 'returnAttentionNeeded': {
            const { returnId, reason: refusal } = event.value;
            const status = OrderReturnStatus.ORDER_RETURN_STATUS_NEEDS_ATTENTION;
            return withReturn(now, returnId, { status, refusal });
          }
          case 'returnRetried': {
            const status = OrderReturnStatus.ORDER_RETURN_STATUS_REQUESTED;
            return withReturn(now, event.value.returnId, { status, refusal: '' });
          }
          default:
            return ignoreUnknown(event);
        }
      },
    }),
    on<Order, EventOf<typeof payment>>(payment, {
      view: ({ id }) => id,
      evolve(view = blank, { id, event, at }) {
        if (isAnothers(id, event)) return ignored;
        const part = view.payment ?? OrderPayment.fromPartial({ paymentId: id });
        const now = (change: Partial<OrderPayment>) => ({ ...touched(view, at), payment: { ...part, ...change } });
        switch (event.$case) {
          case 'requested':
            return now({ status: 'requested', amount: event.value.amount });
          case 'succeeded':
            return now({ status: 'succeeded' });
          case 'failed':
            return now({ status: 'failed' });
          case 'voided':
          case 'barred':
            return now({ status: 'voided' });
          case 'refunded':
            return now({ status: 'refunded', refunded: part.amount });
          case 'refundRequested': {
            const { refundId, amount } = event.value;
            return now({ refunds: [...part.refunds, { refundId, amount, completed: false }] });
          }
          case 'refundCompleted': {
            const { refundId, refunded } = event.value;
            const refunds = part.refunds.map((one) => (one.refundId === refundId ? { ...one, completed: true } : one));
            return paidReturns(now({ refunded, refunds }));
          }
          // Steps of a payment are not part of the view.
          case 'sentToGateway':
          case 'gatewayResponded':
          case 'undoRequested':
          case 'delayed':
          case 'attentionNeeded':
          case 'retryRequested':
          case 'settled':
            return ignored;
          default:
            return ignoreUnknown(event);
        }
      },
    }),
    on<Order, EventOf<typeof shipment>>(shipment, {
      view: ({ id }) => id,
      evolve(view = blank, { id, event, at }) {
        if (isAnothers(id, event)) return ignored;
        const shipments = shipmentsAfter(view.shipments, event, id);
        if (shipments === ignored) return ignored;
        return { ...touched(view, at), shipments, fulfilmentStatus: fulfilmentStatusOf(shipments) };
      },
    }),
  ],
  keys: {
    customer_id: { type: 'keyword', of: (view) => view.customerId },
    status: { type: 'keyword', of: (view) => String(view.status) },
    country: { type: 'keyword', of: (view) => view.country },
    reference: { type: 'keyword', of: (view) => view.reference },
    currency: { type: 'keyword', of: (view) => view.total?.currency },
    total: { type: 'long', summable: true, of: (view) => view.total?.minorUnits },
    create_time: { type: 'timestamp', of: (view) => view.createTime ?? null },
    needs_attention: { type: 'boolean', of: ({ returns }) => returns.some(needsAttention) },
  },
  indexes: [
    ['create_time'],
    ['customer_id', 'create_time'],
    ['status', 'create_time'],
    ['needs_attention', 'create_time'],
  ],
};

/** Whether a payment or shipment that has the order's id is another one's. One that was barred before it was made is no one's. */
function isAnothers(id: string, { value }: { value: { orderId?: string } }): boolean {
  return Boolean(value?.orderId) && value.orderId !== id;
}

function needsAttention({ status }: OrderReturn): boolean {
  return status === OrderReturnStatus.ORDER_RETURN_STATUS_NEEDS_ATTENTION;
}

/** Events of the payment and of the order arrive in any order: a return is refunded after both. */
function paidReturns(view: Order): Order {
  return { ...view, returns: withPaid(view.returns, view.payment) };
}

/** Events that are older than the field have no reservation. */
function reservationOf({ reservationId }: { reservationId?: string | undefined }): Partial<Order> {
  return reservationId ? { reservationId } : {};
}

/** The view with a change of one of its returns. */
function withReturn(view: Order, returnId: string, change: Partial<OrderReturn>): Order {
  const returns = view.returns.map((one) => (one.returnId === returnId ? { ...one, ...change } : one));
  return { ...view, returns };
}

/** The view with the pieces of a return in the stock again. */
function withReturned(
  view: Order,
  { returnId, refund, refundRefusal }: Pick<OrderReturn, 'returnId' | 'refund' | 'refundRefusal'>,
): Order {
  const one = view.returns.find((known) => known.returnId === returnId);
  const back = new Map(one?.lines.map(({ productId, quantity }) => [productId, quantity]));
  const lines = view.lines.map((line) => ({
    ...line,
    returnedQuantity: (line.returnedQuantity ?? 0n) + (back.get(line.productId) ?? 0n),
  }));
  const status = OrderReturnStatus.ORDER_RETURN_STATUS_RETURNED;
  return withReturn({ ...view, lines }, returnId, { status, refund, refundRefusal });
}

/** The event with the latest time is the last change, in whatever order they arrive. */
function touched(view: Order, at: Date): Order {
  return { ...view, updateTime: view.updateTime && view.updateTime > at ? view.updateTime : at };
}
