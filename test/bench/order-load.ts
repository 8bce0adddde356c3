/** An endless load of orders: products and money are never short, and a fixed number of orders is in flight. */

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
import { forEachConcurrent } from '@caudal/kernel/concurrency.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { Client } from 'pg';
import { until } from '../e2e/wait.ts';
import type { Runtime } from './runtime.ts';

/** The number of orders that are in flight at the same time. */
export const window = 256;
export const linesPerOrder = 3;
const products = 500;
const customers = 200;

/** Where commands are sent. */
export type Target = Pick<Runtime, 'method' | 'databaseUrl'>;

export interface OrderLoad {
  /** Keeps `window` orders in flight for this time; returns how many were confirmed in it. */
  run(seconds: number): Promise<number>;
  /** Waits until every order that was placed is confirmed, two minutes at most. */
  settle(): Promise<void>;
  close(): Promise<void>;
}

/** Makes the products and customers. */
export async function openOrderLoad(target: Target): Promise<OrderLoad> {
  await stock(target);
  const place = target.method(OrderServiceService.placeOrder.path, PlaceOrderRequest, Order);
  const count = await openCount(target.databaseUrl);
  let placed = 0;
  let known = 0;
  /** Calls in flight. */
  const calls = new Set<Promise<unknown>>();
  let failure: { error: unknown } | undefined;
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
  return {
    async run(seconds) {
      const before = await count.confirmed();
      const endsAt = performance.now() + seconds * 1_000;
      while (performance.now() < endsAt) {
        known = await count.confirmed();
        // The slowest order delays no other: for each confirmed order a new one begins.
        for (let free = window - (placed - known); free > 0; free--) {
          const call: Promise<unknown> = placeOne()
            .catch((error: unknown) => {
              failure ??= { error };
            })
            .finally(() => calls.delete(call));
          calls.add(call);
        }
        if (failure) throw failure.error;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      await Promise.all(calls);
      if (failure) throw failure.error;
      return (await count.confirmed()) - before;
    },
    async settle() {
      await until('every order confirmed', count.confirmed, (confirmed) => confirmed >= placed, 120_000);
    },
    async close() {
      place.close();
      await count.close();
    },
  };
}

async function stock({ method }: Target): Promise<void> {
  const product = method(CatalogServiceService.createProduct.path, CreateProductRequest, Product);
  const item = method(InventoryServiceService.createStockItem.path, CreateStockItemRequest, StockItem);
  const customer = method(CustomerServiceService.registerCustomer.path, RegisterCustomerRequest, Customer);
  const wallet = method(WalletServiceService.createWallet.path, CreateWalletRequest, Wallet);
  const deposit = method(WalletServiceService.deposit.path, DepositRequest, Wallet);
  const each = (count: number, make: (n: number) => Promise<void>) => forEachConcurrent(Array(count).keys(), 50, make);
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

/** Counts confirmed orders in the orders' log. A query reads only new events, so that counting is cheap. */
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
