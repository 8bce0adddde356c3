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

import { domainOf } from '@caudal/contract/entity.ts';
import { unavailable } from '@caudal/kernel/errors.ts';
import { within } from '@caudal/kernel/time.ts';
import type { Channel } from 'amqplib';
import { answered, type Broker } from './connection.ts';

/** A handler as the topology needs it. */
export interface Follower {
  /** `order-details.v1` */
  readonly name: string;
  /** `['orders.order', 'payments.payment']` */
  readonly entities: string[];
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

/**
 * Creates a handler's queue and binds it. All events of its entities that are published after this reach the queue.
 * Bindings of entities that the handler no longer follows stay: the feed drops their events.
 */
export async function declareHandler(channel: Channel, handler: Follower, prefix: string): Promise<void> {
  const queue = queueName(handler.name, prefix);
  await channel.assertQueue(queue, quorum);
  for (const entity of handler.entities) {
    await declareExchange(channel, domainOf(entity), prefix);
    await channel.bindQueue(queue, exchangeName(domainOf(entity), prefix), `${entity}.#`);
  }
}

async function withChannel<T>(broker: Broker, work: (channel: Channel) => Promise<T>): Promise<T> {
  const channel = await broker.consumeChannel();
  try {
    return await answered(work(channel));
  } catch (error) {
    throw unavailable('RabbitMQ', error);
  } finally {
    await within(closeTimeoutMs, channel.close()).catch(() => {});
  }
}

/**
 * Creates a handler's queue before its first consumer: events that are published after this wait in it. UNAVAILABLE if
 * the broker can't be reached.
 */
export function bindHandler({ broker, handler }: { broker: Broker; handler: Follower }): Promise<void> {
  return withChannel(broker, (channel) => declareHandler(channel, handler, broker.prefix));
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
 * The number of consumers of a handler's queue. Creates it if it is not there. UNAVAILABLE if the broker can't be
 * reached.
 */
export function countConsumers({ broker, handler }: { broker: Broker; handler: Follower }): Promise<number> {
  return withChannel(broker, async (channel) => {
    await declareHandler(channel, handler, broker.prefix);
    return (await channel.checkQueue(queueName(handler.name, broker.prefix))).consumerCount;
  });
}
