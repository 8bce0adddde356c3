/** Queues that take no messages, on a real RabbitMQ: what the other handlers of the log get, and how they come back. */
import { acquire, position } from '@caudal/postgres/checkpoint.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { serverUrl } from '@caudal/testing/servers.ts';
import { until } from '@caudal/testing/until.ts';
import { expect, test } from '@jest/globals';
import { vhostOf } from '../rabbitmq/connecting.ts';
import type { Broker } from '../rabbitmq/connection.ts';
import { boundQueues } from '../rabbitmq/management.ts';
import { bindHandler } from '../rabbitmq/register.ts';
import {
  bindKeys,
  deleteHandler,
  exchangeName,
  partKeys,
  partQueueName,
  queueName,
  unbindKeys,
} from '../rabbitmq/topology.ts';
import { grow, type TestHandler, testHandler, versions } from '../testing/doubles.ts';
import { ordersLogs } from '../testing/orders-logs.ts';
import { canBreakQueues, setLeader } from '../testing/queue-leader.ts';
import { openBrokenQueues } from './broken-queues.ts';
import { bypassedFrom } from './bypass.ts';
import { clear, isSetAside, selectFollowers, setAside } from './followers.ts';
import { openRelapses } from './relapses.ts';

const managementUrl = process.env.RABBITMQ_MANAGEMENT_URL;
const breaking = canBreakQueues ? test : test.skip;
const managing = managementUrl ? test : test.skip;
const slow = 60_000;

