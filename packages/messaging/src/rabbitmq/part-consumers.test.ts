/** A process that can't do its share of the parts does not keep it; on a real RabbitMQ and PostgreSQL. */
import { openEventLog } from '@caudal/eventlog/event-log.ts';
import { migrations as logMigrations } from '@caudal/eventlog/migrations.ts';
import { openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { migrations as postgresMigrations } from '@caudal/postgres/migrations.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { freshDatabase, serverUrl } from '@caudal/testing/servers.ts';
import { startTcpProxy } from '@caudal/testing/tcp-proxy.ts';
import { until } from '@caudal/testing/until.ts';
import { afterEach, expect, test } from '@jest/globals';
import { openMembers } from '../members/members.ts';
import { migrations } from '../migrations.ts';
import { followerRegistry } from '../relay/followers.ts';
import { startRelay } from '../relay/relay.ts';
import { runSubscription } from '../subscription/subscription.ts';
import { grow, type TestHandler, testHandler, versions } from '../testing/doubles.ts';
import { testBroker } from '../testing/rabbit.ts';
import { type Broker, openBroker } from './connection.ts';
import { prefetchOfPart } from './part-consumers.ts';
import { rabbitFeed } from './rabbit-feed.ts';
import { bindHandler } from './register.ts';

const name = 'order-list.v1';
const entities = ['orders.order'];
const parts = 8;

describeWith(['postgres', 'rabbitmq'], 'a process that can not do its share,', () => {
  const cleanups: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  async function given() {
    const fresh = await freshDatabase();
    cleanups.push(() => fresh.drop());
    await migrate({ url: fresh.url, schema: 'orders', sets: [postgresMigrations, logMigrations, migrations] });
    const database = openDatabase({ url: fresh.url, schema: 'orders' });
    cleanups.push(() => database.close());
    const rabbit = testBroker();
    cleanups.push(() => rabbit.close());
    rabbit.owns([name], ['orders']);
    const log = openEventLog({ database, domain: 'orders' });
    cleanups.push(() => log.stop());
    const registries = new Map([['orders', followerRegistry(database, 'orders')]]);
    await bindHandler({ broker: rabbit.direct, handler: { name, entities, parts }, registries });
    const relay = startRelay({ log, database, broker: rabbit.broker });
    cleanups.push(() => relay.stop());
    /** What all processes write. */
    const applied = new Map<string, number[]>();
    const start = (process: string, broker: Broker = rabbit.broker): TestHandler => {
      const handler = testHandler(name, entities, applied);
      const members = openMembers({ database, process });
      const running = runSubscription({
        handler,
        feed: rabbitFeed({ broker, handler: { name, entities, parts }, registries, members }),
        logs: new Map([['orders', log]]),
        database,
        reconciliation: false,
      });
      cleanups.push(async () => {
        await running.stop();
        await members.stop();
      });
      return handler;
    };
    const total = () => [...applied.values()].reduce((sum, of) => sum + of.length, 0);
    const add = () => Promise.all(versions(40).map((id) => grow(log, `orders.order/${id}`, 1)));
    return { rabbit, start, add, total };
  }

  test('since it has lost the broker, leaves its parts, and takes its share again when it is back', async () => {
    const { rabbit, start, add, total } = await given();
    const proxy = await startTcpProxy(serverUrl('rabbitmq'));
    cleanups.push(() => proxy.close());
    const cutOff = openBroker({ url: proxy.url, prefix: rabbit.prefix, name: 'cut off', connectTimeoutMs: 500 });
    cleanups.push(() => cutOff.close());
    const one = start('one', cutOff);
    start('two');
    await add();
    await until(() => total() === 40);
    proxy.refuse(true);
    proxy.cut();
    await add();
    await until(() => total() === 80, 10_000);
    proxy.refuse(false);
    one.attempts.clear();
    await until(async () => {
      await add();
      return one.attempts.size > 0;
    }, 30_000);
  }, 60_000);
});

test('the prefetch of a part is bounded, and all parts together hold twice that of the handler', () => {
  expect(prefetchOfPart(512, 1)).toBe(512);
  expect(prefetchOfPart(512, 8)).toBe(128);
  expect(prefetchOfPart(64, 16)).toBe(32);
  expect(prefetchOfPart(8, 8)).toBe(8);
});
