/** Runs one order of the import, from its prices to its end. Every step may be repeated, by a later run too. */
import {
  type GetOrderRequest,
  type Order,
  OrderStatus,
  type PlaceOrderRequest,
} from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { isCode } from '@caudal/kernel/errors.ts';
import { derivedId } from '@caudal/kernel/ids.ts';
import { type Clock, sleep } from '@caudal/kernel/time.ts';
import type { ImportApi } from './api.ts';
import { type OrderOutcome, orderIdOf, walletIdOf } from './outcome.ts';
import type { PlannedOrder } from './plan.ts';
import type { Prices } from './prices.ts';

export interface OrderRun {
  /** Its calls are repeated after transient errors. */
  api: ImportApi;
  prices: Prices;
  idPrefix: string;
  clock: Clock;
  signal: AbortSignal;
}

/** How long the import waits for one state before the order counts as stuck. */
const FOLLOW_LIMIT_MS = 120_000;
const FIRST_POLL_MS = 20;
const LONGEST_POLL_MS = 500;
/** The card that the sandbox gateway always approves. */
const APPROVED_CARD = 'tok_approved';
const CARRIER = 'Import Parcels';

const ends: Partial<Record<OrderStatus, OrderOutcome['end']>> = {
  [OrderStatus.ORDER_STATUS_DELIVERED]: 'delivered',
  [OrderStatus.ORDER_STATUS_REJECTED]: 'rejected',
  [OrderStatus.ORDER_STATUS_CANCELLED]: 'cancelled',
};

/** Places the order and follows the plan for it. Throws refusals of the system. */
export async function runOrder(order: PlannedOrder, run: OrderRun): Promise<OrderOutcome> {
  const { api, idPrefix } = run;
  const orderId = orderIdOf(idPrefix, order.reference);
  const requestId = (kind: string) => derivedId(idPrefix, kind, order.reference);
  await place(order, orderId, requestId('place'), run);

  const confirmed = await follow(orderId, run, isOnItsWay);
  if (!confirmed.ok) return stuck(confirmed.last, 'confirmed');
  if (isEnd(confirmed.order)) return outcomeOf(confirmed.order);

  if (order.fate === 'deliver') {
    const shipmentId = confirmed.order.shipment!.shipmentId;
    await api.shipping.dispatchShipment({
      requestId: requestId('dispatch'),
      shipmentId,
      carrier: CARRIER,
      trackingNumber: orderId,
      etag: '',
    });
    await api.shipping.deliverShipment({ requestId: requestId('deliver'), shipmentId, etag: '' });
  } else {
    await api.orders.cancelOrder({
      requestId: requestId('cancel'),
      orderId,
      etag: '',
      reason: whyCancelled[order.fate],
    });
  }
  const ended = await follow(orderId, run, isEnd);
  return ended.ok ? outcomeOf(ended.order) : stuck(ended.last, 'at its end');
}

const whyCancelled = {
  cancel: 'The import cancels every tenth order',
  return: 'The file takes this purchase back',
  refund: 'The file takes a purchase back that it does not have',
};

async function place(order: PlannedOrder, orderId: string, requestId: string, run: OrderRun): Promise<void> {
  const { customerId, country, reference, payment } = order;
  const request: PlaceOrderRequest = {
    requestId,
    orderId,
    customerId,
    country,
    lines: order.lines.map(({ productId, quantity }) => ({ productId, quantity })),
    paymentMethod: {
      method:
        payment === 'wallet'
          ? { $case: 'walletId', value: walletIdOf(customerId) }
          : { $case: 'cardToken', value: APPROVED_CARD },
    },
    reference,
    attributes: {},
  };
  try {
    await run.prices.holding(order.lines, () => run.api.orders.placeOrder(request));
  } catch (error) {
    // An earlier run has placed it under other credentials, or so long ago that its request is forgotten. The
    // comparison of all orders with the plan later shows whether it is the same order.
    if (!isCode(error, 'ALREADY_EXISTS')) throw error;
  }
}

type Followed = { ok: true; order: Order } | { ok: false; last: Order | undefined };

const fields = ['order_id', 'status', 'reason', 'payment', 'shipment'];

/** Polls the order until `there`, for at most two minutes. The order may be missing in the view at first. */
async function follow(orderId: string, run: OrderRun, there: (order: Order) => boolean): Promise<Followed> {
  const request: GetOrderRequest = { orderId, readMask: fields };
  const giveUpAt = run.clock().getTime() + FOLLOW_LIMIT_MS;
  let last: Order | undefined;
  for (let pause = FIRST_POLL_MS; ; pause = Math.min(pause * 2, LONGEST_POLL_MS)) {
    last = await run.api.orderQueries.getOrder(request).catch((error) => {
      if (isCode(error, 'NOT_FOUND')) return last;
      throw error;
    });
    if (last && there(last)) return { ok: true, order: last };
    if (run.clock().getTime() >= giveUpAt) return { ok: false, last };
    await sleep(pause, run.signal);
  }
}

/** Confirmed and with a shipment, or in a later state, or ended. */
function isOnItsWay(order: Order): boolean {
  const confirmed =
    order.status === OrderStatus.ORDER_STATUS_CONFIRMED ||
    order.status === OrderStatus.ORDER_STATUS_SHIPPED ||
    order.status === OrderStatus.ORDER_STATUS_CANCELLING;
  return (confirmed && order.shipment !== undefined) || isEnd(order);
}

/** Delivered, rejected, or cancelled with its money back. */
function isEnd({ status, payment }: Order): boolean {
  if (status !== OrderStatus.ORDER_STATUS_CANCELLED) return ends[status] !== undefined;
  return payment === undefined || (payment.status !== 'requested' && payment.status !== 'succeeded');
}

function outcomeOf({ status, reason }: Order): OrderOutcome {
  return { end: ends[status]!, reason };
}

function stuck(last: Order | undefined, awaited: string): OrderOutcome {
  const status = last
    ? JSON.stringify({ status: last.status, payment: last.payment?.status, shipment: last.shipment?.status })
    : 'not in the views';
  return { end: 'stuck', reason: `After ${FOLLOW_LIMIT_MS / 1000} s it was not ${awaited}: ${status}` };
}
