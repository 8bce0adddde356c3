/** A process that can't do its share of the parts does not keep it; on a real RabbitMQ and PostgreSQL. */
import { describeWith } from '@caudal/testing/describe-with.ts';
import { serverUrl } from '@caudal/testing/servers.ts';
import { startTcpProxy } from '@caudal/testing/tcp-proxy.ts';
import { until } from '@caudal/testing/until.ts';
import { expect, test } from '@jest/globals';
import { openMembers } from '../members/members.ts';
import { grow, type TestHandler, testHandler, versions } from '../testing/doubles.ts';
import { ordersLogs } from '../testing/orders-logs.ts';
import { type Broker, openBroker } from './connection.ts';
import { prefetchOfPart } from './part-consumers.ts';

const name = 'order-list.v1';
const entities = ['orders.order'];
const parts = 8;

describeWith(['postgres', 'rabbitmq'], 'a process that can not do its share,', () => {
  const { open, onEnd, ending } = ordersLogs();

  async function given() {
    const { database, rabbit, log, bind, relay, consume } = await open({ owns: [name] });
    await bind({ name, entities, parts });
    relay();
    /** What all processes write. */
    const applied = new Map<string, number[]>();
    const start = (process: string, broker: Broker = rabbit.broker): TestHandler => {
      const handler = testHandler(name, entities, applied);
      const members = ending(openMembers({ database, process }));
      consume(handler, { queue: { broker, handler: { name, entities, parts }, members } });
      return handler;
    };
    const total = () => [...applied.values()].reduce((sum, of) => sum + of.length, 0);
    const add = () => Promise.all(versions(40).map((id) => grow(log, `orders.order/${id}`, 1)));
    return { rabbit, start, add, total };
  }

  test('since it has lost the broker, leaves its parts, and takes its share again when it is back', async () => {
    const { rabbit, start, add, total } = await given();
    const proxy = await startTcpProxy(serverUrl('rabbitmq'));
    onEnd(() => proxy.close());
    const cutOff = openBroker({ url: proxy.url, prefix: rabbit.prefix, name: 'cut off', connectTimeoutMs: 500 });
    onEnd(() => cutOff.close());
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
