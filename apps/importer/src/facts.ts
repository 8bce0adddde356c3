/** Reads the system's state after an import through its queries, page by page, like any client. */
import type { StockItem } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { type Order, OrderStatus } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import type { Payment } from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
import type { Wallet } from '@caudal/contract/gen/caudal/payments/v1/wallets.ts';
import { forEachConcurrent } from '@caudal/kernel/concurrency.ts';
import { isCode } from '@caudal/kernel/errors.ts';
import type { Clock } from '@caudal/kernel/time.ts';
import { type ImportApi, patientApi } from './api.ts';
import { orderIdOf, walletIdOf } from './outcome.ts';
import type { Plan } from './plan.ts';

export interface Facts {
  /** Orders whose ids have the import's prefix, by id. */
  orders: Map<string, Order>;
  /** Their payments, by the order's id. */
  payments: Map<string, Payment>;
  /** Stock of the plan's products. */
  stock: Map<string, StockItem>;
  /** Wallets of the plan's customers, by wallet. */
  wallets: Map<string, Wallet>;
}

export interface FactsOptions {
  plan: Plan;
  idPrefix: string;
  api: ImportApi;
  clock: Clock;
  signal: AbortSignal;
}

const PAGE = 100;
const CONCURRENCY = 16;

/** Reads the facts. Repeats calls after transient errors; throws any other error. */
export async function readFacts({ plan, idPrefix, clock, signal, ...options }: FactsOptions): Promise<Facts> {
  const api = patientApi(options.api, { clock, signal });
  const page = (pageToken: string, readMask: string[]) => ({ pageSize: PAGE, pageToken, readMask });
  const orderFields = ['order_id', 'customer_id', 'country', 'status', 'lines', 'total', 'reason', 'payment'];

  const [orders, stock, wallets] = await Promise.all([
    collect(async (token) => {
      const fields = [...orderFields, 'shipment', 'reference'];
      const status = OrderStatus.ORDER_STATUS_UNSPECIFIED;
      const all = { customerId: '', status, needsAttention: false, orderBy: '' };
      const answer = await api.orderQueries.listOrders({ ...all, ...page(token, fields) });
      return { items: answer.orders, next: answer.nextPageToken };
    }),
    collect(async (token) => {
      const answer = await api.stockQueries.listStockItems({
        orderBy: '',
        ...page(token, ['product_id', 'on_hand', 'reserved']),
      });
      return { items: answer.stockItems, next: answer.nextPageToken };
    }),
    collect(async (token) => {
      const fields = ['wallet_id', 'customer_id', 'balance'];
      const answer = await api.walletQueries.listWallets({ customerId: '', orderBy: '', ...page(token, fields) });
      return { items: answer.wallets, next: answer.nextPageToken };
    }),
  ]);
  const walletIds = new Set([...plan.customers.keys()].map(walletIdOf));
  const imported = orders.filter(({ orderId }) => orderId.startsWith(orderIdOf(idPrefix, '')));
  return {
    orders: new Map(imported.map((order) => [order.orderId, order])),
    payments: await readPayments(imported, api),
    stock: new Map(stock.filter((item) => plan.products.has(item.productId)).map((item) => [item.productId, item])),
    wallets: new Map(wallets.filter(({ walletId }) => walletIds.has(walletId)).map((item) => [item.walletId, item])),
  };
}

async function readPayments(orders: Order[], api: ImportApi): Promise<Map<string, Payment>> {
  const payments = new Map<string, Payment>();
  const readMask = ['payment_id', 'order_id', 'status', 'amount'];
  const paid = orders.filter(({ payment }) => payment !== undefined);
  await forEachConcurrent(paid, CONCURRENCY, async ({ orderId, payment }) => {
    const found = await api.paymentQueries
      .getPaymentStatus({ paymentId: payment!.paymentId, readMask })
      .catch((error) => {
        // The payment's view may lag behind the order's.
        if (isCode(error, 'NOT_FOUND')) return undefined;
        throw error;
      });
    if (found) payments.set(orderId, found);
  });
  return payments;
}

/** All items of all pages. */
async function collect<T>(read: (token: string) => Promise<{ items: T[]; next: string }>): Promise<T[]> {
  const all: T[] = [];
  let token = '';
  do {
    const { items, next } = await read(token);
    all.push(...items);
    if (next !== '' && next === token)
      throw new Error('A list does not advance: its next page token equals the last one');
    token = next;
  } while (token !== '');
  return all;
}
