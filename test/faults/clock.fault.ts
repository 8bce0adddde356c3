/**
 * Clocks jump while orders are in flight: those of all processes, of one process, of PostgreSQL; an hour back, and
 * forward again. Waits may end late by as much as a clock went back, or early by as much as it went ahead. But no order
 * is lost or left half done, nothing is sold twice, and money that is taken for nothing is given back.
 */
import { type SandboxGateway, startSandboxGateway } from '@caudal/service-payments/gateway/sandbox.ts';
import { afterAll, beforeAll, expect } from '@jest/globals';
import { Client } from 'pg';
import { borrow, type Kit } from '../../scripts/kit.ts';
import type { Api } from '../e2e/api.ts';
import { openLogs, type SystemLogs } from '../e2e/logs.ts';
import type { Part } from '../e2e/part.ts';
import { type System, startSystem } from '../e2e/system.ts';
import { systemTest } from '../e2e/system-test.ts';
import { expectBalanced, planOrders, runOrders } from '../e2e/traffic.ts';
import { until } from '../e2e/wait.ts';
import {
  balanceOf,
  newCustomer,
  newProduct,
  orderAt,
  orderConfirmed,
  orderOf,
  placeOrder,
  stockOf,
} from '../e2e/world.ts';
import { expectAllRight } from './all-right.ts';
import { describeNeeding, type Needs } from './describe-needing.ts';
import { type FakeClock, findFaketime, makeClock } from './fake-clock.ts';

const hourMs = 3_600_000;
const library = findFaketime();

const others = { 'faketime: apt-get install faketime': library !== undefined };
const needs: Needs = { servers: ['postgres', 'rabbitmq', 'mongodb', 'elasticsearch', 'redis'], others };
const needsBesidePostgres: Needs = { servers: ['rabbitmq', 'mongodb', 'elasticsearch', 'redis'], others };

