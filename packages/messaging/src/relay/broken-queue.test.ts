/** Queues that take no messages, on a real RabbitMQ: what the other handlers of the log get, and how they come back. */
import { openEventLog } from '@caudal/eventlog/event-log.ts';
import { migrations as logMigrations } from '@caudal/eventlog/migrations.ts';
import { position } from '@caudal/postgres/checkpoint.ts';
import { openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { migrations as postgresMigrations } from '@caudal/postgres/migrations.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { type FreshDatabase, freshDatabase, serverUrl } from '@caudal/testing/servers.ts';
import { until } from '@caudal/testing/until.ts';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { migrations } from '../migrations.ts';
import { vhostOf } from '../rabbitmq/connecting.ts';
import { boundQueues } from '../rabbitmq/management.ts';
import { rabbitFeed } from '../rabbitmq/rabbit-feed.ts';
import { bindHandler } from '../rabbitmq/register.ts';
import { bindKeys, deleteHandler, exchangeName, queueName, unbindKeys } from '../rabbitmq/topology.ts';
import { runSubscription } from '../subscription/subscription.ts';
import { grow, type TestHandler, testHandler, versions } from '../testing/doubles.ts';
import { canBreakQueues, setLeader } from '../testing/queue-leader.ts';
import { testBroker } from '../testing/rabbit.ts';
import { bypassedFrom } from './bypass.ts';
import { clear, followerRegistry, selectFollowers, setAside } from './followers.ts';
import { openQuarantine } from './quarantine.ts';
import { startRelay } from './relay.ts';

const managementUrl = process.env.RABBITMQ_MANAGEMENT_URL;
const breaking = canBreakQueues ? test : test.skip;
const managing = managementUrl ? test : test.skip;
const slow = 60_000;

describeWith(['postgres', 'rabbitmq'], 'a broken queue', () => {
  let fresh: FreshDatabase;
  let count = 0;
  /** Undone in reverse. */
  const cleanups: (() => Promise<unknown>)[] = [];

  beforeAll(async () => {
    fresh = await freshDatabase();
  });
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });
  afterAll(() => fresh.drop());

  /** A log with handlers that are bound and consume; the events go to streams of their own. */
  async function given(...names: string[]) {
    const schema = `s${count++}`;
    await migrate({ url: fresh.url, schema, sets: [postgresMigrations, logMigrations, migrations] });
    const database = openDatabase({ url: fresh.url, schema });
    cleanups.push(() => database.close());
    const rabbit = testBroker();
    cleanups.push(() => rabbit.close());
    const { broker, prefix } = rabbit;
    rabbit.owns([...names, 'caudal.witness', 'stranger'], ['orders']);
    const log = openEventLog({ database, domain: 'orders' });
    cleanups.push(() => log.stop());
    const registries = new Map([['orders', followerRegistry(database)]]);
    const logs = new Map([['orders', log]]);
    const handlers = names.map((name) => testHandler(name, ['orders.order']));
    for (const handler of handlers) {
      await bindHandler({ broker: rabbit.direct, handler, registries });
      const feed = rabbitFeed({ broker, handler, registries });
      const running = runSubscription({ handler, feed, logs, database, reconciliation: false });
      cleanups.push(() => running.stop());
    }
    const relay = (options: { managed?: boolean } = {}) => {
      const bound = (exchange: string) =>
        boundQueues({ managementUrl: managementUrl!, vhost: vhostOf(serverUrl('rabbitmq')) }, exchange);
      const running = startRelay({
        log,
        database,
        broker,
        batchSize: 50,
        ...(options.managed && { boundQueues: bound }),
      });
      cleanups.push(() => running.stop());
      return running;
    };
    const breakQueue = async (state: 'hangs' | 'gone' | 'back', ...which: string[]) =>
      setLeader(
        which.map((name) => queueName(name, prefix)),
        state,
      );
    const aside = async () =>
      (await selectFollowers(database)).filter((of) => of.missedAfter !== undefined).map(({ queue }) => queue);
    let grown = 0;
    /** Appends events to new streams. */
    const add = async (events: number) => {
      await Promise.all(versions(events).map(() => grow(log, `orders.order/${++grown}`, 1)));
    };
    const has = (handler: TestHandler | undefined) => handler!.applied.size;
    const total = () => grown;
    return { database, rabbit, log, registries, handlers, relay, breakQueue, aside, add, has, total };
  }

  for (const state of ['hangs', 'gone'] as const) {
    breaking(
      `whose leader ${state === 'hangs' ? 'hangs' : 'is gone'} is set aside; the others go on; it comes back whole`,
      async () => {
        const { handlers, relay, breakQueue, aside, add, has, total } = await given('healthy.v1', 'broken.v1');
        const [healthy, broken] = handlers;
        relay();
        await add(100);
        await until(() => has(healthy) === total() && has(broken) === total());
        await breakQueue(state, 'broken.v1');
        cleanups.push(() => breakQueue('back', 'broken.v1'));
        await add(1_000);
        await until(() => has(healthy) === total(), 15_000);
        expect(await aside()).toEqual(['broken.v1']);
        // From here on nothing holds up the healthy one.
        for (const _ of versions(20)) {
          await add(20);
          await until(() => has(healthy) === total(), 1_000);
        }
        await breakQueue('back', 'broken.v1');
        await until(() => has(broken) === total(), 20_000);
        await until(async () => (await aside()).length === 0);
        await add(50);
        await until(() => has(healthy) === total() && has(broken) === total());
      },
      slow,
    );
  }

  breaking(
    'and all others too: the broker is ill, and the checkpoint waits',
    async () => {
      const { database, handlers, relay, breakQueue, aside, add, has, total } = await given('one.v1', 'two.v1');
      relay();
      await breakQueue('gone', 'one.v1', 'two.v1');
      cleanups.push(() => breakQueue('back', 'one.v1', 'two.v1'));
      await add(10);
      await expect(until(async () => (await position(database, 'relay')) > 0, 8_000)).rejects.toThrow('not within');
      expect(await aside()).toEqual([]);
      await breakQueue('back', 'one.v1', 'two.v1');
      await until(() => handlers.every((handler) => has(handler) === total()), 20_000);
    },
    slow,
  );

  breaking(
    'that is the only one is found by a witness',
    async () => {
      const { relay, breakQueue, aside, add } = await given('only.v1');
      relay();
      await breakQueue('gone', 'only.v1');
      cleanups.push(() => breakQueue('back', 'only.v1'));
      await add(10);
      await until(async () => (await aside()).includes('only.v1'), 15_000);
    },
    slow,
  );

  breaking(
    'stays set aside when another relay takes over, which brings it back',
    async () => {
      const { handlers, relay, breakQueue, aside, add, has, total } = await given('healthy.v1', 'broken.v1');
      const first = relay();
      await breakQueue('hangs', 'broken.v1');
      cleanups.push(() => breakQueue('back', 'broken.v1'));
      await add(20);
      await until(async () => (await aside()).length === 1, 15_000);
      await first.stop();
      await add(20);
      relay();
      await until(() => has(handlers[0]) === total(), 5_000);
      await breakQueue('back', 'broken.v1');
      await until(() => has(handlers[1]) === total(), 20_000);
    },
    slow,
  );

  /** A queue of somebody else, bound to the exchange, that refuses every message until it is `open`ed. */
  async function stranger({ rabbit, database }: Awaited<ReturnType<typeof given>>) {
    const queue = queueName('stranger', rabbit.prefix);
    const channel = await rabbit.direct.consumeChannel();
    await channel.assertQueue(queue, {
      durable: true,
      arguments: { 'x-max-length': 1_000, 'x-overflow': 'reject-publish' },
    });
    for (const n of versions(1_000)) channel.sendToQueue(queue, Buffer.from(String(n)));
    await until(async () => (await rabbit.ready(queue)) >= 1_000);
    await bindKeys({ broker: rabbit.direct, domain: 'orders', queue, keys: ['orders.order.#'] });
    const got = new Set<string>();
    return {
      queue,
      got,
      isBypassed: async () => (await bypassedFrom(database)) !== undefined,
      async open() {
        await channel.purgeQueue(queue);
        await channel.consume(queue, (message) => got.add(String(message?.properties.messageId)), { noAck: true });
      },
    };
  }

  managing(
    'of a stranger is set aside too, and gets what it has missed',
    async () => {
      const system = await given('healthy.v1');
      const { log, handlers, relay, aside, add, has, total } = system;
      const { queue, got, open } = await stranger(system);
      relay({ managed: true });
      await add(300);
      await until(() => has(handlers[0]) === total(), 15_000);
      expect(await aside()).toEqual([queue]);
      await add(100);
      await until(() => has(handlers[0]) === total());
      await open();
      await until(async () => (await aside()).length === 0, 20_000);
      await add(10);
      const { events } = await log.readLog(0, { limit: 1_000 });
      await until(() => events.every(({ eventId }) => got.has(eventId)));
    },
    slow,
  );

  test(
    'of a stranger that the relay does not know is bypassed, and nothing is lost for anybody',
    async () => {
      const system = await given('healthy.v1');
      const { log, handlers, relay, aside, add, has, total } = system;
      const { got, open, isBypassed } = await stranger(system);
      relay();
      await add(300);
      await until(isBypassed, 30_000);
      await until(() => has(handlers[0]) === total());
      await add(100);
      await until(() => has(handlers[0]) === total());
      expect(await aside()).toEqual([]);
      await open();
      await until(async () => !(await isBypassed()), 30_000);
      await add(10);
      const { events } = await log.readLog(0, { limit: 1_000 });
      await until(() => events.every(({ eventId }) => got.has(eventId)) && has(handlers[0]) === total());
    },
    slow,
  );

  test('keeps its keys, gets its bindings back, and is forgotten when it is deleted', async () => {
    const { database, rabbit, log, registries } = await given();
    const { broker, prefix } = rabbit;
    rabbit.owns(['long.v1', 'short.v1'], []);
    const bind = (name: string, entities: string[]) =>
      bindHandler({ broker: rabbit.direct, handler: { name, entities }, registries });
    await bind('long.v1', ['orders.order', 'orders.return']);
    await bind('short.v1', ['orders.order']);
    const long = { queue: 'long.v1', stranger: false, keys: ['orders.order.#', 'orders.return.#'] };
    // Bindings that are no longer asked for stay, so their keys stay too.
    await bind('long.v1', ['orders.order']);
    expect(await selectFollowers(database)).toMatchObject([long, { queue: 'short.v1' }]);

    const quarantine = openQuarantine({
      ...{ broker, database, log, fence: { name: 'relay', epoch: 1 }, signal: new AbortController().signal },
      boundQueues: async () => [],
      sent: () => 0,
    });
    const bound = { broker: rabbit.direct, domain: 'orders', queue: queueName('long.v1', prefix), keys: long.keys };
    await unbindKeys(bound);
    await deleteHandler({ broker: rabbit.direct, handler: 'short.v1' });
    await quarantine.compareBindings();
    expect(await selectFollowers(database)).toMatchObject([long]);
    const { channel, close } = await rabbit.direct.publishConnection('test');
    channel.publish(exchangeName('orders', prefix), 'orders.return.changed.v1', Buffer.alloc(1));
    await channel.waitForConfirms();
    await close();
    await until(async () => (await rabbit.ready(bound.queue)) === 1);
  });

  test('a relay that has lost its lease changes nothing', async () => {
    const { database, registries } = await given();
    await registries.get('orders')!.follow({ queue: 'one.v1', keys: ['orders.order.#'] });
    const before = await selectFollowers(database);
    const late = { name: 'relay', epoch: 7 };
    const of = { queue: 'one.v1', stranger: false, keys: ['orders.order.#'] };
    expect(await setAside(database, late, of, 5)).toBe(false);
    expect(await clear(database, late, of)).toBe(false);
    expect(await selectFollowers(database)).toEqual(before);
  });
});
