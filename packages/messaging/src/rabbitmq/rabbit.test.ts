/** The whole path on a real RabbitMQ and PostgreSQL: log, relay, queue, handler. */

import { once } from 'node:events';
import type { Socket } from 'node:net';
import { within } from '@caudal/kernel/time.ts';
import { position } from '@caudal/postgres/checkpoint.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { serverUrl } from '@caudal/testing/servers.ts';
import { startTcpProxy } from '@caudal/testing/tcp-proxy.ts';
import { until } from '@caudal/testing/until.ts';
import { expect, test } from '@jest/globals';
import { brokerDeadLetters } from '../dead-letters/dead-letters.ts';
import { listDeadLetters, redrive } from '../dead-letters/redrive.ts';
import { collect, grow, type TestHandler, testHandler, versions } from '../testing/doubles.ts';
import { ordersLogs } from '../testing/orders-logs.ts';
import type { Broker } from './connection.ts';
import { toMessage } from './envelope.ts';
import { openPublisher } from './publisher.ts';
import { rabbitFeed } from './rabbit-feed.ts';
import { declareExchange, deleteHandler, partQueueName } from './topology.ts';

const entities = ['orders.order'];

describeWith(['postgres', 'rabbitmq'], 'over RabbitMQ', () => {
  const { open, onEnd } = ordersLogs();

  /** A log of its own with its schema, a broker, and a handler; `url` of the broker, if not the real one. */
  async function given(url?: string) {
    const handler = testHandler('order-list.v1', entities);
    const { consume, bind, ...orders } = await open({ owns: [handler.name], brokerUrl: url });
    const queue = partQueueName(handler.name, 0, orders.rabbit.prefix);
    const total = () => [...handler.applied.values()].reduce((sum, applied) => sum + applied.length, 0);
    return {
      ...{ ...orders, handler, queue, total },
      bind: () => bind(handler),
      consume: (by: TestHandler = handler, options?: Parameters<typeof consume>[1]) => consume(by, options),
      relayed: () => position(orders.database, 'relay'),
    };
  }

  /** 20 streams, `perStream` events each, in small appends. */
  async function growMany(log: Parameters<typeof grow>[0], perStream: number): Promise<void> {
    for (let grown = 0; grown < perStream; grown += 5)
      await Promise.all(versions(20).map((id) => grow(log, `orders.order/${id}`, 5)));
  }

  const inOrder = ({ applied }: TestHandler) => {
    for (const of of applied.values()) expect(of).toEqual(versions(of.length));
  };

  test('all appended events are handled by competing consumers, and no message is left', async () => {
    const { log, handler, queue, rabbit, bind, relay, consume, total } = await given();
    await bind();
    relay({ batchSize: 100 });
    consume(handler, { queue: { prefetch: 50 } });
    consume(testHandler(handler.name, entities, handler.applied), { queue: { prefetch: 50 } });
    await growMany(log, 50);
    await until(() => total() === 1_000);
    inOrder(handler);
    await until(async () => (await rabbit.ready(queue)) === 0);
  });

  test('what is published once the subscription is ready arrives, without reconciliation', async () => {
    const { log, handler, relay, consume, total } = await given();
    await consume().ready;
    relay();
    await grow(log, 'orders.order/1', 3);
    await until(() => total() === 3);
    inOrder(handler);
  });

  test('a subscription without the broker is not ready, and is when it ends', async () => {
    const { consume } = await given('amqp://127.0.0.1:1');
    const running = consume();
    expect(await within(500, running.ready)).toBe(false);
    await running.stop();
    await running.ready;
  });

  test('an event is delivered by the broker as it is in the log', async () => {
    const { log, broker, handler, registries, bind, relay } = await given();
    await bind();
    const [event] = await grow(log, 'orders.order/1', 1);
    relay();
    const ended = new AbortController();
    const got: unknown[] = [];
    const feed = rabbitFeed({ broker, handler, registries }).run(async (events) => {
      got.push(...events);
      ended.abort();
    }, ended.signal);
    await feed;
    expect(got).toEqual([event]);
  });

  test('a relay that is suspended loses its lease; another continues; nothing is lost', async () => {
    const { database, log, handler, bind, relay, consume, total, relayed } = await given();
    await bind();
    let stalled = false;
    let wake = () => {};
    const awake = new Promise<void>((resolve) => {
      wake = resolve;
    });
    /** The results of the first relay's checkpoint writes after its suspension. */
    const lateMoves: boolean[] = [];
    const stalling: Database = {
      ...database,
      // As if the process had been stopped between publishing and the checkpoint.
      query: async (statement) => {
        const late = stalled && statement.name === 'checkpoint-advance';
        if (stalled) await awake;
        const rows = await database.query(statement);
        if (late) lateMoves.push(rows.length > 0);
        return rows as never;
      },
    };
    relay({ database: stalling, holder: 'one', ttlMs: 300, batchSize: 50 });
    await growMany(log, 10);
    await until(async () => (await relayed()) > 0);
    stalled = true;
    await growMany(log, 10);
    relay({ holder: 'two', ttlMs: 300, batchSize: 50 });
    consume();
    await until(() => total() === 400);
    await until(async () => (await relayed()) === 400);
    // The first one is resumed: it finds its lease lost, and moves nothing.
    wake();
    await until(() => lateMoves.length > 0);
    stalled = false;
    expect(new Set(lateMoves)).toEqual(new Set([false]));
    await growMany(log, 5);
    await until(() => total() === 500);
    inOrder(handler);
  });

  test('connections are cut again and again: everything arrives', async () => {
    const proxy = await startTcpProxy(serverUrl('rabbitmq'));
    onEnd(() => proxy.close());
    const { log, handler, bind, relay, consume, total, relayed } = await given(proxy.url);
    await bind();
    relay({ batchSize: 40 });
    consume(handler, { queue: { prefetch: 40 } });
    for (let round = 1; round <= 4; round++) {
      const before = total();
      await growMany(log, 20);
      await until(() => total() > before && proxy.connections === 3);
      proxy.cut();
    }
    await until(() => total() === 1_600, 20_000);
    await until(async () => (await relayed()) === 1_600);
    inOrder(handler);
  });

  test('the broker is unreachable: the relay waits, and the checkpoint does not move', async () => {
    const proxy = await startTcpProxy(serverUrl('rabbitmq'));
    onEnd(() => proxy.close());
    proxy.refuse(true);
    const { log, handler, bind, relay, consume, total, relayed } = await given(proxy.url);
    await bind();
    relay();
    consume(handler);
    await growMany(log, 5);
    await expect(until(async () => (await relayed()) > 0, 500)).rejects.toThrow('not within');
    proxy.refuse(false);
    await until(() => total() === 100, 20_000);
    inOrder(handler);
  });

  test('a drain finishes the batch in flight and returns the rest', async () => {
    const { log, handler, queue, rabbit, bind, relay, consume, total, relayed } = await given();
    await bind();
    relay();
    await growMany(log, 20);
    await until(async () => (await relayed()) === 400);
    let begun = () => {};
    const inFlight = new Promise<void>((resolve) => {
      begun = resolve;
    });
    let finish = () => {};
    const finished = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const slow: TestHandler = {
      ...handler,
      handle: async (events) => {
        begun();
        await finished;
        return handler.handle(events);
      },
    };
    const running = consume(slow, { queue: { prefetch: 64 } });
    await inFlight;
    const stopped = running.stop();
    finish();
    await stopped;
    // One batch of the two that are held.
    expect(total()).toBeGreaterThan(0);
    expect(total()).toBeLessThanOrEqual(32);
    await until(async () => (await rabbit.ready(queue)) === 400 - total());
    inOrder(handler);
  });

  test('a connection whose end amqplib missed is replaced', async () => {
    const { broker } = await given();
    const channel = await broker.sharedChannel();
    const { connection } = channel as unknown as {
      connection: { removeAllListeners(event: string): void; stream: Socket };
    };
    connection.removeAllListeners('close');
    const closed = once(channel, 'close');
    connection.stream.destroy(new Error('cut'));
    await closed;
    await expect(broker.sharedChannel()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await (await broker.sharedChannel()).close();
  });

  test('a connection that is lost while it is opened is UNAVAILABLE, and nothing else', async () => {
    const proxy = await startTcpProxy(serverUrl('rabbitmq'));
    onEnd(() => proxy.close());
    const { broker } = await given(proxy.url);
    const cutting = setInterval(() => proxy.cut(), 3);
    try {
      // At some of these the connection is there, and its channel is not.
      const opened = await Promise.allSettled(versions(40).map(() => broker.publishConnection('test')));
      for (const one of opened)
        if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'UNAVAILABLE' });
      expect(opened.some(({ status }) => status === 'rejected')).toBe(true);
    } finally {
      clearInterval(cutting);
    }
  });

  test('no broker: UNAVAILABLE, in time', async () => {
    const { broker } = await given('amqp://127.0.0.1:1');
    // Within its 2 s: without a bound this test would not end.
    await expect(broker.publishConnection('test')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(broker.sharedChannel(AbortSignal.timeout(50))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  test('a message that the broker refuses is published again, and the checkpoint waits for it', async () => {
    const { log, broker, handler, bind, relay, consume, total, relayed } = await given();
    await bind();
    await growMany(log, 5);
    let refusals = 0;
    const refusing: Broker = {
      ...broker,
      async publishConnection(purpose, listener) {
        const connection = await broker.publishConnection(purpose, listener);
        const { channel } = connection;
        const publish = channel.publish.bind(channel);
        channel.publish = (exchange, routingKey, content, options, confirmed) => {
          // The first batch as a whole, then one message in the middle of it: others of its batch are published.
          const refuse = exchange !== '' && (refusals < 50 || (refusals === 50 && options?.messageId === middle));
          if (!refuse) return publish(exchange, routingKey, content, options, confirmed);
          refusals += 1;
          confirmed?.(new Error('refused'), {});
          return true;
        };
        return connection;
      },
    };
    const { events } = await log.readLog(0, { limit: 50 });
    const middle = events[25]!.eventId;
    relay({ broker: refusing, batchSize: 50 });
    consume();
    await until(() => total() === 100);
    await until(async () => (await relayed()) === 100);
    expect(refusals).toBe(51);
    inOrder(handler);
  });

  test('a message without a queue is counted, and not tried again', async () => {
    const { log, rabbit, broker, relay, relayed } = await given();
    const events = await grow(log, 'orders.order/1', 3);
    const published: unknown[] = [];
    const counting: Broker = {
      ...broker,
      async publishConnection(purpose, listener) {
        const connection = await broker.publishConnection(purpose, listener);
        const { channel } = connection;
        const publish = channel.publish.bind(channel);
        channel.publish = (...message) => {
          published.push(message[3]?.messageId);
          return publish(...message);
        };
        return connection;
      },
    };
    relay({ broker: counting });
    await until(async () => (await relayed()) === 3);
    // If a message without a queue were tried again, that would show before this event.
    events.push(...(await grow(log, 'orders.order/1', 1)));
    await until(async () => (await relayed()) === 4);
    expect(published).toEqual(events.map(({ eventId }) => eventId));
    const publisher = openPublisher({
      broker,
      purpose: 'test',
      prepare: (channel) => declareExchange(channel, 'orders', rabbit.prefix),
    });
    const exchange = `${rabbit.prefix}events.orders.v1`;
    const { returned } = await publisher.publish(events.map((event) => toMessage(event, exchange)));
    expect(returned).toEqual(new Set(events.map(({ eventId }) => eventId)));
    await publisher.close();
  });

  test('a queue that is deleted under its consumer is created again, and reconciliation finds its events', async () => {
    const { log, handler, rabbit, bind, relay, consume, total } = await given();
    await bind();
    relay();
    consume(handler, { reconciliation: { everyMs: 200, minAgeMs: 0 } });
    await growMany(log, 5);
    await until(() => total() === 100);
    await deleteHandler({ broker: rabbit.direct, handler: handler.name });
    await growMany(log, 5);
    await until(() => total() === 200);
    inOrder(handler);
  });

  test('dead letters stay in their queue until their stream is redriven', async () => {
    const { database, log, logs, broker, handler, rabbit, bind, relay, consume, total } = await given();
    await bind();
    relay();
    const deadLetters = brokerDeadLetters({ broker, handler: handler.name });
    onEnd(() => deadLetters.close());
    const dead = `${rabbit.prefix}order-list.v1.dead`;
    handler.judge = ({ stream }) => stream !== 'orders.order/1' && new Error('bad data');
    consume(handler, { deadLetters, retry: { times: 3, firstMs: 4, maxMs: 20 } });
    for (const id of [1, 2, 3]) await grow(log, `orders.order/${id}`, 4);
    await until(async () => {
      const parked = await collect(listDeadLetters(database));
      return parked.length === 2 && parked.every(({ count }) => count === 4) && total() === 4;
    });
    await until(async () => (await rabbit.ready(dead)) === 2);

    const channel = await rabbit.direct.sharedChannel();
    const letter = (await channel.get(dead)) || undefined;
    expect(letter?.properties.headers).toMatchObject({
      cloudEvents_streamversion: 1,
      caudal_error: 'Error: bad data',
    });
    await channel.close();
    // It returns shortly after the channel is closed; the redrive removes only letters that are in the queue.
    await until(async () => (await rabbit.ready(dead)) === 2);

    handler.judge = ({ stream }) => stream === 'orders.order/3' && new Error('still bad');
    const redriven = await collect(redrive({ handler, logs, database, deadLetters }));
    expect(redriven).toMatchObject([
      { stream: 'orders.order/2', outcome: 'redriven' },
      { stream: 'orders.order/3', outcome: 'still-parked', error: 'Error: still bad' },
    ]);
    expect(handler.applied.get('orders.order/2')).toEqual([1, 2, 3, 4]);
    await until(async () => (await rabbit.ready(dead)) === 1);
    expect(await collect(listDeadLetters(database, handler.name))).toMatchObject([{ stream: 'orders.order/3' }]);
  });

  test('garbage in the queue is dropped, messages behind it are not', async () => {
    const { log, handler, queue, rabbit, bind, relay, consume, total } = await given();
    await bind();
    const { channel, close } = await rabbit.direct.publishConnection('test');
    channel.sendToQueue(queue, Buffer.from('no event'));
    await channel.waitForConfirms();
    await close();
    relay();
    consume(handler);
    await growMany(log, 5);
    await until(() => total() === 100);
    await until(async () => (await rabbit.ready(queue)) === 0);
  });
});
