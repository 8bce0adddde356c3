/**
 * The turn of a log is held, so that no other session can append: by another program's transaction, by a session of
 * Caudal that has stopped, by a server process that is stopped in the middle of an append. See README, One fault at a
 * time.
 */
import { fulfilment } from '@caudal/contract/entities.ts';
import { OrderServiceService, PlaceOrderRequest } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { newEvent } from '@caudal/eventlog/codec.ts';
import { openEventLog } from '@caudal/eventlog/event-log.ts';
import type { CaudalError } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { openDatabase } from '@caudal/postgres/database.ts';
import { openPipeline } from '@caudal/postgres/pipeline.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, expect } from '@jest/globals';
import { Client } from 'pg';
import type { Json } from '../e2e/api.ts';
import { openGrpc } from '../e2e/grpc.ts';
import { openLogs, type SystemLogs } from '../e2e/logs.ts';
import { freePorts } from '../e2e/part.ts';
import { type System, startSystem } from '../e2e/system.ts';
import { systemTest } from '../e2e/system-test.ts';
import { until } from '../e2e/wait.ts';
import { balanceOf, newCustomer, newProduct, orderConfirmed, orderOf } from '../e2e/world.ts';
import { expectAllRight } from './all-right.ts';
import { alertExpression, partsOf, readMetrics } from './metrics.ts';

const blocked = 'eventlog_append_blocked_total';
const takeTurn = "SELECT pg_advisory_xact_lock(1667331428, 'orders.events'::regclass::oid::int)";
const money = 1_000;
/** Calls have 5 s by default. Within this time an append must be refused, because it gets no turn. */
const answeredWithinMs = 5_000;
/**
 * A session of Caudal may stand idle in a transaction for 15 s (packages/postgres/src/connection.ts); the rest is
 * slack.
 */
const endedWithinMs = 15_000 + 3_000;

