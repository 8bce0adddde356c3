/** The upgrade from one queue a handler, and back, on a real RabbitMQ and PostgreSQL; and fewer parts. */
import { sleep } from '@caudal/kernel/time.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { until } from '@caudal/testing/until.ts';
import { expect, test } from '@jest/globals';
import { openMembers } from '../members/members.ts';
import { selectFollowers } from '../relay/followers.ts';
import { grow, testHandler, versions } from '../testing/doubles.ts';
import { ordersLogs } from '../testing/orders-logs.ts';
import { oldFeed, startOldRelay } from '../testing/version-02.ts';
import { inspectQueue, partQueueName, queueName } from './topology.ts';

const slow = 60_000;
const name = 'order-list.v1';
const entities = ['orders.order'];

describeWith(['postgres', 'rabbitmq'], 'queues of before', () => {
  const { open, ending } = ordersLogs();

  async function given() {
    const { database, rabbit, broker, log, relay, consume, bind } = await open({ owns: [name] });
    /** The views, of which all consumers of the handler write the same. */
    const applied = new Map<string, number[]>();
    let processes = 0;
    /** Each returns what stops it. */
    const start = {
      oldRelay: () => ending(startOldRelay({ log, database, broker, holder: `old-${processes++}` })).stop,
      newRelay: () => relay({ ttlMs: 2_000, holder: `new-${processes++}` }).stop,
      oldHandler: () => consume(testHandler(name, entities, applied), { feed: oldFeed(broker, name) }).stop,
      newHandler: (parts = 4) => {
        const handler = { ...testHandler(name, entities, applied), parts };
        const members = ending(openMembers({ database, process: `process-${processes++}` }));
        const former = { everyMs: 300, steadyMs: 1_500 };
        const subscription = consume(handler, { queue: { members, former } });
        return async () => {
          await subscription.stop();
          await members.stop();
        };
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
    const bindParts = (parts: number) => bind({ name, entities, parts });
    return { database, bind: bindParts, start, add, isWhole, inOrder, whole, part, isGone };
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