describeNeeding(needs, 'clocks of processes', () => {
  let system: System;
  let logs: SystemLogs;
  let gateway: SandboxGateway;
  let api: Api;
  const clocks = new Map<string, FakeClock>();

  beforeAll(async () => {
    gateway = await startSandboxGateway();
    system = await startSystem({
      form: 'processes',
      env(part) {
        const clock = makeClock(library!);
        clocks.set(part, clock);
        return {
          PAYMENTS_GATEWAY_URL: gateway.url,
          PAYMENTS_GATEWAY_TIMEOUT: '2s',
          CAUDAL_RECONCILIATION_INTERVAL: '1s',
          CAUDAL_RECONCILIATION_MIN_AGE: '500ms',
          ...clock.env,
        };
      },
    });
    logs = openLogs(system);
    // Valid for longer than any clock here is ahead.
    api = system.api.as(await system.token({ subject: 'clock', ttlSeconds: (6 * hourMs) / 1_000 }));
  }, 120_000);

  afterAll(async () => {
    logs?.close();
    await system?.stop();
    for (const clock of clocks.values()) clock.remove();
    await gateway?.stop();
  }, 120_000);

  const it = systemTest(() => system);

  /** Sets the clocks of these processes, and waits until they show the new time. */
  async function set(offsetMs: number, parts = system.parts): Promise<void> {
    for (const { name } of parts) clocks.get(name)!.set(offsetMs);
    for (const part of parts)
      await until(
        `${part.name} shows the time`,
        () => offsetOf(part),
        (offset) => Math.abs(offset - offsetMs) < 60_000,
      );
  }

  it('every clock goes back an hour while orders are in flight, and forward again', async () => {
    const plan = await planOrders(api, 40);
    const jumps = oneAfterTheOther();
    const ended = await runOrders(api, plan, (count) => {
      if (count === 8) jumps.add(() => set(-hourMs));
      if (count === 28) jumps.add(() => set(0));
    });
    expect(await jumps.done()).toBe(2);
    await logs.settledHeads();
    await expectBalanced(api, { plan, ended, ledger: gateway.ledger });
    await expectAllRight(system, logs);
  }, 150_000);

  it('retries that were due when the clocks went back do not wait for an hour', async () => {
    const productId = await newProduct(api, { price: 100, quantity: 10 });
    const customerId = await newCustomer(api, 1_000);
    // The saga's requests for payments and shipments fail, so it sets timers to retry them.
    system.part('relay').pause(true);
    const orders = await Promise.all(Array.from({ length: 4 }, () => placeOrder(api, { customerId, productId })));
    await system.part('command').end('SIGKILL');
    system.part('relay').pause(false);
    const waiting = () => timersOf('fulfilment.process', system);
    await until('steps wait to be retried', waiting, (timers) => timers.filter((t) => t.retries > 1).length === 4);
    await set(
      -hourMs,
      system.parts.filter(({ name }) => name !== 'command'),
    );
    await system.part('command').start();
    clocks.get('command')!.set(-hourMs);
    for (const { orderId } of orders) await orderConfirmed(api, orderId);
    await set(0);
    expect(await balanceOf(api, customerId)).toBe(600);
  }, 90_000);

  it('an hour ahead: reservations of unpaid orders end, and others may buy; no piece is sold twice, no money is kept', async () => {
    const productId = await newProduct(api, { price: 100, quantity: 4 });
    const customerId = await newCustomer(api, 1_000);
    // The gateway takes the money, but its answer never arrives.
    const unpaid = await Promise.all(
      [1, 2].map(() => placeOrder(api, { customerId, productId, quantity: 2, card: 'tok_timeout' })),
    );
    await until(
      'all is reserved',
      () => stockOf(api, productId),
      ({ reserved }) => reserved === '4',
    );
    await set(hourMs);
    await until(
      'nothing is reserved',
      () => stockOf(api, productId),
      ({ available }) => available === '4',
    );
    const { orderId } = await placeOrder(api, { customerId, productId, quantity: 4 });
    await orderConfirmed(api, orderId);
    for (const { orderId: late } of unpaid) {
      const rejected = await orderAt(api, late, 'REJECTED', ({ payment }) => payment.status === 'voided');
      expect(rejected.reason).toBe('PAYMENT_TIMED_OUT');
      expect(gateway.ledger.get(late)).toMatchObject({ taken: 1, givenBack: 1 });
    }
    await set(0);
    expect(await stockOf(api, productId)).toMatchObject({ onHand: '0', reserved: '0' });
    expect(await balanceOf(api, customerId)).toBe(600);
  }, 90_000);

  // A reservation lasts for half an hour by the clock of the process that makes it, and ends by that of the process that
  // watches it. If these differ by an hour, an order is paid in time or loses three reservations: whichever comes first.
  it('the clock of one process, an hour back and an hour ahead of the others', async () => {
    const reserving = ['command', 'saga'];
    const productId = await newProduct(api, { price: 1, quantity: 100 });
    const customerId = await newCustomer(api, 1_000);
    let confirmed = 0;
    for (const part of system.parts) {
      const placed: Promise<string>[] = [];
      for (const offsetMs of [-hourMs, hourMs]) {
        await set(offsetMs, [part]);
        const order = orderOf({ customerId, productId });
        // The services' tokens may be invalid for other processes now. Then the call is answered after the clock is
        // right again.
        placed.push(api.insist('PlaceOrder', order).then(() => order.orderId));
      }
      await set(0, [part]);
      for (const orderId of await Promise.all(placed)) {
        if (reserving.includes(part.name) && (await hasExpired(orderId))) continue;
        await orderConfirmed(api, orderId);
        confirmed += 1;
      }
    }
    expect(confirmed).toBeGreaterThanOrEqual(2 * (system.parts.length - reserving.length));
    await logs.settledHeads();
    expect(await balanceOf(api, customerId)).toBe(1_000 - confirmed);
    expect(await stockOf(api, productId)).toMatchObject({ onHand: String(100 - confirmed), reserved: '0' });
    await expectAllRight(system, logs);
  }, 120_000);

  /** Waits until the order is confirmed (false), or has lost its reservations and its money is back (true). */
  async function hasExpired(orderId: string): Promise<boolean> {
    const { status, reason } = await until(
      `order ${orderId} confirmed or rejected`,
      async () => (await api.send('GetOrder', { orderId })).body,
      (order) =>
        order.status === 'ORDER_STATUS_CONFIRMED' ||
        (order.status === 'ORDER_STATUS_REJECTED' && order.payment?.status === 'refunded'),
    );
    if (status === 'ORDER_STATUS_CONFIRMED') return false;
    expect(reason).toBe('RESERVATION_EXPIRED');
    return true;
  }
});

