/** The upgrade from one queue a handler, and back, on a real RabbitMQ and PostgreSQL; and fewer parts. */
import { openEventLog } from '@caudal/eventlog/event-log.ts';
import { migrations as logMigrations } from '@caudal/eventlog/migrations.ts';
import type { Running } from '@caudal/kernel/lifetime.ts';
import { sleep } from '@caudal/kernel/time.ts';
import { openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { migrations as postgresMigrations } from '@caudal/postgres/migrations.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { type FreshDatabase, freshDatabase } from '@caudal/testing/servers.ts';
import { until } from '@caudal/testing/until.ts';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { openMembers } from '../members/members.ts';
import { migrations } from '../migrations.ts';
import { followerRegistry, selectFollowers } from '../relay/followers.ts';
import { startRelay } from '../relay/relay.ts';
import { runSubscription } from '../subscription/subscription.ts';
import { grow, testHandler, versions } from '../testing/doubles.ts';
import { testBroker } from '../testing/rabbit.ts';
import { oldFeed, startOldRelay } from '../testing/version-02.ts';
import { rabbitFeed } from './rabbit-feed.ts';
import { bindHandler } from './register.ts';
import { inspectQueue, partQueueName, queueName } from './topology.ts';

const slow = 60_000;
const name = 'order-list.v1';
const entities = ['orders.order'];

describeWith(['postgres', 'rabbitmq'], 'queues of before', () => {
  let fresh: FreshDatabase;
  let count = 0;
  const cleanups: (() => Promise<unknown>)[] = [];

  beforeAll(async () => {
    fresh = await freshDatabase();
  });
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });
  afterAll(() => fresh.drop());

  async function given() {
    const schema = `s${count++}`;
    await migrate({ url: fresh.url, schema, sets: [postgresMigrations, logMigrations, migrations] });
    const database = openDatabase({ url: fresh.url, schema });
    cleanups.push(() => database.close());
    const rabbit = testBroker();
    cleanups.push(() => rabbit.close());
    rabbit.owns([name], ['orders']);
    const { broker } = rabbit;
    const log = openEventLog({ database, domain: 'orders' });
    cleanups.push(() => log.stop());
    const logs = new Map([['orders', log]]);
    const registries = new Map([['orders', followerRegistry(database, 'orders')]]);
    /** The views, of which all consumers of the handler write the same. */
    const applied = new Map<string, number[]>();
    const running = (of: Running) => {
      let stopped: Promise<void> | undefined;
      const stop = () => (stopped ??= of.stop());
      cleanups.push(stop);
      return stop;
    };
    let processes = 0;
    const start = {
      oldRelay: () => running(startOldRelay({ log, database, broker, holder: `old-${processes++}` })),
      newRelay: () => running(startRelay({ log, database, broker, ttlMs: 2_000, holder: `new-${processes++}` })),
      oldHandler: () => {
        const handler = testHandler(name, entities, applied);
        return running(
          runSubscription({ handler, feed: oldFeed(broker, name), logs, database, reconciliation: false }),
        );
      },
      newHandler: (parts = 4) => {
        const handler = { ...testHandler(name, entities, applied), parts };
        const members = openMembers({ database, process: `process-${processes++}` });
        const former = { everyMs: 300, steadyMs: 1_500 };
        const feed = rabbitFeed({ broker, handler, registries, members, former });
        const subscription = runSubscription({ handler, feed, logs, database, reconciliation: false });
        return running({
          async stop() {
            await subscription.stop();
            await members.stop();
          },
        });
      },
    };
    let appended = 0;
    const add = async (events: number) => {
      for (let n = 0; n < events; n += 20)
        await Promise.all(versions(20).map((id) => grow(log, `orders.order/${id}`, 1)));
      appended += events;
    };
    const isWhole = () => [...applied.values()].reduce((sum, of) => sum + of.length, 0) === appended;
    const inOrder = () => {
      for (const of of applied.values()) expect(of).toEqual(versions(of.length));
    };
    const whole = () => inspectQueue(rabbit.direct, queueName(name, rabbit.prefix));
    const part = (n: number) => inspectQueue(rabbit.direct, partQueueName(name, n, rabbit.prefix));
    const isGone = async () => (await whole()) === undefined;
    const bind = (parts: number) =>
      bindHandler({ broker: rabbit.direct, handler: { name, entities, parts }, registries });
    return { database, bind, start, add, isWhole, inOrder, whole, part, isGone };
  }

  test('a new system has no whole queue', async () => {
    const { bind, start, add, isWhole, whole } = await given();
    await bind(4);
    start.newHandler();
    start.newRelay();
    await add(100);
    await until(isWhole);
    expect(await whole()).toBeUndefined();
  });

  test(
    'handlers first, relays last: nothing is lost or late, and the whole queue goes in the end',
    async () => {
      const { database, start, add, isWhole, inOrder, whole, isGone } = await given();
      const oldRelay = start.oldRelay();
      const oldHandler = start.oldHandler();
      await add(100);
      await until(isWhole);
      start.newHandler();
      await add(100);
      await until(isWhole);
      await oldHandler();
      await add(100);
      await until(isWhole);
      expect(await whole()).toBeDefined();
      start.newRelay();
      await add(100);
      await oldRelay();
      await add(100);
      await until(isWhole, 10_000);
      await until(isGone, 20_000);
      expect((await selectFollowers(database)).map(({ queue }) => queue)).not.toContain(name);
      await add(100);
      await until(isWhole);
      inOrder();
    },
    slow,
  );

  test(
    'relays first, handlers last; an old handler that comes back has its queue as long as it runs',
    async () => {
      const { start, add, isWhole, inOrder, whole, isGone } = await given();
      const oldRelay = start.oldRelay();
      const oldHandler = start.oldHandler();
      await add(100);
      await until(isWhole);
      start.newRelay();
      await oldRelay();
      await add(100);
      await until(isWhole, 10_000);
      start.newHandler();
      await add(100);
      await until(isWhole);
      await sleep(3_000);
      // Somebody else consumes it.
      expect(await whole()).toMatchObject({ consumers: 2 });
      await oldHandler();
      await until(isGone, 20_000);
      const again = start.oldHandler();
      await add(100);
      await until(isWhole);
      await again();
      inOrder();
    },
    slow,
  );

  test(
    'an old relay that begins to publish after the whole queue is gone: its events come within a look',
    async () => {
      const { bind, start, add, isWhole, inOrder, whole } = await given();
      await bind(4);
      const newRelay = start.newRelay();
      start.newHandler();
      await add(100);
      await until(isWhole);
      await newRelay();
      start.oldRelay();
      await add(100);
      await until(isWhole, 10_000);
      await until(async () => (await whole())?.consumers === 1);
      await add(100);
      await until(isWhole, 2_000);
      inOrder();
    },
    slow,
  );

  test(
    'parts beyond the number of parts are consumed and removed, once no process has them',
    async () => {
      const { bind, start, add, isWhole, inOrder, part } = await given();
      await bind(8);
      start.newRelay();
      const eight = start.newHandler(8);
      await add(200);
      await until(isWhole);
      start.newHandler(2);
      await add(200);
      await until(isWhole);
      await eight();
      await add(200);
      await until(isWhole, 20_000);
      await until(async () => (await part(7)) === undefined && (await part(2)) === undefined, 40_000);
      await add(200);
      await until(isWhole, 2_000);
      inOrder();
    },
    slow,
  );
});
