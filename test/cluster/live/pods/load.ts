/**
 * Clients that place orders and read stock until their pod is deleted, over gRPC and REST. Every second they print a
 * line of JSON with their counts since the start. The gRPC clients are Caudal's own: they balance over the pods of a
 * headless Service, and repeat unanswered calls. The REST clients repeat nothing.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { CatalogServiceService, CreateProductRequest } from '@caudal/contract/gen/caudal/catalog/v1/catalog.ts';
import { CustomerServiceService, RegisterCustomerRequest } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import {
  CreateStockItemRequest,
  GetStockItemRequest,
  InventoryQueryServiceService,
  InventoryServiceService,
} from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { OrderServiceService, PlaceOrderRequest } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import {
  CreateWalletRequest,
  DepositRequest,
  WalletServiceService,
} from '@caudal/contract/gen/caudal/payments/v1/wallets.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { connect } from '@caudal/rpc/client/client.ts';
import { addresses, auth, setting } from './setting.ts';

const clients = 4;
const pauseMs = 200;
const timeoutMs = 10_000;
const id = `load-${newId()}`;

const command = { address: addresses.command, auth };
const orders = connect(OrderServiceService, command);
const stock = connect(InventoryQueryServiceService, { address: addresses.query, auth });

/** A product in stock, and a customer with money in a wallet of the same id. */
async function makeWorld(): Promise<void> {
  const money = (minorUnits: bigint) => ({ minorUnits, currency: 'GBP' });
  const [product, item, customer, wallet, deposit] = [
    CreateProductRequest.fromPartial({ productId: id, title: 'Lamp', price: money(650n) }),
    CreateStockItemRequest.fromPartial({ productId: id, quantity: 1_000_000n }),
    RegisterCustomerRequest.fromPartial({
      customerId: id,
      displayName: 'Ada',
      email: 'ada@example.com',
      country: 'GB',
    }),
    CreateWalletRequest.fromPartial({ walletId: id, customerId: id, currency: 'GBP' }),
    DepositRequest.fromPartial({ walletId: id, amount: money(1_000_000_000n), reference: 'first money' }),
  ] as const;
  const wallets = connect(WalletServiceService, command);
  await connect(CatalogServiceService, command).createProduct(product, { timeoutMs });
  await connect(InventoryServiceService, command).createStockItem(item, { timeoutMs });
  await connect(CustomerServiceService, command).registerCustomer(customer, { timeoutMs });
  await wallets.createWallet(wallet, { timeoutMs });
  await wallets.deposit(deposit, { timeoutMs });
}

const tally = {
  grpc: { done: 0, failed: 0 },
  rest: { done: 0, failed: 0 },
  /** The orders placed by both kinds. */
  placed: 0,
  slowestMs: 0,
  /** Errors by their text, with their counts. */
  failures: {} as Record<string, number>,
};

/** Endless calls, one after the other: commands and queries alternate. */
async function client(kind: 'grpc' | 'rest', place: () => Promise<void>, ask: () => Promise<void>): Promise<never> {
  for (let n = 0; ; n++) {
    const began = performance.now();
    try {
      if (n % 2 === 0) {
        await place();
        tally.placed += 1;
      } else await ask();
      tally[kind].done += 1;
    } catch (error) {
      tally[kind].failed += 1;
      const { message, cause } = error as Error;
      const text = `${kind} ${n % 2 === 0 ? 'order' : 'stock'}: ${message}${cause ? ` (${(cause as Error).message})` : ''}`;
      tally.failures[text] = (tally.failures[text] ?? 0) + 1;
    }
    tally.slowestMs = Math.max(tally.slowestMs, Math.round(performance.now() - began));
    await delay(pauseMs);
  }
}

async function rest(role: 'command' | 'query', path: string, body?: object): Promise<void> {
  const answer = await fetch(`http://${setting('RELEASE')}-${role}-rest:8080${path}`, {
    headers: { authorization: `Bearer ${await auth()}`, ...(body && { 'content-type': 'application/json' }) },
    ...(body && { method: 'POST', body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(timeoutMs),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${answer.status} ${text}`);
}

const orderOf = () => ({ orderId: newId(), customerId: id, country: 'GB' });

async function placeByGrpc(): Promise<void> {
  const request = PlaceOrderRequest.fromPartial({
    ...orderOf(),
    requestId: newId(),
    lines: [{ productId: id, quantity: 1n }],
    paymentMethod: { method: { $case: 'walletId', value: id } },
  });
  await orders.placeOrder(request, { timeoutMs });
}

async function askByGrpc(): Promise<void> {
  await stock.getStockItem(GetStockItemRequest.fromPartial({ productId: id }), { timeoutMs });
}

const placeByRest = () =>
  rest('command', '/v1/orders', {
    ...orderOf(),
    lines: [{ productId: id, quantity: '1' }],
    paymentMethod: { walletId: id },
  });
const askByRest = () => rest('query', `/v1/stock/${id}`);

await makeWorld();
for (let n = 0; n < clients; n++) {
  void client('grpc', placeByGrpc, askByGrpc);
  void client('rest', placeByRest, askByRest);
}
for (;;) {
  await delay(1_000);
  console.log(JSON.stringify(tally));
}