describeWith(['postgres', 'rabbitmq'], 'a broken queue', () => {
  const { open, onEnd } = ordersLogs();

  /** A log with handlers that are bound and consume; the events go to streams of their own. */
  async function given(...names: string[]) {
    const orders = await open({ owns: [...names, 'caudal.witness', 'stranger'] });
    const { database, rabbit, log, registries } = orders;
    const { prefix } = rabbit;
    const handlers = names.map((name) => testHandler(name, ['orders.order']));
    for (const handler of handlers) {
      await orders.bind(handler);
      orders.consume(handler);
    }
    const relay = ({ managed, ...options }: { managed?: boolean; broker?: Broker } = {}) => {
      const bound = (exchange: string) =>
        boundQueues({ managementUrl: managementUrl!, vhost: vhostOf(serverUrl('rabbitmq')) }, exchange);
      return orders.relay({ batchSize: 50, ...(managed && { boundQueues: bound }), ...options });
    };
    const breakQueue = async (state: 'hangs' | 'gone' | 'back', ...which: string[]) =>
      setLeader(
        which.map((name) => partQueueName(name, 0, prefix)),
        state,
      );
    const aside = async () =>
      (await selectFollowers(database)).filter(isSetAside).map(({ queue }) => queue.slice(prefix.length));
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
        onEnd(() => breakQueue('back', 'broken.v1'));
        await add(1_000);
        await until(() => has(healthy) === total(), 15_000);
        expect(await aside()).toEqual(['broken.v1.p0']);
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
      onEnd(() => breakQueue('back', 'one.v1', 'two.v1'));
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
      onEnd(() => breakQueue('back', 'only.v1'));
      await add(10);
      await until(async () => (await aside()).includes('only.v1.p0'), 15_000);
    },
    slow,
  );

  breaking(
    'stays set aside when another relay takes over, which brings it back',
    async () => {
      const { handlers, relay, breakQueue, aside, add, has, total } = await given('healthy.v1', 'broken.v1');
      const first = relay();
      await breakQueue('hangs', 'broken.v1');
      onEnd(() => breakQueue('back', 'broken.v1'));
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
    const channel = await rabbit.direct.sharedChannel();
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

  breaking(
    'that somebody binds while it is set aside is unbound again, and the others go on',
    async () => {
      const system = await given('healthy.v1', 'broken.v1');
      const { database, rabbit, handlers, relay, breakQueue, aside, add, has, total } = system;
      relay();
      await breakQueue('hangs', 'broken.v1');
      onEnd(() => breakQueue('back', 'broken.v1'));
      await add(20);
      await until(async () => (await aside()).length === 1, 15_000);
      await until(() => has(handlers[0]) === total());
      const queue = partQueueName('broken.v1', 0, rabbit.prefix);
      await bindKeys({ broker: rabbit.direct, domain: 'orders', queue, keys: partKeys(['orders.order'], 0, 1) });
      await add(20);
      await until(() => has(handlers[0]) === total(), 8_000);
      expect(await bypassedFrom(database)).toBeUndefined();
      expect(await aside()).toEqual(['broken.v1.p0']);
    },
    slow,
  );

  test(
    'is no longer bypassed once the exchange confirms, even if queues can not be reached directly',
    async () => {
      const { database, rabbit, handlers, relay, add, has, total } = await given('healthy.v1');
      const { broker } = rabbit;
      const noDirect: Broker = {
        ...broker,
        publishConnection: (purpose, listener) =>
          purpose.startsWith('relay')
            ? broker.publishConnection(purpose, listener)
            : Promise.reject(new Error('no access to the default exchange')),
      };
      await database.query({ text: "INSERT INTO checkpoints (name, position) VALUES ('relay:exchange', 0)" });
      await add(10);
      relay({ broker: noDirect });
      await until(() => has(handlers[0]) === total(), 20_000);
      await until(async () => (await bypassedFrom(database)) === undefined);
      expect(await position(database, 'relay')).toBe(total());
    },
    slow,
  );

  managing(
    'of a stranger is set aside too, and gets what it has missed',
    async () => {
      const system = await given('healthy.v1');
      const { log, handlers, relay, aside, add, has, total } = system;
      const { got, open } = await stranger(system);
      relay({ managed: true });
      await add(300);
      await until(() => has(handlers[0]) === total(), 15_000);
      expect(await aside()).toEqual(['stranger']);
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
    const long = {
      queue: `${prefix}long.v1.p0`,
      stranger: false,
      keys: partKeys(['orders.order', 'orders.return'], 0, 1).sort(),
    };
    // Bindings that are no longer asked for stay, so their keys stay too.
    await bind('long.v1', ['orders.order']);
    expect(await selectFollowers(database)).toMatchObject([long, { queue: `${prefix}short.v1.p0` }]);

    const brokenQueues = openBrokenQueues({
      ...{ broker, database, log, fence: { name: 'relay', epoch: 1 }, signal: new AbortController().signal },
      relapses: openRelapses(),
      boundQueues: async () => [],
      sent: () => 0,
    });
    const bound = {
      broker: rabbit.direct,
      domain: 'orders',
      queue: partQueueName('long.v1', 0, prefix),
      keys: long.keys,
    };
    await unbindKeys(bound);
    await deleteHandler({ broker: rabbit.direct, handler: 'short.v1' });
    await brokenQueues.compareBindings();
    expect(await selectFollowers(database)).toMatchObject([long]);
    const { channel, close } = await rabbit.direct.publishConnection('test');
    channel.publish(exchangeName('orders', prefix), 'orders.return.s3', Buffer.alloc(1));
    await channel.waitForConfirms();
    await close();
    await until(async () => (await rabbit.ready(bound.queue)) === 1);
  });

  test(
    'that is unbound again during its return is not taken for restored',
    async () => {
      const { database, rabbit, log, add } = await given();
      const queue = queueName('stranger', rabbit.prefix);
      const channel = await rabbit.direct.sharedChannel();
      await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
      await add(6);
      const lease = await acquire(database, { name: 'relay', holder: 'test', ttlMs: 60_000 });
      const fence = { name: 'relay', epoch: lease!.epoch };
      const keys = ['orders.order.#'];
      await setAside(database, fence, { queue, stranger: true, keys, missedAfter: 0 });
      let sent = 3;
      let broken = 0;
      const stopping = new AbortController();
      const brokenQueues = openBrokenQueues({
        ...{ broker: rabbit.broker, database, fence, signal: stopping.signal, relapses: openRelapses() },
        log: {
          ...log,
          // Its first catch-up ends at 3. It is bound, and while the rest is sent the broker does not confirm.
          async readLog(after, options) {
            const page = await log.readLog(after, options);
            if (after === 3 && broken++ === 0) await brokenQueues.examine(page.events, 3);
            return page;
          },
        },
        boundQueues: async () => [],
        sent: () => sent++,
      });
      await brokenQueues.begin();
      const keeping = brokenQueues.keep();
      onEnd(async () => {
        stopping.abort();
        await keeping;
      });
      await until(async () => (await selectFollowers(database)).length === 0, 20_000);
      expect(broken).toBeGreaterThan(0);
      await channel.purgeQueue(queue);
      const { channel: publishing, close } = await rabbit.direct.publishConnection('test');
      publishing.publish(exchangeName('orders', rabbit.prefix), 'orders.order.changed.v1', Buffer.alloc(1));
      await publishing.waitForConfirms();
      await close();
      await until(async () => (await rabbit.ready(queue)) === 1);
    },
    slow,
  );

  test('is refused as a follower if it is none of a handler of this log, or too many', async () => {
    const { database, registries } = await given();
    const { follow } = registries.get('orders')!;
    const keys = ['orders.order.#'];
    for (const [queue, wrong] of [
      ['one.v1.dead', keys],
      ['one.v1', ['#']],
      ['one.v1', ['orders.#.#.#']],
      ['one.v1', ['payments.payment.#']],
      ['one.v1', [...keys, 'orders.order.*']],
    ] as const)
      await expect(follow({ queue, keys: [...wrong] })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    const many = versions(500).map(
      (n) => `orders.${String(n).replace(/\d/g, (digit) => 'abcdefghij'[Number(digit)]!)}.#`,
    );
    await expect(follow({ queue: 'one.v1', keys: many })).resolves.toMatchObject({ setAside: false });
    await expect(follow({ queue: 'one.v1', keys: ['orders.more.#'] })).rejects.toMatchObject({
      reason: 'TOO_MANY_FOLLOWERS',
    });
    await database.query({
      text: "INSERT INTO followers (queue, keys) SELECT 'q' || n, '{}' FROM generate_series(1, 999) AS n",
    });
    await expect(follow({ queue: 'one-more.v1', keys })).rejects.toMatchObject({ code: 'RESOURCE_EXHAUSTED' });
    // One that is known may register again.
    await follow({ queue: 'one.v1', keys: many.slice(0, 1) });
  });

  test('a relay that has lost its lease changes nothing', async () => {
    const { database, registries } = await given();
    await registries.get('orders')!.follow({ queue: 'one.v1', keys: ['orders.order.#'] });
    const before = await selectFollowers(database);
    const late = { name: 'relay', epoch: 7 };
    const queue = { queue: 'one.v1', stranger: false, keys: ['orders.order.#'] };
    expect(await setAside(database, late, { ...queue, missedAfter: 5 })).toBe(false);
    expect(await clear(database, late, queue)).toBe(false);
    expect(await selectFollowers(database)).toEqual(before);
  });
});
