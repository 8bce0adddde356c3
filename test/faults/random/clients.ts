/** The load: buyers, a bank and a warehouse with random actions, each from its own part of the seed. */
import { createRandom, type Random } from '@caudal/testing/random.ts';
import type { Json } from '../../e2e/api.ts';
import type { System } from '../../e2e/system.ts';
import { until } from '../../e2e/wait.ts';
import { pounds } from '../../e2e/world.ts';
import { type Caller, createCaller } from './caller.ts';
import type { Attempt, History } from './history.ts';

export interface World {
  productIds: string[];
  /** Their wallets have the same ids. */
  customerIds: string[];
}

const ids = (kind: string, count: number) => Array.from({ length: count }, (_, index) => `${kind}-${index + 1}`);

/**
 * Makes few products and customers, so that clients compete for them, with little stock and money, so that many
 * commands are refused. Returns after all can be seen in views.
 */
export async function makeWorld({ api }: System): Promise<World> {
  const world = { productIds: ids('lamp', 10), customerIds: ids('ada', 8) };
  const seen = (method: string, request: Json) =>
    until(
      `${method} ${JSON.stringify(request)}`,
      () => api.send(method, request),
      ({ status }) => status === 200,
      60_000,
    );
  for (const productId of world.productIds) {
    await api.insist('CreateProduct', { productId, title: 'Lamp under fire', price: pounds(100) });
    await api.insist('CreateStockItem', { productId, quantity: '30' });
  }
  for (const customerId of world.customerIds) {
    const email = `${customerId}@example.com`;
    await api.insist('RegisterCustomer', { customerId, displayName: 'Ada Lovelace', email, country: 'UK' });
    await api.insist('CreateWallet', { walletId: customerId, customerId, currency: 'GBP' });
    await api.insist('Deposit', { walletId: customerId, amount: pounds(3_000), reference: 'first money' });
  }
  for (const productId of world.productIds) await seen('GetProduct', { productId });
  for (const walletId of world.customerIds) await seen('GetWallet', { walletId });
  return world;
}

/** What a client does next, by its share of all actions. */
const actions: { share: number; act(client: Client): Promise<void> }[] = [
  { share: 30, act: placeOrder },
  { share: 25, act: leadOrder },
  { share: 12, act: transfer },
  { share: 8, act: deposit },
  { share: 4, act: withdraw },
  { share: 8, act: restock },
  { share: 3, act: adjust },
  { share: 4, act: reserve },
  { share: 2, act: freeze },
  { share: 4, act: look },
];

interface Client {
  caller: Caller;
  random: Random;
  world: World;
  /** Orders that this client has placed, or may have placed, and that have not ended. */
  orderIds: string[];
  name: string;
  count: number;
  /** Called with a promise of the API that was not kept. */
  broken(promise: string): void;
}

export interface ClientsOptions {
  system: System;
  world: World;
  seed: number;
  history: History;
  count: number;
  signal: AbortSignal;
  onAttempt(attempt: Attempt & { method: string }): void;
}

/**
 * Runs the clients until the signal fires. Returns the orders that were placed, or may have been placed, and the broken
 * promises.
 */
export async function runClients({ system, world, seed, history, count, signal, onAttempt }: ClientsOptions) {
  const token = await system.token({ subject: 'client', ttlSeconds: 4 * 3600 });
  const orderIds: string[] = [];
  const brokenPromises: string[] = [];
  const bag = actions.flatMap(({ share, act }) => Array.from({ length: share }, () => act));
  const working = Array.from({ length: count }, async (_, index) => {
    const name = `client-${index + 1}`;
    const random = createRandom(seed, name);
    const client: Client = {
      caller: createCaller({ name, system, token, history, random, onAttempt }),
      ...{ random, world, name, orderIds: [], count: 0 },
      broken: (promise) => brokenPromises.push(`${name}: ${promise}`),
    };
    while (!signal.aborted) {
      await random.pick(bag)(client);
      await new Promise((resolve) => setTimeout(resolve, random.int(0, 200)));
    }
    orderIds.push(...client.orderIds);
  });
  await Promise.all(working);
  return { orderIds, brokenPromises };
}

function idFor(client: Client, kind: string): string {
  client.count += 1;
  return `${kind}-${client.name}-${client.count}`;
}

async function placeOrder(client: Client): Promise<void> {
  const { random, world, caller } = client;
  const customerId = random.pick(world.customerIds);
  const first = random.int(0, world.productIds.length - 1);
  const lines = Array.from({ length: random.int(1, 3) }, (_, index) => ({
    productId: world.productIds[(first + index) % world.productIds.length]!,
    quantity: String(random.int(1, 3)),
  }));
  const cards = [
    'tok_approved',
    'tok_declined',
    'tok_error_then_ok_1',
    'tok_timeout_then_ok_1',
    'tok_conflict_then_ok_1',
  ];
  const paymentMethod = random.chance(0.6) ? { walletId: customerId } : { cardToken: random.pick(cards) };
  const orderId = idFor(client, 'order');
  const request = { orderId, customerId, country: 'UK', lines, paymentMethod };
  const { outcome, token } = await caller.command('PlaceOrder', request, { insist: random.chance(0.7) });
  if (outcome === 'refused') return;
  client.orderIds.push(orderId);
  if (outcome !== 'done') return;
  const seen = await caller.ask('GetOrder', { orderId }, token);
  if (seen?.status === 404) client.broken(`GetOrder ${orderId} was 404 after its own consistency token`);
}

