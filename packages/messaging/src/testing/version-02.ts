/** For tests of the upgrade: a handler's feed and a relay as version 0.2 had them, with one queue and without slots. */
import type { LogReader, RecordedEvent } from '@caudal/eventlog/types.ts';
import type { Running } from '@caudal/kernel/lifetime.ts';
import type { Database } from '@caudal/postgres/database.ts';
import type { ConsumeMessage } from 'amqplib';
import { whileLeading } from '../lease.ts';
import type { Broker } from '../rabbitmq/connection.ts';
import { fromMessage, toMessage } from '../rabbitmq/envelope.ts';
import { openPublisher } from '../rabbitmq/publisher.ts';
import { declareExchange, exchangeName } from '../rabbitmq/topology.ts';
import type { Feed } from '../types.ts';

/** Competing consumers of the queue `<handler>`, bound with `orders.order.#`. */
export function oldFeed(broker: Broker, handler: string): Feed {
  return {
    async run(deliver, signal) {
      const channel = await broker.sharedChannel();
      const queue = `${broker.prefix}${handler}`;
      const inbox: ConsumeMessage[] = [];
      let wake = () => {};
      signal.addEventListener('abort', () => wake());
      await declareExchange(channel, 'orders', broker.prefix);
      await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
      await channel.bindQueue(queue, exchangeName('orders', broker.prefix), 'orders.order.#');
      await channel.prefetch(64);
      await channel.consume(queue, (message) => {
        if (message) inbox.push(message);
        wake();
      });
      while (!signal.aborted) {
        if (inbox.length === 0)
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        const batch = inbox.splice(0, 32);
        if (batch.length === 0) continue;
        await deliver(batch.map(fromMessage) as RecordedEvent[]);
        channel.ack(batch.at(-1)!, true);
      }
      await channel.close();
    },
  };
}

/** A relay that sends no slots, and notes nothing of them. */
export function startOldRelay(options: {
  log: LogReader;
  database: Database;
  broker: Broker;
  holder: string;
}): Running {
  const { log, database, broker, holder } = options;
  const stopping = new AbortController();
  const publisher = openPublisher({
    broker,
    purpose: 'old relay',
    prepare: (channel) => declareExchange(channel, log.domain, broker.prefix),
  });
  const { signal } = stopping;
  const running = whileLeading({ database, name: 'relay', holder, ttlMs: 2_000, signal }, async (lease) => {
    let { position } = lease;
    while (!lease.signal.aborted) {
      const { events } = await log.readLog(position, { limit: 100, waitMs: 200, signal: lease.signal });
      if (events.length === 0) continue;
      const messages = events.map((event) => toMessage(event, exchangeName(log.domain, broker.prefix)));
      for (const { options: of } of messages) delete (of.headers as { CC?: unknown }).CC;
      await publisher.publish(messages);
      position = events.at(-1)!.position;
      if (!(await lease.advance(position))) return;
    }
  });
  return {
    async stop() {
      stopping.abort();
      await running;
      await publisher.close();
    },
  };
}
