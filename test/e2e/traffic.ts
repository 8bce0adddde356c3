/** Many orders at once, led to their ends by a buyer that repeats unanswered calls, and what must hold afterwards. */
import type { LedgerEntry } from '@caudal/service-payments/gateway/sandbox.ts';
import { expect } from '@jest/globals';
import type { Api, Json } from './api.ts';
import { balanceOf, newCustomer, newProduct, orderOf, stockOf } from './world.ts';

export interface Plan {
  productIds: string[];
  customerIds: string[];
  orders: PlannedOrder[];
}

interface PlannedOrder {
  request: Json;
  cancel: boolean;
}

const price = 100;
const pieces = 12;
const money = 2_000;

/**
 * Plans orders of ten products by five customers: by wallet, by card, and by a card whose gateway fails at first. Some
 * products and some wallets do not have enough for all orders, and some orders are cancelled.
 */
export async function planOrders(api: Api, count: number): Promise<Plan> {
  const productIds = await Promise.all(
    Array.from({ length: 10 }, () => newProduct(api, { price, quantity: pieces, title: 'Crash test lamp' })),
  );
  const customerIds = await Promise.all(Array.from({ length: 5 }, () => newCustomer(api, money)));
  const orders = Array.from({ length: count }, (_, index) => {
    const productId = productIds[index % productIds.length]!;
    const customerId = customerIds[index % customerIds.length]!;
    const card = [undefined, 'tok_approved', undefined, 'tok_error_then_ok_1'][(index >> 1) % 4];
    return { request: orderOf({ customerId, productId, quantity: 1 + (index % 2), card }), cancel: index % 7 === 3 };
  });
  return { productIds, customerIds, orders };
}

/**
 * Leads all orders to their ends, ten at a time. `onEnded` is called with the number of ended orders. Returns the
 * orders.
 */
export async function runOrders(api: Api, plan: Plan, onEnded: (count: number) => void): Promise<Json[]> {
  const ended: Json[] = [];
  const waiting = plan.orders.values();
  const buyers = Array.from({ length: 10 }, async () => {
    for (const order of waiting) {
      ended.push(await runOrder(api, order));
      onEnded(ended.length);
    }
  });
  await Promise.allSettled(buyers);
  await Promise.all(buyers);
  return ended;
}

async function runOrder(api: Api, { request, cancel }: PlannedOrder): Promise<Json> {
  const { orderId } = request;
  await api.insist('PlaceOrder', request);
  const ready = await watch(api, orderId, (order) => isEnd(order) || isShippable(order));
  if (isEnd(ready)) return ready;
  if (cancel) await api.insist('CancelOrder', { orderId, reason: 'changed my mind' });
  else {
    await api.insist('DispatchShipment', { shipmentId: orderId, carrier: 'Royal Mail' });
    await api.insist('DeliverShipment', { shipmentId: orderId });
  }
  return watch(api, orderId, isEnd);
}

const isShippable = ({ status, shipment }: Json) =>
  status === 'ORDER_STATUS_CONFIRMED' && shipment?.status === 'created';

/** Whether the order and its payment have ended. */
export function isEnd({ status, payment }: Json): boolean {
  if (status === 'ORDER_STATUS_DELIVERED') return payment?.status === 'succeeded';
  const isUndone = !payment || ['failed', 'voided', 'refunded'].includes(payment.status);
  return ['ORDER_STATUS_REJECTED', 'ORDER_STATUS_CANCELLED'].includes(status) && isUndone;
}

const watchMs = 90_000;

/** Reads the order until `there`, even if calls fail. At first the view may not have it. */
async function watch(api: Api, orderId: string, there: (order: Json) => boolean): Promise<Json> {
  const deadline = performance.now() + watchMs;
  for (;;) {
    const { status, body } = await api
      .send('GetOrder', { orderId })
      .catch((error) => ({ status: 0, body: `${error}` }));
    if (![0, 200, 404, 503, 504].includes(status)) throw new Error(`GetOrder: ${status} ${JSON.stringify(body)}`);
    if (status === 200 && there(body)) return body;
    if (performance.now() > deadline) throw new Error(`${orderId} does not get on: ${JSON.stringify(body)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Every piece and every penny is where the ends of the orders require it. */
export async function expectBalanced(
  api: Api,
  { plan, ended, ledger }: { plan: Plan; ended: Json[]; ledger: ReadonlyMap<string, LedgerEntry> },
): Promise<void> {
  expect(ended).toHaveLength(plan.orders.length);
  const delivered = new Set(ended.filter(({ status }) => status === 'ORDER_STATUS_DELIVERED').map((o) => o.orderId));
  const bought = plan.orders.map(({ request }) => request).filter(({ orderId }) => delivered.has(orderId));
  const sum = (requests: Json[]) => requests.reduce((total, { lines }) => total + Number(lines[0].quantity), 0);

  for (const productId of plan.productIds) {
    const left = String(pieces - sum(bought.filter(({ lines }) => lines[0].productId === productId)));
    expect(await stockOf(api, productId)).toMatchObject({ productId, onHand: left, reserved: '0', available: left });
  }
  for (const walletId of plan.customerIds) {
    const paid = price * sum(bought.filter(({ paymentMethod }) => paymentMethod.walletId === walletId));
    expect([walletId, await balanceOf(api, walletId)]).toEqual([walletId, money - paid]);
  }
  const charged = [...ledger.values()].filter(({ taken, givenBack }) => taken - givenBack === 1);
  const byCard = bought.filter(({ paymentMethod }) => paymentMethod.cardToken);
  expect(charged.map(({ amount }) => Number(amount)).sort()).toEqual(
    byCard.map(({ lines }) => price * Number(lines[0].quantity)).sort(),
  );
  expect([...ledger.values()].filter(({ taken, givenBack }) => taken > 1 || givenBack > taken)).toEqual([]);
}