describeWith(['postgres', 'rabbitmq', 'mongodb', 'elasticsearch', 'redis'], 'an append that is held up', () => {
  let system: System;
  let logs: SystemLogs;
  let metricsPort: number;
  let admin: Client;
  let productId: string;
  let customerId: string;
  let placed = 0;

  beforeAll(async () => {
    [metricsPort] = (await freePorts(1)) as [number];
    system = await startSystem({ form: 'stores', env: () => ({ CAUDAL_METRICS_PORT: String(metricsPort) }) });
    logs = openLogs(system);
    admin = await connectAs('admin');
    productId = await newProduct(system.api, { price: 1, quantity: 1_000 });
    customerId = await newCustomer(system.api, money);
  }, 120_000);

  afterAll(async () => {
    logs?.close();
    await admin?.end();
    await system?.stop();
  }, 120_000);

  const it = systemTest(() => system);
  const order = () => ({ requestId: newId(), ...orderOf({ customerId, productId }) });

  async function connectAs(application: string): Promise<Client> {
    const url = system.stores!.databaseUrl;
    const client = new Client({ connectionString: url, application_name: application });
    client.on('error', () => {});
    await client.connect();
    return client;
  }

  /** How many appends to the log of orders this application has held up. */
  const blockedBy = async (application: string) =>
    (await readMetrics(metricsPort))(blocked, { domain: 'orders', application });

  /** Places some orders at once, over REST and gRPC: each is refused in time, as by an unreachable dependency. */
  async function expectRefused(requests: Json[]): Promise<void> {
    const grpc = openGrpc(system.part('all').grpc);
    // The same caller over both, because a request id is valid per caller.
    const token = await system.token({ subject: 'e2e' });
    const overRest = async (request: Json) => (await system.api.send('PlaceOrder', request)).body;
    const overGrpc = (request: Json) => {
      const bytes = PlaceOrderRequest.encode(PlaceOrderRequest.fromJSON(request)).finish();
      return grpc.refusal(OrderServiceService.placeOrder.path, bytes, token);
    };
    await Promise.all(
      requests.map(async (request, index) => {
        const began = performance.now();
        const answer = await (index % 2 === 0 ? overRest(request) : overGrpc(request));
        expect(answer).toMatchObject({ code: 'UNAVAILABLE', reason: 'DEPENDENCY_UNAVAILABLE' });
        expect(performance.now() - began).toBeLessThan(answeredWithinMs);
      }),
    ).finally(() => grpc.close());
  }

  /** Refused commands are repeated, as clients do: each succeeds, and is done once. */
  async function expectDoneOnce(requests: Json[]): Promise<void> {
    for (const request of requests) await system.api.insist('PlaceOrder', request);
    for (const { orderId } of requests) {
      await orderConfirmed(system.api, orderId);
      const cursor = { stream: `orders.order/${orderId}`, afterVersion: 0 };
      const events = await logs.readers.get('orders')!.readStreams([cursor]);
      expect(events.filter(({ type }) => type === 'orders.order.created.v1')).toHaveLength(1);
    }
    placed += requests.length;
    expect(await balanceOf(system.api, customerId)).toBe(money - placed);
  }

  it('by another program: callers are refused in time, the alert names the program, and other contexts continue', async () => {
    const name = 'report of somebody';
    const { metrics, labels } = partsOf(alertExpression('CaudalLogHeldUp'));
    expect(metrics).toEqual([blocked]);
    expect(labels.sort()).toEqual(['application', 'domain']);
    const before = await blockedBy(name);

    const requests = Array.from({ length: 6 }, order);
    const stranger = await connectAs(name);
    try {
      await stranger.query('BEGIN');
      await stranger.query(takeTurn);
      const began = performance.now();
      await expectRefused(requests.slice(0, 4));
      // Other contexts, views and strong reads do not wait.
      const walletId = await newCustomer(system.api, 1);
      expect(await balanceOf(system.api, walletId)).toBe(1);
      await system.api.call('ListOrders', { customerId });
      // Later calls are refused as soon, for as long as the turn is held.
      await expectRefused(requests.slice(4));
      expect(performance.now() - began).toBeLessThan(2 * answeredWithinMs);
      expect(await blockedBy(name)).toBeGreaterThan(before);
      expect(await system.part('all').isReady()).toBe(true);
    } finally {
      await stranger.end();
    }
    await expectDoneOnce(requests);
  }, 90_000);

  it('by a session of Caudal that has stopped: the server ends it', async () => {
    const name = 'caudal-standing-still';
    const database = openDatabase({ url: system.stores!.databaseUrl, schema: 'orders', applicationName: name });
    const holding = Promise.withResolvers<void>();
    const standing = Promise.withResolvers<void>();
    const transaction = database.transaction(async (tx) => {
      await tx.query({ text: takeTurn });
      holding.resolve();
      await standing.promise;
    });
    const ended = transaction.then(
      () => 'committed',
      ({ code }: CaudalError) => code,
    );
    await holding.promise;
    const began = performance.now();
    const requests = [order(), order()];
    await expectRefused(requests);
    expect(await blockedBy(name)).toBeGreaterThan(0);
    // No operator intervenes.
    await expectDoneOnce(requests);
    expect(performance.now() - began).toBeLessThan(endedWithinMs + answeredWithinMs);
    standing.resolve();
    expect(await ended).toBe('UNAVAILABLE');
    await database.close();
  }, 90_000);

  it('by a server process that is stopped in the middle of an append', async () => {
    // The test can stop the append for certain if it waits for another table while it has the turn.
    const table = await connectAs('table');
    await table.query('BEGIN');
    await table.query('LOCK TABLE orders.claims IN ACCESS EXCLUSIVE MODE');
    const [caught, ...others] = Array.from({ length: 4 }, order) as [Json, ...Json[]];
    const first = system.api.send('PlaceOrder', caught).catch(() => undefined);
    const [{ pid, application }] = (await until(
      'an append waits that has the turn',
      async () => (await admin.query<{ pid: number; application: string }>(waitingAppends)).rows,
      (found) => found.length === 1,
    )) as [{ pid: number; application: string }];
    process.kill(pid, 'SIGSTOP');
    try {
      await table.query('ROLLBACK');
      // An append of another process waits for its turn; one of the same process waits behind the call that does not
      // return.
      const elsewhere = otherAppender(system.stores!.databaseUrl);
      const began = performance.now();
      const other = elsewhere.append();
      await expectRefused(others);
      await expect(other).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      expect(performance.now() - began).toBeLessThan(answeredWithinMs);
      expect((await first)?.status).toBe(503);
      expect(await blockedBy(application)).toBeGreaterThan(0);
      await elsewhere.close();
    } finally {
      process.kill(pid, 'SIGCONT');
      await table.end();
    }
    await expectDoneOnce([caught, ...others]);
  }, 90_000);

  it('not by a process of Caudal that is stopped: PostgreSQL ends its appends', async () => {
    const requests = Array.from({ length: 20 }, order);
    const answers = Promise.allSettled(requests.map((request) => system.api.send('PlaceOrder', request)));
    const elsewhere = otherAppender(system.stores!.databaseUrl);
    const head = async () =>
      Number((await admin.query('SELECT coalesce(max(position), 0) AS position FROM orders.events')).rows[0].position);
    const before = await head();
    await until('the first is recorded', head, (now) => now > before);
    system.part('all').pause(true);
    try {
      for (let append = 0; append < 10; append++) {
        const began = performance.now();
        expect(await elsewhere.append()).toMatchObject({ kind: 'appended' });
        expect(performance.now() - began).toBeLessThan(answeredWithinMs);
      }
    } finally {
      system.part('all').pause(false);
    }
    await elsewhere.close();
    await answers;
    await expectDoneOnce(requests);
    await expectAllRight(system, logs);
  }, 90_000);
});

/** The append that waits for a lock on the table of claims: it has the turn. */
const waitingAppends = `SELECT a.pid, a.application_name AS application FROM pg_locks l JOIN pg_stat_activity a USING (pid)
  WHERE NOT l.granted AND l.relation = 'orders.claims'::regclass`;

/** Another process that appends to the log of orders: this one. Its events are of orders that do not exist. */
function otherAppender(url: string) {
  const connection = { url, schema: 'orders', applicationName: 'elsewhere' };
  const [database, appender] = [openDatabase(connection), openPipeline({ ...connection, lockTimeoutMs: 3_000 })];
  const log = openEventLog({ database, appender, domain: 'orders', retryForMs: 2_000 });
  const origin = { actor: 'elsewhere', causationId: '', correlationId: '', traceparent: '' };
  return {
    append: () =>
      log.append({
        stream: fulfilment.stream(newId()),
        expected: 0,
        events: [newEvent({ entity: fulfilment, event: { $case: 'delivered', value: {} }, origin, now: new Date() })],
      }),
    async close() {
      await log.stop();
      await Promise.all([appender.close(), database.close()]);
    },
  };
}
