import { position } from '@caudal/postgres/checkpoint.ts';
import { type Database, openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { migrations } from '@caudal/postgres/migrations.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { type FreshDatabase, freshDatabase } from '@caudal/testing/servers.ts';
import { until } from '@caudal/testing/until.ts';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { grow, versions } from '../testing/doubles.ts';
import type { Feed } from '../types.ts';
import { logFeed } from './log-feed.ts';
import { shareTail } from './shared-tail.ts';

describeWith(['postgres'], 'logFeed', () => {
  let fresh: FreshDatabase;
  let database: Database;
  let count = 0;
  const stops: (() => Promise<void>)[] = [];

  beforeAll(async () => {
    fresh = await freshDatabase();
    await migrate({ url: fresh.url, schema: 'views', sets: [migrations] });
    database = openDatabase({ url: fresh.url, schema: 'views' });
  });
  afterEach(async () => {
    await Promise.all(stops.splice(0).map((stop) => stop()));
  });
  afterAll(async () => {
    await database.close();
    await fresh.drop();
  });

  function start(feed: Feed, deliver = async () => {}) {
    const ended = new AbortController();
    const got: string[] = [];
    let inFlight = 0;
    const running = feed.run(async (events) => {
      if (++inFlight > 1) throw new Error('two batches at a time');
      try {
        await deliver();
        got.push(...events.map(({ stream, version }) => `${stream}@${version}`));
      } finally {
        inFlight -= 1;
      }
    }, ended.signal);
    const stop = async () => {
      ended.abort();
      await running;
    };
    stops.push(stop);
    return { got, stop };
  }

  const given = () => {
    const orders = memoryLog({ domain: 'orders' });
    const payments = memoryLog({ domain: 'payments' });
    const logs = new Map([orders, payments].map((log) => [log.domain, log]));
    const handler = { name: `handler-${count++}.v1`, entities: ['orders.order', 'payments.payment'] };
    return { orders, payments, logs, handler };
  };

  test('brings the events of its entities from all logs, in order, one batch at a time', async () => {
    const { orders, payments, logs, handler } = given();
    await grow(orders, 'orders.order/1', 300);
    await grow(orders, 'orders.fulfilment/1', 300);
    const { got } = start(logFeed({ handler, logs, database, maxBatch: 64 }));
    await grow(payments, 'payments.payment/1', 300);
    await until(() => got.length === 600);
    const of = (stream: string) => got.filter((name) => name.startsWith(stream));
    expect(of('orders.order/1')).toEqual(versions(300).map((version) => `orders.order/1@${version}`));
    expect(of('payments.payment/1')).toEqual(versions(300).map((version) => `payments.payment/1@${version}`));
  });

  test('continues from its checkpoint, past events that it does not follow', async () => {
    const { orders, logs, handler } = given();
    await grow(orders, 'orders.order/1', 3);
    await grow(orders, 'orders.fulfilment/1', 3);
    const first = start(logFeed({ handler, logs, database }));
    await until(async () => (await position(database, `feed:${handler.name}:orders`)) === 6);
    await grow(orders, 'orders.order/1', 1);
    await until(() => first.got.length === 4);
    await first.stop();
    expect(await position(database, `feed:${handler.name}:orders`)).toBe(7);
    await grow(orders, 'orders.order/1', 2);
    const second = start(logFeed({ handler, logs, database }));
    await until(() => second.got.length === 2);
    expect(second.got).toEqual(['orders.order/1@5', 'orders.order/1@6']);
  });

  test('events that could not be delivered are delivered again', async () => {
    const { orders, logs, handler } = given();
    await grow(orders, 'orders.order/1', 3);
    let failures = 0;
    const { got } = start(logFeed({ handler, logs, database }), async () => {
      if (failures++ < 1) throw new Error('not settled');
    });
    await until(() => got.length === 3);
    expect(failures).toBe(2);
  });

  test('of two processes one feeds; if it dies the other continues', async () => {
    const { orders, logs, handler } = given();
    // It "dies": its database no longer answers, so that it neither renews nor releases its lease.
    let dead = false;
    const mortal: Database = {
      ...database,
      query: (statement) => (dead ? Promise.reject(new Error('dead')) : database.query(statement)),
    };
    // Long enough that a busy machine does not lose the lease by being slow.
    const ttlMs = 3_000;
    const one = start(logFeed({ handler, logs, database: mortal, holder: 'one', ttlMs }));
    await grow(orders, 'orders.order/1', 2);
    await until(() => one.got.length === 2);
    let asked = 0;
    const counting: Database = {
      ...database,
      query: async (statement) => {
        const rows = await database.query(statement);
        if (statement.name === 'checkpoint-acquire') asked += 1;
        return rows as never;
      },
    };
    const two = start(logFeed({ handler, logs, database: counting, holder: 'two', ttlMs }));
    // It has tried to take the lease of each of both logs, and has not got it.
    await until(async () => asked >= 2 && (await position(database, `feed:${handler.name}:orders`)) === 2);
    await grow(orders, 'orders.order/1', 1);
    await until(() => one.got.length === 3);
    expect(two.got).toEqual([]);
    dead = true;
    await grow(orders, 'orders.order/1', 1);
    await until(() => two.got.includes('orders.order/1@4'));
  });
});

describeWith([], 'shareTail', () => {
  test('readers at the end share one read; one behind reads the window, one far behind the log', async () => {
    const log = memoryLog({ domain: 'orders' });
    const reads: number[] = [];
    const counted = {
      ...log,
      readLog: (...args: Parameters<typeof log.readLog>) => {
        reads.push(args[0]);
        return log.readLog(...args);
      },
    };
    const shared = shareTail(counted, { windowBytes: 1_000 });
    const waiting = versions(15).map(() => shared.readLog(0, { waitMs: 1_000 }));
    await grow(log, 'orders.order/1', 20);
    const results = await Promise.all(waiting);
    expect(results.map(({ events }) => events.length)).toEqual(versions(15).map(() => 20));
    reads.length = 0;
    expect((await shared.readLog(12, { waitMs: 1_000 })).events.map(({ version }) => version)).toEqual(
      versions(8).map((n) => n + 12),
    );
    expect(reads).toEqual([]);
    const atEnd = versions(15).map(() => shared.readLog(20, { waitMs: 1_000 }));
    await grow(log, 'orders.order/1', 3);
    for (const { events, head } of await Promise.all(atEnd)) {
      expect(events.map(({ version }) => version)).toEqual([21, 22, 23]);
      expect(head).toBe(23);
    }
    expect(reads).toEqual([20]);
    expect((await shared.readLog(2, { limit: 5 })).events.map(({ version }) => version)).toEqual([3, 4, 5, 6, 7]);
    expect(reads).toEqual([20, 2]);
  });

  test('a reader gives up after its own time, or at its signal', async () => {
    // The shared read continues: it ends only with the test, however slow the machine is.
    const log = memoryLog({ domain: 'orders' });
    const { promise: ended, resolve: end } = Promise.withResolvers<{ events: []; head: number }>();
    const shared = shareTail({ ...log, readLog: () => ended });
    expect(await shared.readLog(0, { waitMs: 20 })).toEqual({ events: [], head: 0 });
    const aborted = shared.readLog(0, { waitMs: 60_000, signal: AbortSignal.timeout(20) });
    expect((await aborted).events).toEqual([]);
    end({ events: [], head: 0 });
  });
});
