/**
 * Publish-subscribe: a program outside of Caudal follows events, in a queue of its own. Each such program gets every event.
 *
 *   RABBITMQ_URL=amqp://shop-mailer:...@rabbitmq node examples/messaging/follow-events.ts
 *
 * docs/messaging-recipes.md says which permissions its account needs, and what it must expect.
 */
import { OrderEvent } from '@caudal/contract/gen/caudal/orders/v1/events.ts';
import { type ChannelModel, type ConsumeMessage, connect } from 'amqplib';

export interface FollowOptions {
  connection: ChannelModel;
  /** Begins with the account's name: `shop-mailer.orders`. */
  queue: string;
  /** `events.orders.v1` */
  exchange: string;
  /** Types of events, or `orders.order.#` for all of an entity. */
  keys: string[];
  /** May be called again with the same event, and with an older one: compare versions. */
  handle(event: { type: string; stream: string; version: number; body: Buffer }): Promise<void>;
}

/** An abandoned queue must not fill the broker's disk: it is dropped after a week without consumer, and holds this many. */
const queueArguments = {
  'x-queue-type': 'quorum',
  'x-max-length': 100_000,
  'x-expires': 7 * 24 * 3_600_000,
  // What can't be handled goes to the dead letters after these attempts.
  'x-delivery-limit': 5,
};

/** Follows until the connection ends. Events that arrive while the program is away wait in the queue. */
export async function followEvents({ connection, queue, exchange, keys, handle }: FollowOptions): Promise<void> {
  const channel = await connection.createChannel();
  await channel.assertQueue(`${queue}.dead`, {
    durable: true,
    arguments: { 'x-queue-type': 'quorum', 'x-max-length': 10_000, 'x-expires': queueArguments['x-expires'] },
  });
  // Not the default exchange: to write there, the account would need the right to write to every queue.
  await channel.assertExchange(`${queue}.dead`, 'fanout', { durable: true });
  await channel.bindQueue(`${queue}.dead`, `${queue}.dead`, '');
  await channel.assertQueue(queue, {
    durable: true,
    arguments: { ...queueArguments, 'x-dead-letter-exchange': `${queue}.dead` },
  });
  for (const key of keys) await channel.bindQueue(queue, exchange, key);
  await channel.prefetch(50);
  await channel.consume(queue, async (message) => {
    // The broker has ended the consumer, for example because the queue was deleted.
    if (!message) return;
    try {
      await handle(eventOf(message));
      channel.ack(message);
    } catch {
      channel.nack(message, false, true);
    }
  });
}

function eventOf({ properties, content }: ConsumeMessage) {
  const { cloudEvents_type, cloudEvents_subject, cloudEvents_streamversion } = properties.headers ?? {};
  return {
    type: String(cloudEvents_type),
    stream: String(cloudEvents_subject),
    version: Number(cloudEvents_streamversion),
    body: content,
  };
}

if (import.meta.main) {
  const connection = await connect(process.env.RABBITMQ_URL ?? 'amqp://127.0.0.1');
  // The last version seen of each stream; a real program keeps it where it keeps its work, in the same transaction.
  const seen = new Map<string, number>();
  await followEvents({
    connection,
    queue: 'shop-mailer.orders',
    exchange: 'events.orders.v1',
    keys: ['orders.order.#'],
    async handle({ type, stream, version, body }) {
      if (version <= (seen.get(stream) ?? 0)) return;
      console.log(type, stream, OrderEvent.toJSON(OrderEvent.decode(body)));
      seen.set(stream, version);
    },
  });
}