describeNeeding(needsBesidePostgres, 'the clock of PostgreSQL', () => {
  let postgres: Kit;
  let clock: FakeClock;
  let system: System;
  let logs: SystemLogs;
  let gateway: SandboxGateway;

  beforeAll(async () => {
    clock = makeClock(library!);
    postgres = await borrow(['postgres'], { ...process.env, ...clock.env });
    // Only for this test: jest gives each file an environment of its own.
    Object.assign(process.env, { POSTGRES_URL: postgres.variables.POSTGRES_URL });
    gateway = await startSandboxGateway();
    system = await startSystem({ form: 'stores', env: () => ({ PAYMENTS_GATEWAY_URL: gateway.url }) });
    logs = openLogs(system);
  }, 120_000);

  afterAll(async () => {
    logs?.close();
    await system?.stop();
    await gateway?.stop();
    await postgres?.giveBack();
    clock?.remove();
  }, 120_000);

  const it = systemTest(() => system);

  /** Sets the clock, and waits until PostgreSQL shows it. */
  async function set(offsetMs: number): Promise<void> {
    clock.set(offsetMs);
    await until(
      'PostgreSQL shows the time',
      async () =>
        (await query<{ now: Date }>(system, 'SELECT clock_timestamp() AS now'))[0]!.now.getTime() - Date.now(),
      (offset) => Math.abs(offset - offsetMs) < 60_000,
    );
  }

  it('goes back an hour while orders are in flight, and forward again', async () => {
    const plan = await planOrders(system.api, 20);
    const jumps = oneAfterTheOther();
    const ended = await runOrders(system.api, plan, (count) => {
      if (count === 4) jumps.add(() => set(-hourMs));
      if (count === 12) jumps.add(() => set(hourMs));
    });
    expect(await jumps.done()).toBe(2);
    await set(0);
    await logs.settledHeads();
    await expectBalanced(system.api, { plan, ended, ledger: gateway.ledger });
    // The recorded time of events never goes back in the order of their positions.
    const backwards = `SELECT position FROM (
      SELECT position, recorded_at < lag(recorded_at) OVER (ORDER BY position) AS back FROM orders.events) e WHERE back`;
    expect(await query(system, backwards)).toEqual([]);
  }, 120_000);

  it('is an hour behind when everything starts again: the leases of killed processes hold up nothing', async () => {
    const productId = await newProduct(system.api, { price: 100, quantity: 10 });
    const customerId = await newCustomer(system.api, 1_000);
    const { orderId } = await placeOrder(system.api, { customerId, productId });
    await system.part('all').end('SIGKILL');
    await set(-hourMs);
    await system.part('all').start();
    await orderConfirmed(system.api, orderId);
    await set(0);
    const { orderId: next } = await placeOrder(system.api, { customerId, productId });
    await orderConfirmed(system.api, next);
    await expectAllRight(system, logs);
  }, 90_000);
});

/** Runs each work after the one before it has ended, however fast they are added. */
function oneAfterTheOther() {
  let last = Promise.resolve();
  let count = 0;
  return {
    add(work: () => Promise<void>) {
      last = last.then(work).then(() => {
        count += 1;
      });
      // done() reports the error.
      last.catch(() => {});
    },
    /** How many have run. */
    done: () => last.then(() => count),
  };
}

/** The difference between the process's clock and this one's. */
async function offsetOf({ grpc, name }: Part): Promise<number> {
  const answer = await fetch(`http://${grpc}/readyz`);
  await answer.arrayBuffer();
  const date = answer.headers.get('date');
  if (!date) throw new Error(`${name} sends no date header`);
  return new Date(date).getTime() - Date.now();
}

/** The timers of a handler of the context orders, with how often each has been retried. */
function timersOf(handler: string, system: System): Promise<{ id: string; retries: number }[]> {
  return query(system, 'SELECT id, retries FROM orders.timers WHERE handler = $1', [handler]);
}

async function query<T extends object>(system: System, sql: string, values: unknown[] = []): Promise<T[]> {
  const client = new Client({ connectionString: system.stores!.databaseUrl });
  await client.connect();
  try {
    return (await client.query<T>(sql, values)).rows;
  } finally {
    await client.end();
  }
}
