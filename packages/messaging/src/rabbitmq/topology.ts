/**
 * The exchanges and queues, and their names. The names are made only here: charts and autoscalers use the same
 * functions.
 *
 *   exchange  events.<domain>.v1   topic; routing key = the event's type, `<domain>.<entity>.<action>.v<n>`
 *   queue     <handler>            quorum; bound to `<domain>.<entity>.#` for each entity that the handler follows
 *   queue     <handler>.dead       quorum; no binding: the consumer publishes to it with confirm
 *
 * A queue's type is its only argument, since arguments can't be changed; everything else is a policy. See README,
 * Choices.
 */

import { unavailable } from '@caudal/kernel/errors.ts';
import { within } from '@caudal/kernel/time.ts';
import type { Channel } from 'amqplib';
import { answered } from './connecting.ts';
import type { Broker } from './connection.ts';

/** A handler that has a queue. */
export interface QueuedHandler {
  /** `order-details.v1` */
  readonly name: string;
  /** `['orders.order', 'payments.payment']` */
  readonly entities: string[];
}

/** The key with which a handler's queue is bound for an entity. */
export function bindingKey(entity: string): string {
  return `${entity}.#`;
}

/** The exchange of a domain's events. */
export function exchangeName(domain: string, prefix = ''): string {
  return `${prefix}events.${domain}.v1`;
}

/** The queue of a handler. */
export function queueName(handler: string, prefix = ''): string {
  return `${prefix}${handler}`;
}

/** The queue of a handler's dead letters. */
export function deadLetterQueueName(handler: string, prefix = ''): string {
  return `${queueName(handler, prefix)}.dead`;
}

const closeTimeoutMs = 2_000;

const quorum = { durable: true, arguments: { 'x-queue-type': 'quorum' } };

/** Creates the exchange of a domain if it is not there. */
export async function declareExchange(channel: Channel, domain: string, prefix: string): Promise<void> {
  await channel.assertExchange(exchangeName(domain, prefix), 'topic', { durable: true });
}

/** Creates the queue for a handler's dead letters if it is not there. */
export async function declareDeadLetterQueue(channel: Channel, handler: string, prefix: string): Promise<void> {
  await channel.assertQueue(deadLetterQueueName(handler, prefix), quorum);
}

/** Creates a handler's queue if it is not there. */
export async function declareQueue(channel: Channel, handler: string, prefix: string): Promise<void> {
  await channel.assertQueue(queueName(handler, prefix), quorum);
}

async function withChannel<T>(broker: Broker, work: (channel: Channel) => Promise<T>): Promise<T> {
  const channel = await broker.sharedChannel();
  try {
    return await answered(work(channel));
  } catch (error) {
    throw unavailable('RabbitMQ', error);
  } finally {
    await within(closeTimeoutMs, channel.close()).catch(() => {});
  }
}

/** What came of a change of bindings: `missing`, the queue does not exist; `denied`, the broker's user may not. */
export type Binding = 'done' | 'missing' | 'denied';

/** Changes the bindings of a queue, by its full name, to a domain's exchange. UNAVAILABLE if there is no answer. */
async function changeBindings(
  { broker, domain, keys }: { broker: Broker; domain: string; keys: string[] },
  change: (channel: Channel, exchange: string, key: string) => Promise<unknown>,
): Promise<Binding> {
  try {
    await withChannel(broker, async (channel) => {
      await declareExchange(channel, domain, broker.prefix);
      for (const key of keys) await change(channel, exchangeName(domain, broker.prefix), key);
    });
    return 'done';
  } catch (error) {
    const { code } = ((error as Error).cause ?? {}) as { code?: unknown };
    if (code === 404) return 'missing';
    if (code === 403 || code === 405) return 'denied';
    throw error;
  }
}

/** Binds a queue with these keys. What is published after this reaches it. */
export function bindKeys(of: { broker: Broker; domain: string; queue: string; keys: string[] }): Promise<Binding> {
  return changeBindings(of, (channel, exchange, key) => channel.bindQueue(of.queue, exchange, key));
}

/** Removes the bindings of a queue with these keys, where they are. */
export function unbindKeys(of: { broker: Broker; domain: string; queue: string; keys: string[] }): Promise<Binding> {
  return changeBindings(of, (channel, exchange, key) => channel.unbindQueue(of.queue, exchange, key));
}

/**
 * Deletes the queues of a handler that no longer exists (an old generation), with their messages. UNAVAILABLE if the
 * broker can't be reached.
 */
export function deleteHandler({ broker, handler }: { broker: Broker; handler: string }): Promise<void> {
  return withChannel(broker, async (channel) => {
    await channel.deleteQueue(queueName(handler, broker.prefix));
    await channel.deleteQueue(deadLetterQueueName(handler, broker.prefix));
  });
}

/**
 * The number of consumers of a handler's queue; 0 if there is no queue. UNAVAILABLE if the broker can't be reached.
 */
export async function countConsumers({ broker, handler }: { broker: Broker; handler: string }): Promise<number> {
  try {
    return await withChannel(
      broker,
      async (channel) => (await channel.checkQueue(queueName(handler, broker.prefix))).consumerCount,
    );
  } catch (error) {
    if (((error as Error).cause as { code?: unknown } | undefined)?.code === 404) return 0;
    throw error;
  }
}
