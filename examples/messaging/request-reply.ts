/**
 * Request and reply over the broker, for programs that can't reach each other directly. A request has a correlation id and a deadline:
 * one that nobody took in time is dropped, and the reply to a requester that is gone is dropped too. docs/messaging-recipes.md
 */
import { randomUUID } from 'node:crypto';
import type { ChannelModel } from 'amqplib';

/** RabbitMQ's direct reply-to: no queue is made, and replies end with the requester's connection. */
const replyTo = 'amq.rabbitmq.reply-to';
const maxPending = 1_000;

export interface Requester {
  /** The reply. Rejects if nobody serves the queue, or after `timeoutMs`. */
  request(queue: string, body: unknown, timeoutMs: number): Promise<unknown>;
}

interface Pending {
  resolve(body: unknown): void;
  reject(error: Error): void;
}

export async function openRequester(connection: ChannelModel): Promise<Requester> {
  const channel = await connection.createChannel();
  const pending = new Map<string, Pending>();
  await channel.consume(
    replyTo,
    (message) => {
      if (!message) return;
      // A reply after the time-out finds nothing here.
      pending.get(message.properties.correlationId)?.resolve(JSON.parse(message.content.toString()));
    },
    { noAck: true },
  );
  // `mandatory`: what no queue takes comes back at once.
  channel.on('return', ({ properties }) =>
    pending.get(properties.correlationId)?.reject(new Error('nobody serves this queue')),
  );
  channel.once('close', () => {
    for (const { reject } of [...pending.values()]) reject(new Error('the connection has ended'));
  });
  return {
    async request(queue, body, timeoutMs) {
      if (pending.size >= maxPending) throw new Error(`${maxPending} requests are waiting already`);
      const correlationId = randomUUID();
      const { promise, resolve, reject } = Promise.withResolvers<unknown>();
      pending.set(correlationId, { resolve, reject });
      const timer = setTimeout(() => reject(new Error(`no reply within ${timeoutMs} ms`)), timeoutMs);
      try {
        channel.sendToQueue(queue, Buffer.from(JSON.stringify(body)), {
          ...{ correlationId, replyTo, mandatory: true },
          // The broker drops a request that nobody has taken by then.
          expiration: timeoutMs,
          headers: { deadline: Date.now() + timeoutMs },
        });
        return await promise;
      } finally {
        clearTimeout(timer);
        pending.delete(correlationId);
      }
    },
  };
}

/** Serves requests until the connection ends. The queue ends with its last server. */
export async function serveRequests(
  connection: ChannelModel,
  queue: string,
  serve: (body: unknown) => Promise<unknown>,
): Promise<void> {
  const channel = await connection.createChannel();
  await channel.assertQueue(queue, { durable: false, autoDelete: true, arguments: { 'x-max-length': 1_000 } });
  await channel.prefetch(10);
  await channel.consume(queue, async (message) => {
    if (!message) return;
    const { correlationId, replyTo: to, headers } = message.properties;
    // Its requester has given up while it waited here: to serve it would be work for nobody.
    if (Number(headers?.deadline) > Date.now()) {
      const reply = await serve(JSON.parse(message.content.toString()));
      // If the requester is gone, the broker drops it.
      channel.sendToQueue(String(to), Buffer.from(JSON.stringify(reply)), { correlationId });
    }
    channel.ack(message);
  });
}
