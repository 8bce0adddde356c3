/**
 * PostgreSQL's disk is full while orders are placed. First the disk of its data, where statements that need space fail;
 * then that of its write-ahead log, where the server stops until there is space. See README, One fault at a time.
 */
import { newId } from '@caudal/kernel/ids.ts';
import { type SandboxGateway, startSandboxGateway } from '@caudal/service-payments/gateway/sandbox.ts';
import { afterAll, beforeAll, expect } from '@jest/globals';
import { Client } from 'pg';
import type { Api, Json, Reply } from '../e2e/api.ts';
import { openLogs, type SystemLogs } from '../e2e/logs.ts';
import { type System, startSystem } from '../e2e/system.ts';
import { systemTest } from '../e2e/system-test.ts';
import { expectBalanced, planOrders, runOrders } from '../e2e/traffic.ts';
import { until } from '../e2e/wait.ts';
import { newCustomer, newProduct, placeOrder, unique } from '../e2e/world.ts';
import { expectAllRight } from './all-right.ts';
import { describeNeeding, type Needs } from './describe-needing.ts';
import { canMount, type Disk, type PostgresOnSmallDisks, startPostgresOnSmallDisks } from './small-disks.ts';

/** The limit for clients in docs/operations.md, with some slack for a busy machine. */
const refusedWithinMs = 6_000;
const healsWithinMs = 20_000;
/** There is space again after this many refused commands. */
const refusals = 5;

const needs: Needs = {
  servers: ['rabbitmq', 'mongodb', 'elasticsearch', 'redis'],
  others: { 'right to mount a disk: run it as root': canMount() },
};

describeNeeding(needs, 'the disk of the database is full', () => {
  let postgres: PostgresOnSmallDisks;
  let system: System;
  let logs: SystemLogs;
  let gateway: SandboxGateway;

  beforeAll(async () => {
    postgres = await startPostgresOnSmallDisks();
    // Only for this test: jest gives each file an environment of its own.
    Object.assign(process.env, { POSTGRES_URL: postgres.url });
    gateway = await startSandboxGateway();
    system = await startSystem({ form: 'stores', env: () => ({ PAYMENTS_GATEWAY_URL: gateway.url }) });
    logs = openLogs(system);
  }, 120_000);

  afterAll(async () => {
    logs?.close();
    await system?.stop();
    await gateway?.stop();
    await postgres?.stop();
  }, 120_000);

  const it = systemTest(() => system);
  const api = () => system.api;

  /** A command that needs space, and whether it was refused. */
  interface Given {
    request: Json;
    refused: boolean;
  }

  /** Sends commands that need space until enough are refused. Between them, views are read and must answer. */
  async function writeInVain(orderId: string): Promise<Given[]> {
    const given: Given[] = [];
    const deadline = performance.now() + 60_000;
    while (given.filter(({ refused }) => refused).length < refusals) {
      if (performance.now() > deadline)
        throw new Error(`Of ${given.length} commands fewer than ${refusals} were refused.`);
      const request = { requestId: newId(), productId: unique('large'), title: 'Lamp', description: 'x'.repeat(4_000) };
      const began = performance.now();
      const answer = await api().send('CreateProduct', request);
      expect(performance.now() - began).toBeLessThan(refusedWithinMs);
      given.push({ request, refused: isRefused(answer) });
      for (const [method, query] of [
        ['GetOrder', { orderId }],
        ['ListWallets', { customerId: 'nobody' }],
        ['SearchProducts', {}],
      ] as const)
        expect([method, (await api().send(method, query)).status]).toEqual([method, 200]);
    }
    return given;
  }

  const eventsOf = (productId: string) =>
    logs.readers.get('catalog')!.readStreams([{ stream: `catalog.product/${productId}`, afterVersion: 0 }]);

  /**
   * Places orders, and while they are in flight fills the disk until commands have been refused. `takeEffect` returns
   * when PostgreSQL is affected.
   */
  async function survives(disk: Disk, takeEffect = async () => {}): Promise<Given[]> {
    const { orderId } = await orderOfAnother(api());
    const plan = await planOrders(api(), 20);
    const full = async () => {
      postgres.fill(disk);
      await takeEffect();
      const given = await writeInVain(orderId);
      postgres.free(disk);
      await postgres.start();
      await until('commands are done', () => orderOfAnother(api()).catch(() => undefined), Boolean, healsWithinMs);
      return given;
    };
    let outage: Promise<Given[]> | undefined;
    const ended = await runOrders(api(), plan, (count) => {
      if (count !== 4) return;
      outage = full();
      // It is awaited after the orders have ended.
      outage.catch(() => {});
    });
    const given = await outage!;
    await logs.settledHeads();
    const ids = new Set(plan.orders.map(({ request }) => request.orderId));
    const ledger = new Map([...gateway.ledger].filter(([orderId]) => ids.has(orderId)));
    await expectBalanced(api(), { plan, ended, ledger });
    return given;
  }

  /** No acknowledged command is lost; repeated ones are done once, whether or not they were refused before. */
  async function expectDoneOnce(given: Given[]): Promise<void> {
    for (const { request, refused } of given) {
      if (!refused) expect(await eventsOf(request.productId)).toHaveLength(1);
      await api().call('CreateProduct', request);
      expect(await eventsOf(request.productId)).toHaveLength(1);
    }
    await expectAllRight(system, logs);
  }

  it('of its data: commands that need space are refused, and leave nothing in the log', async () => {
    const given = await survives('data');
    for (const { request, refused } of given) if (refused) expect(await eventsOf(request.productId)).toEqual([]);
    await expectDoneOnce(given);
  }, 150_000);

  it('of its write-ahead log: the server stops; when it runs again, all acknowledged commands are there', async () => {
    const given = await survives('wal', () => useUpLog(postgres.url));
    await expectDoneOnce(given);
  }, 150_000);
});

/** Whether it was refused; if so, it must be refused as by an unreachable dependency. */
function isRefused({ status, body, headers }: Reply): boolean {
  if (status >= 200 && status < 300) return false;
  expect([status, body.reason]).toEqual([503, 'DEPENDENCY_UNAVAILABLE']);
  expect(headers.get('retry-after')).not.toBeNull();
  return true;
}

/** An order that is not counted, after its view shows it. */
async function orderOfAnother(api: Api): Promise<{ orderId: string }> {
  const [productId, customerId] = [await newProduct(api), await newCustomer(api)];
  const { orderId, reply } = await placeOrder(api, { productId, customerId });
  await api.call('GetOrder', { orderId }, { after: reply.token });
  return { orderId };
}

/**
 * Begins one file of the write-ahead log after the other, until there is no space for the next: then the server stops.
 */
async function useUpLog(url: string): Promise<void> {
  const client = new Client(url);
  client.on('error', () => {});
  await client.connect();
  for (let file = 0; file < 100; file++) {
    try {
      await client.query(
        "SELECT pg_switch_wal(), pg_logical_emit_message(true, 'fault', 'something to begin it with')",
      );
    } catch {
      return;
    }
  }
  throw new Error('There is still space for the write-ahead log.');
}
