/** After the last fault every order is led to its end, as its buyer and the warehouse would. */
import { forEachConcurrent } from '@caudal/kernel/concurrency.ts';
import type { Json } from '../../e2e/api.ts';
import { isEnd } from '../../e2e/traffic.ts';
import type { Caller } from './caller.ts';

const atOnce = 10;
/** Longer than the circuit breaker's 60 s, a reservation's 20 s and the retries of a payment. */
const patienceMs = 240_000;

export interface FinishOptions {
  caller: Caller;
  orderIds: string[];
  onEnded(count: number): void;
}

/** Returns the ended orders by id, without those that were never placed. Throws if an order does not end. */
export async function finishOrders({ caller, orderIds, onEnded }: FinishOptions): Promise<Map<string, Json>> {
  const ended = new Map<string, Json>();
  const deadline = performance.now() + patienceMs;
  let count = 0;
  await forEachConcurrent(orderIds, atOnce, async (orderId) => {
    const order = await finish(caller, orderId, deadline);
    if (order) ended.set(orderId, order);
    count += 1;
    onEnded(count);
  });
  return ended;
}

async function finish(caller: Caller, orderId: string, deadline: number): Promise<Json | undefined> {
  let shippedOnce = false;
  for (;;) {
    const reply = await caller.ask('GetOrder', { orderId });
    // Views are up to date by now: an order that they lack was never placed.
    if (reply?.status === 404) return undefined;
    const order = reply?.status === 200 ? reply.body : undefined;
    if (order && isEnd(order)) return order;
    const isShippable = ['created', 'dispatched'].includes(order?.shipment?.status);
    if (!shippedOnce && ['ORDER_STATUS_CONFIRMED', 'ORDER_STATUS_SHIPPED'].includes(order?.status) && isShippable) {
      if (order.shipment.status === 'created')
        await caller.command('DispatchShipment', { shipmentId: orderId, carrier: 'Royal Mail' }, { insist: true });
      const delivered = await caller.command('DeliverShipment', { shipmentId: orderId }, { insist: true });
      shippedOnce = delivered.outcome === 'done';
    }
    if (performance.now() > deadline) throw new Error(`${orderId} does not end: ${JSON.stringify(order ?? reply)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