/** Reads one of the client's orders, and takes its next step. */
async function leadOrder(client: Client): Promise<void> {
  const { random, caller, orderIds } = client;
  if (orderIds.length === 0) return;
  const orderId = random.pick(orderIds);
  if (random.chance(0.15)) {
    await caller.command('CancelOrder', { orderId, reason: 'changed my mind' }, { insist: random.chance(0.7) });
    return;
  }
  const order = (await caller.ask('GetOrder', { orderId }))?.body;
  if (order?.status !== 'ORDER_STATUS_CONFIRMED' || order.shipment?.status !== 'created') return;
  const insist = random.chance(0.7);
  const dispatched = await caller.command(
    'DispatchShipment',
    { shipmentId: orderId, carrier: 'Royal Mail' },
    { insist },
  );
  if (dispatched.outcome === 'done') await caller.command('DeliverShipment', { shipmentId: orderId }, { insist });
}

async function transfer({ random, world, caller }: Client): Promise<void> {
  const walletId = random.pick(world.customerIds);
  const toWalletId = random.pick(world.customerIds.filter((id) => id !== walletId));
  const request = { walletId, toWalletId, amount: pounds(random.int(1, 800)), reference: 'a debt' };
  await caller.command('Transfer', request, { insist: random.chance(0.5) });
}

async function deposit(client: Client): Promise<void> {
  const { random, world, caller } = client;
  const walletId = random.pick(world.customerIds);
  const reference = idFor(client, 'salary');
  const request = { walletId, amount: pounds(random.int(1, 300)), reference };
  const { outcome, token } = await caller.command('Deposit', request, { insist: random.chance(0.5) });
  if (outcome !== 'done') return;
  const seen = await caller.ask('ListTransactions', { walletId, pageSize: 100 }, token);
  const isThere = seen?.body?.transactions?.some((transaction: Json) => transaction.reference === reference);
  // Other clients move money of this wallet too: only on a full page may the transaction be missing.
  if (seen?.status === 200 && !isThere && seen.body.transactions.length < 100)
    client.broken(`ListTransactions of ${walletId} lacks ${reference} after its own consistency token`);
}

async function withdraw({ random, world, caller }: Client): Promise<void> {
  const request = { walletId: random.pick(world.customerIds), amount: pounds(random.int(1, 400)), reference: 'cash' };
  await caller.command('Withdraw', request, { insist: random.chance(0.5) });
}

async function restock({ random, world, caller }: Client): Promise<void> {
  const request = { productId: random.pick(world.productIds), quantity: String(random.int(1, 20)) };
  await caller.command('Restock', request, { insist: random.chance(0.5) });
}

async function adjust({ random, world, caller }: Client): Promise<void> {
  const request = {
    productId: random.pick(world.productIds),
    delta: String(random.pick([-3, -2, -1, 1])),
    reason: 'count',
  };
  await caller.command('AdjustStock', request, { insist: random.chance(0.5) });
}

/**
 * A reservation without an order, as other systems make them: reserved, then committed, released, or left to expire.
 */
async function reserve(client: Client): Promise<void> {
  const { random, world, caller } = client;
  const lines = [{ productId: random.pick(world.productIds), quantity: String(random.int(1, 4)) }];
  const reservationId = idFor(client, 'counter');
  const insist = random.chance(0.7);
  const { outcome } = await caller.command('ReserveStock', { reservationId, lines, ttl: '15s' }, { insist });
  if (outcome === 'refused') return;
  const then = random.pick(['CommitReservation', 'ReleaseReservation', undefined]);
  if (then) await caller.command(then, { reservationId, lines }, { insist });
}

async function freeze({ random, world, caller }: Client): Promise<void> {
  const walletId = random.pick(world.customerIds);
  await caller.command('FreezeWallet', { walletId, reason: 'a check' }, { insist: true });
  await new Promise((resolve) => setTimeout(resolve, random.int(0, 1_000)));
  await caller.command('UnfreezeWallet', { walletId }, { insist: true });
}

async function look({ random, world, caller }: Client): Promise<void> {
  const customerId = random.pick(world.customerIds);
  const productId = random.pick(world.productIds);
  const [method, request] = random.pick<[string, Json]>([
    ['GetWallet', { walletId: customerId }],
    ['ListOrders', { customerId, pageSize: 20 }],
    ['GetStockItem', { productId }],
    ['SearchProducts', { query: 'lamp' }],
    ['ListWallets', { customerId }],
    ['GetProduct', { productId }],
  ]);
  await caller.ask(method, request);
}
