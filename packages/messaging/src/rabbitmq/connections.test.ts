/** Connections of publishers and consumers, each of which a broker or a network may end at any moment. */
import type { Socket } from 'node:net';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { sleep } from '@caudal/kernel/time.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { serverUrl } from '@caudal/testing/servers.ts';
import { startTcpProxy } from '@caudal/testing/tcp-proxy.ts';
import { until } from '@caudal/testing/until.ts';
import { expect, test } from '@jest/globals';
import type { Channel } from 'amqplib';
import { newEvent, versions } from '../testing/doubles.ts';
import { testBroker } from '../testing/rabbit.ts';
import { type Broker, openBroker } from './connection.ts';
import { toMessage } from './envelope.ts';
import { openPublisher } from './publisher.ts';
import { rabbitFeed } from './rabbit-feed.ts';
import { bindHandler } from './register.ts';
import { partQueueName } from './topology.ts';

/** Closes the connection of a channel as a broker does, with all its channels. */
const breakConnection = (channel: Channel) =>
  (channel as unknown as { connection: { stream: Socket } }).connection.stream.destroy(new Error('closed'));

const events: RecordedEvent[] = versions(40).map((n) => ({
  ...newEvent('orders.order.changed.v1'),
  ...{ stream: `orders.order/${n}`, version: 1, position: n, recordedAt: new Date(0) },
}));

describeWith(['rabbitmq'], 'a connection', () => {
  test('that is cut at any moment of its opening is UNAVAILABLE, or open and then lost', async () => {
    const proxy = await startTcpProxy(serverUrl('rabbitmq'));
    const broker = openBroker({ url: proxy.url });
    for (const attempt of versions(60)) {
      const ended = Promise.withResolvers<void>();
      const opening = broker.publishConnection('test', { onEnd: ended.resolve });
      const outcome = opening.then(
        () => ended.promise,
        (error: unknown) => expect(error).toMatchObject({ code: 'UNAVAILABLE' }),
      );
      await sleep(attempt / 3);
      // Until it was accepted there is nothing to cut.
      let settled = false;
      outcome.finally(() => {
        settled = true;
      });
      await until(() => {
        proxy.cut();
        return settled;
      });
      await outcome;
    }
    await broker.close();
    await proxy.close();
  });

  test('of a consumer that is closed is replaced, and no other handler is interrupted', async () => {
    const rabbit = testBroker();
    const handlers = ['broken.v1', 'healthy.v1'].map((name) => ({ name, entities: ['orders.order'] }));
    const names = handlers.map(({ name }) => name);
    rabbit.owns(names, ['orders']);
    const follow = async ({ keys }: { keys: string[] }) => ({ setAside: false, slotted: true, keys });
    const registries = new Map([['orders', { follow }]]);
    const opened: { of: string; channel: Channel }[] = [];
    const noting: Broker = {
      ...rabbit.broker,
      consumeConnection(of) {
        const connection = rabbit.broker.consumeConnection(of);
        return {
          ...connection,
          async channel(signal) {
            const channel = await connection.channel(signal);
            opened.push({ of, channel });
            return channel;
          },
        };
      },
    };
    const got = new Map(names.map((name) => [name, new Set<string>()]));
    const stopping = new AbortController();
    const publisher = openPublisher({ broker: rabbit.direct, purpose: 'test', prepare: async () => {} });
    const publish = async (those: RecordedEvent[]) => {
      const queues = names.map((name) => partQueueName(name, 0, rabbit.prefix));
      await publisher.publish(queues.flatMap((queue) => those.map((event) => toMessage(event, '', queue))));
    };
    const have = (count: number) => until(() => [...got.values()].every(({ size }) => size === count));

    for (const handler of handlers) await bindHandler({ broker: rabbit.direct, handler, registries });
    const running = handlers.map((handler) =>
      rabbitFeed({ broker: noting, handler, registries }).run(async (batch) => {
        for (const { eventId } of batch) got.get(handler.name)!.add(eventId);
      }, stopping.signal),
    );
    await publish(events.slice(0, 20));
    await have(20);
    breakConnection(opened.find(({ of }) => of === 'broken.v1')!.channel);
    await publish(events.slice(20));
    await have(40);
    expect(opened.map(({ of }) => of).sort()).toEqual(['broken.v1', 'broken.v1', 'healthy.v1']);

    stopping.abort();
    await Promise.all(running);
    await publisher.close();
    await rabbit.close();
  });
});
