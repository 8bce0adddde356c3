/** The whole of it: orders a second, from the call to the confirmed order. */
import {
  CatalogServiceService,
  CreateProductRequest,
  Product,
} from '@caudal/contract/gen/caudal/catalog/v1/catalog.ts';
import {
  Customer,
  CustomerServiceService,
  RegisterCustomerRequest,
} from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import {
  CreateStockItemRequest,
  InventoryServiceService,
  StockItem,
} from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { Order, OrderServiceService, PlaceOrderRequest } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import {
  CreateWalletRequest,
  DepositRequest,
  Wallet,
  WalletServiceService,
} from '@caudal/contract/gen/caudal/payments/v1/wallets.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { serverUrl } from '@caudal/testing/servers.ts';
import { Client } from 'pg';
import { until } from '../../e2e/wait.ts';
import { cpuTimes, cpuUsed } from '../cpu.ts';
import { figureOf } from '../figures.ts';
import { type Runtime, startRuntime } from '../runtime.ts';
import type { Bench, Figure, Tools } from '../types.ts';

/** Orders that are on their way at the same time. */
const window = 256;
const products = 500;
const customers = 200;
const linesPerOrder = 3;

type Form = 'embedded' | 'stores';

interface Outcome {
  rate: number;
  /** CPU seconds an order, by component. */
  cpu: Record<string, number>;
}

async function stock({ method }: Runtime): Promise<void> {
  const product = method(CatalogServiceService.createProduct.path, CreateProductRequest, Product);
  const item = method(InventoryServiceService.createStockItem.path, CreateStockItemRequest, StockItem);
  const customer = method(CustomerServiceService.registerCustomer.path, RegisterCustomerRequest, Customer);
  const wallet = method(WalletServiceService.createWallet.path, CreateWalletRequest, Wallet);
  const deposit = method(WalletServiceService.deposit.path, DepositRequest, Wallet);
  const each = async (count: number, make: (n: number) => Promise<unknown>) => {
    for (let n = 0; n < count; n += 50)
      await Promise.all(Array.from({ length: Math.min(50, count - n) }, (_, k) => make(n + k)));
  };
  const money = (minorUnits: bigint) => ({ minorUnits, currency: 'GBP' });
  await each(products, async (n) => {
    const productId = `P-${n}`;
    await product.call(CreateProductRequest.fromPartial({ productId, title: `Product ${n}`, price: money(650n) }));
    await item.call(CreateStockItemRequest.fromPartial({ productId, quantity: 100_000_000n }));
  });
  await each(customers, async (n) => {
    const customerId = `C-${n}`;
    const about = { customerId, displayName: 'Ada', email: `${customerId}@example.com`, country: 'GB' };
    await customer.call(RegisterCustomerRequest.fromPartial(about));
    await wallet.call(CreateWalletRequest.fromPartial({ walletId: customerId, customerId, currency: 'GBP' }));
    const amount = money(100_000_000_000n);
    await deposit.call(DepositRequest.fromPartial({ walletId: customerId, amount, reference: 'first money' }));
  });
  for (const { close } of [product, item, customer, wallet, deposit]) close();
}

/** Counts what the orders' log says is confirmed: one query for what is new, so that looking costs little. */
async function openCount(url: string) {
  const client = new Client({ connectionString: url });
  await client.connect();
  let position = 0;
  let confirmed = 0;
  return {
    async confirmed(): Promise<number> {
      const { rows } = await client.query<{ last: string | null; n: string }>(
        `SELECT max(position) AS last, count(*) FILTER (WHERE type = 'orders.order.confirmed.v1') AS n
         FROM orders.events WHERE position > $1`,
        [position],
      );
      position = Number(rows[0]!.last ?? position);
      confirmed += Number(rows[0]!.n);
      return confirmed;
    },
    close: () => client.end(),
  };
}

