/**
 * The system as processes, a role each, on the real servers: killed in the middle of work, cut off from their stores,
 * rebuilt under way. Whatever happens, every order ends, and the views are what a fold of the logs says.
 */
import { type SandboxGateway, startSandboxGateway } from '@caudal/service-payments/gateway/sandbox.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { serverUrl } from '@caudal/testing/servers.ts';
import { startTcpProxy, type TcpProxy, through } from '@caudal/testing/tcp-proxy.ts';
import { afterAll, beforeAll, expect } from '@jest/globals';
import type { Json } from './api.ts';
import { openLogs, type SystemLogs } from './logs.ts';
import { type System, startSystem } from './system.ts';
import { systemTest } from './system-test.ts';
import { expectBalanced, planOrders, runOrders } from './traffic.ts';
import { until } from './wait.ts';
import {
  balanceOf,
  deliver,
  newCustomer,
  newProduct,
  orderAt,
  orderConfirmed,
  orderOf,
  placeOrder,
  pounds,
  unique,
} from './world.ts';

const servers = ['postgres', 'rabbitmq', 'mongodb', 'elasticsearch', 'redis'] as const;

describeWith([...servers], 'a process a role, on the real servers', () => {
  let system: System;
  let logs: SystemLogs;
  let gateway: SandboxGateway;
  const proxies: Record<string, TcpProxy> = {};

  beforeAll(async () => {
    gateway = await startSandboxGateway();
    for (const name of ['mongodb', 'elasticsearch', 'redis'] as const) {
      proxies[name] = await startTcpProxy(serverUrl(name));
    }
    proxies.projectorMongodb = await startTcpProxy(serverUrl('mongodb'));
    proxies.postgres = await startTcpProxy(serverUrl('postgres'));
    system = await startSystem({
      form: 'processes',
      databaseRole: 'application',
      env: (part, stores) => ({
        PAYMENTS_GATEWAY_URL: gateway.url,
        PAYMENTS_GATEWAY_TIMEOUT: '2s',
        CAUDAL_RECONCILIATION_INTERVAL: '1s',
        CAUDAL_RECONCILIATION_MIN_AGE: '500ms',
        ...(part === 'projector' && { MONGODB_URL: through(proxies.projectorMongodb!, stores!.env.MONGODB_URL!) }),
        ...(part === 'command' && { DATABASE_URL: through(proxies.postgres!, stores!.env.DATABASE_URL!) }),
        ...(part === 'query' && {
          MONGODB_URL: through(proxies.mongodb!, stores!.env.MONGODB_URL!),
          ELASTICSEARCH_URL: proxies.elasticsearch!.url,
          REDIS_URL: proxies.redis!.url,
        }),
      }),
    });
    logs = openLogs(system);
  }, 120_000);

  afterAll(async () => {
    logs?.close();
    await system?.stop();
    for (const proxy of Object.values(proxies)) await proxy.close();
    await gateway?.stop();
  }, 120_000);

  const it = systemTest(() => system);
  const api = () => system.api;

  /** Every view is what the logs say, and nothing is a dead letter. */
  async function expectRight(): Promise<void> {
    await logs.settledHeads();
    const { right, views } = JSON.parse(await system.caudal('verify', 'all', '--json'));
    const wrong = views.filter((view: Json) => !view.right);
    expect({ right, wrong }).toEqual({ right: true, wrong: [] });
    expect(views.length).toBeGreaterThan(5);
    expect(await system.stores!.deadLetters()).toEqual([]);
  }

  it('an order goes through all of them', async () => {
    const productId = await newProduct(api(), { price: 700, quantity: 3 });
    const customerId = await newCustomer(api(), 1_000);
    const { orderId, reply } = await placeOrder(api(), { customerId, productId });
    const seen = await api().call('GetOrder', { orderId }, { after: reply.token });
    expect(seen.body).toMatchObject({ orderId, customerId });
    await orderConfirmed(api(), orderId);
    await deliver(api(), orderId);
    await orderAt(api(), orderId, 'DELIVERED');
    // A view of its own, which may be a moment behind that of orders.
    const debited = await until(
      'the wallet is debited',
      () => balanceOf(api(), customerId),
      (left) => left === 300,
    );
    expect(debited).toBe(300);
  }, 60_000);

  it('kill -9 of each role in the middle of a hundred orders', async () => {
    const plan = await planOrders(api(), 100);
    const killAt: Record<number, string> = { 8: 'projector', 28: 'relay', 48: 'saga', 68: 'command' };
    const restarts: Promise<void>[] = [];
    const kill = async (name: string) => {
      expect(await system.part(name).end('SIGKILL')).toBe('SIGKILL');
      await system.part(name).start();
    };
    const ended = await runOrders(api(), plan, (count) => {
      const name = killAt[count];
      if (name) restarts.push(kill(name));
    });
    await Promise.all(restarts);
    expect(restarts).toHaveLength(4);

    await logs.settledHeads();
    await expectBalanced(api(), { plan, ended, ledger: gateway.ledger });
    const statuses = new Set(ended.map(({ status }) => status));
    expect([...statuses].sort()).toEqual(['ORDER_STATUS_CANCELLED', 'ORDER_STATUS_DELIVERED', 'ORDER_STATUS_REJECTED']);
    await expectRight();
  }, 150_000);

  it('sales of all orders are exact, though their projector is killed and they are rebuilt under way', async () => {
    const productId = await newProduct(api(), { price: 100, quantity: 100 });
    const customerId = await newCustomer(api(), 10_000);
    const country = unique('Ruritania');
    const orderIds: string[] = [];
    const place = async () => {
      const request = { ...orderOf({ customerId, productId }), country };
      const { token } = await api().call('PlaceOrder', request);
      orderIds.push(request.orderId);
      return token;
    };
    const sum = (days: Json[], of: string) => days.reduce((all, day) => all + Number(day[of]), 0);

    for (let order = 0; order < 4; order++) await place();
    expect(await system.part('projector').end('SIGKILL')).toBe('SIGKILL');
    for (let order = 0; order < 2; order++) await place();
    await system.part('projector').start();
    let rebuilding = true;
    const rebuilt = system.caudal('rebuild', 'sales-by-day', '--json').finally(() => {
      rebuilding = false;
    });
    while (rebuilding && orderIds.length < 20) await place();
    expect(JSON.parse(await rebuilt)).toMatchObject({ generation: 2, replaced: 1, failed: [], fed: true });

    // Queries are of another process than the projector.
    const after = await place();
    const seen = await until(
      'the sales with the order just placed',
      () => api().send('ListSales', { country }, { after }),
      ({ status }) => status !== 503,
    );
    expect([seen.status, sum(seen.body.sales, 'placedOrders')]).toEqual([200, orderIds.length]);
    const sold = await until(
      'all of them are sold',
      async () => (await api().call('ListSales', { country })).body.sales as Json[],
      (days) => sum(days, 'soldOrders') === orderIds.length,
      60_000,
    );
    expect(sold.flatMap(({ revenue }) => revenue).reduce((all, { minorUnits }) => all + Number(minorUnits), 0)).toBe(
      100 * orderIds.length,
    );
    expect(JSON.parse(await system.caudal('verify', 'sales-by-day', '--json')).right).toBe(true);
  }, 180_000);

  it('MongoDB away from the projector for 20 s: nothing becomes a dead letter, and the views catch up', async () => {
    const productId = await newProduct(api(), { quantity: 5 });
    const customerId = await newCustomer(api());
    const { orders: before = 0 } = await logs.heads();
    away(proxies.projectorMongodb!);
    const orderIds: string[] = [];
    for (let order = 0; order < 3; order++) {
      orderIds.push((await placeOrder(api(), { customerId, productId })).orderId);
    }
    // The orders go on without the views.
    const heads = await logs.settledHeads();
    expect(heads.orders! - before).toBeGreaterThan(3 * 3);
    const stale = await api().send('GetOrder', { orderId: orderIds[0] });
    expect(stale.status).toBe(404);
    // Long beyond every retry.
    await new Promise((resolve) => setTimeout(resolve, 20_000));
    expect(await system.stores!.deadLetters()).toEqual([]);
    back(proxies.projectorMongodb!);
    for (const orderId of orderIds) await orderConfirmed(api(), orderId);
    await expectRight();
  }, 90_000);

  it('a store away from the queries: 503 soon, never 500, and well again', async () => {
    const walletId = await newCustomer(api(), 100);
    const cases: { store: string; call(): Promise<{ status: number; body: Json; headers: Headers }> }[] = [
      { store: 'mongodb', call: () => api().send('ListWallets', { customerId: walletId }) },
      { store: 'elasticsearch', call: () => api().send('SearchProducts', {}) },
      { store: 'postgres', call: () => api().send('Deposit', { walletId, amount: pounds(1) }) },
    ];
    for (const { store, call } of cases) {
      expect([store, (await call()).status]).toEqual([store, 200]);
      away(proxies[store]!);
      for (let attempt = 1; attempt <= 3; attempt++) {
        const began = performance.now();
        const { status, body, headers } = await call();
        expect([store, status, body.reason]).toEqual([store, 503, 'DEPENDENCY_UNAVAILABLE']);
        expect(headers.get('retry-after')).not.toBeNull();
        expect(performance.now() - began).toBeLessThan(6_000);
      }
      back(proxies[store]!);
      const healed = await until(`${store} is back`, call, ({ status }) => status !== 503);
      expect([store, healed.status]).toEqual([store, 200]);
    }
    // The shared cache is not needed.
    away(proxies.redis!);
    for (let attempt = 1; attempt <= 3; attempt++) {
      const began = performance.now();
      expect((await api().send('GetWallet', { walletId })).status).toBe(200);
      expect(performance.now() - began).toBeLessThan(2_000);
    }
    back(proxies.redis!);
  }, 90_000);

  it('a rebuild while commands keep coming: queries see no gap, and nothing happens twice', async () => {
    const productId = await newProduct(api(), { price: 1, quantity: 1_000 });
    const customerId = await newCustomer(api(), 1_000);
    const charges = gateway.requests();
    let rebuilding = true;
    const placed: string[] = [];
    const buying = (async () => {
      while (rebuilding) {
        const { orderId, reply } = await placeOrder(api(), { customerId, productId });
        placed.push(orderId);
        // Every order is there from its first moment on, in every generation.
        await api().call('GetOrder', { orderId }, { after: reply.token });
        const { orders } = (await api().call('ListOrders', { customerId, pageSize: 100 })).body;
        expect(orders.length).toBe(Math.min(placed.length, 100));
        const old = placed[Math.floor(placed.length / 2)]!;
        expect((await api().send('GetOrder', { orderId: old })).status).toBe(200);
      }
    })();
    const rebuilt = (async () => {
      const report = JSON.parse(await system.caudal('rebuild', 'order-details', '--json'));
      expect(report).toMatchObject({ generation: 2, replaced: 1, failed: [], fed: true });
    })().finally(() => {
      rebuilding = false;
    });
    await Promise.allSettled([buying, rebuilt]);
    await Promise.all([buying, rebuilt]);
    expect(placed.length).toBeGreaterThan(5);
    for (const orderId of placed) await orderConfirmed(api(), orderId);
    expect(gateway.requests()).toBe(charges);
    await expectRight();
    expect(await balanceOf(api(), customerId)).toBe(1_000 - placed.length);
  }, 120_000);

  it('all of them stop in order', async () => {
    for (const part of system.parts) expect([part.name, await part.end('SIGTERM')]).toEqual([part.name, 0]);
  }, 90_000);
});

function away(proxy: TcpProxy): void {
  proxy.refuse(true);
  proxy.cut();
}

function back(proxy: TcpProxy): void {
  proxy.refuse(false);
}