async function measure(form: Form, { quick, say }: Tools): Promise<Outcome[]> {
  const stores = {
    RABBITMQ_URL: serverUrl('rabbitmq'),
    MONGODB_URL: serverUrl('mongodb'),
    ELASTICSEARCH_URL: serverUrl('elasticsearch'),
    REDIS_URL: serverUrl('redis'),
    CAUDAL_NAMESPACE: `bench_${process.pid}`,
  };
  const runtime = await startRuntime(form === 'stores' ? stores : {});
  const place = runtime.method(OrderServiceService.placeOrder.path, PlaceOrderRequest, Order);
  const count = await openCount(runtime.databaseUrl);
  const outcomes: Outcome[] = [];
  let placed = 0;
  let known = 0;
  const placeOne = () => {
    const n = placed++;
    const lines = Array.from({ length: linesPerOrder }, (_, line) => ({
      productId: `P-${(n * 7 + line * 131) % products}`,
      quantity: 1n,
    }));
    return place.call(
      PlaceOrderRequest.fromPartial({
        requestId: newId(),
        orderId: newId(),
        customerId: `C-${n % customers}`,
        country: 'GB',
        lines,
        paymentMethod: { method: { $case: 'walletId', value: `C-${n % customers}` } },
      }),
    );
  };
  /** Keeps `window` orders on their way for so long; returns how many were confirmed meanwhile. */
  const run = async (seconds: number) => {
    const before = await count.confirmed();
    const endsAt = performance.now() + seconds * 1_000;
    while (performance.now() < endsAt) {
      known = await count.confirmed();
      const free = window - (placed - known);
      await Promise.all(Array.from({ length: Math.max(0, free) }, placeOne));
      if (free <= 0) await new Promise((resolve) => setTimeout(resolve, 10));
    }
    return (await count.confirmed()) - before;
  };
  try {
    say(`${form}: products and customers`);
    await stock(runtime);
    say(`${form}: warm-up`);
    await run(quick ? 3 : 15);
    const rounds = quick ? 1 : 5;
    for (let round = 1; round <= rounds; round++) {
      say(`${form}: round ${round} of ${rounds}`);
      const began = performance.now();
      const before = cpuTimes();
      const confirmed = await run(quick ? 4 : 12);
      const used = cpuUsed(before, cpuTimes());
      const cpu = Object.fromEntries(Object.entries(used).map(([name, seconds]) => [name, seconds / confirmed]));
      outcomes.push({ rate: confirmed / ((performance.now() - began) / 1_000), cpu });
    }
    await until('every order confirmed', count.confirmed, (confirmed) => confirmed >= placed, 120_000);
  } finally {
    place.close();
    await count.close();
    await runtime.stop();
  }
  return outcomes;
}

export const orders: Bench = {
  name: 'orders',
  title: 'Whole orders',
  compares: `Orders of ${linesPerOrder} lines, paid from wallets, ${window} on their way at a time: placed through gRPC, prices asked, stock reserved, paid, committed, confirmed, shipment made, and every view and mail of it. In one process on PostgreSQL alone (embedded), and in one process with all stores. No peer does this whole; the goals are what two cores should give. CPU: milliseconds of processor time an order, by component.`,
  needs: ['postgres', 'rabbitmq', 'mongodb', 'elasticsearch', 'redis'],

  async run(tools) {
    const bench = 'orders';
    const figures: Figure[] = [];
    for (const [form, goal] of [
      ['embedded', 250],
      ['stores', 80],
    ] as const) {
      const outcomes = await measure(form, tools);
      figures.push(
        figureOf(
          { bench, metric: form, unit: '/s', goal: { kind: 'atLeast', value: goal } },
          outcomes.map(({ rate }) => rate),
        ),
      );
      for (const component of Object.keys(outcomes[0]!.cpu)) {
        const ms = outcomes.map(({ cpu }) => cpu[component]! * 1_000);
        if (ms.some((value) => value > 0.01))
          figures.push(figureOf({ bench, metric: `${form}.cpu.${component}`, unit: 'ms' }, ms));
      }
    }
    return figures;
  },
};
