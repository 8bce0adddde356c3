/**
 * The exchanges and queues, and their names. The names are made only here: charts and autoscalers use the same
 * functions.
 *
 *   exchange  events.<domain>.v1   topic; routing keys = the event's type, `<domain>.<entity>.<action>.v<n>`, and its
 *                                  slot's, `<domain>.<entity>.s<n>`
 *   queue     <handler>.p<k>       quorum; a part, bound to its slots of each entity that the handler follows
 *   queue     <handler>.dead       quorum; no binding: the consumer publishes to it with confirm
 *   queue     <name>.work          quorum; no binding: work that exists nowhere else (work-queue.ts)
 *   queue     <handler>            the whole queue of version 0.2, bound to `<domain>.<entity>.#` (whole-queue.ts)
 *
 * A queue's type and its single active consumer are its only arguments, since arguments can't be changed; everything
 * else is a policy, but for queues of work. See README, Choices, and docs/parts.md.
 */

import { unavailable } from '@caudal/kernel/errors.ts';
import { within } from '@caudal/kernel/time.ts';
import type { Channel } from 'amqplib';
import { answered } from './connecting.ts';
import type { Broker } from './connection.ts';
import { slotCount, slotKey, slotsOf } from './slots.ts';

/** A handler that has a queue. */
export interface QueuedHandler {
  /** `order-details.v1` */
  readonly name: string;
  /** `['orders.order', 'payments.payment']` */
  readonly entities: string[];
  /** Into how many parts its events are divided; 1 if absent. */
  readonly parts?: number;
}

/** The key with which a handler's whole queue is bound for an entity. */
export function wholeKey(entity: string): string {
  return `${entity}.#`;
}

/** The keys with which a part's queue is bound for some entities. */
export function partKeys(entities: string[], part: number, parts: number): string[] {
  return entities.flatMap((entity) => slotsOf(part, parts).map((slot) => slotKey(entity, slot)));
}

/** The exchange of a domain's events. */
export function exchangeName(domain: string, prefix = ''): string {
  return `${prefix}events.${domain}.v1`;
}

/** A queue by its full name: `follower` is its name without the namespace, as a log knows it. */
export function queueName(follower: string, prefix = ''): string {
  return `${prefix}${follower}`;
}

/** The follower of a part of a handler. The whole queue's follower has the handler's name. */
export function partName(handler: string, part: number): string {
  return `${handler}.p${part}`;
}

/** The queue of a part of a handler. */
export function partQueueName(handler: string, part: number, prefix = ''): string {
  return queueName(partName(handler, part), prefix);
}

/** The queue of a handler's dead letters. */
export function deadLetterQueueName(handler: string, prefix = ''): string {
  return `${queueName(handler, prefix)}.dead`;
}

/** A queue of work (work-queue.ts). */
export function workQueueName(name: string, prefix = ''): string {
  return `${queueName(name, prefix)}.work`;
}

/** RabbitMQ 3 has no value for "no limit"; no message is delivered this often. */
export const noDeliveryLimit = 1_000_000_000;

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

/** Creates the queue of a part if it is not there. */
export async function declarePart(channel: Channel, handler: string, part: number, prefix: string): Promise<void> {
  await channel.assertQueue(partQueueName(handler, part, prefix), {
    durable: true,
    arguments: { ...quorum.arguments, 'x-single-active-consumer': true },
  });
}

/** Creates a handler's whole queue, as version 0.2 did, if it is not there. */
export async function declareWhole(channel: Channel, handler: string, prefix: string): Promise<void> {
  await channel.assertQueue(queueName(handler, prefix), quorum);
}

/** Runs `work` on a channel of the shared connection. UNAVAILABLE if there is none, no answer, or the broker refuses. */
export async function withChannel<T>(broker: Broker, work: (channel: Channel) => Promise<T>): Promise<T> {
  const channel = await broker.sharedChannel();
  try {
    return await answered(work(channel));
  } catch (error) {
    throw unavailable('RabbitMQ', error);
  } finally {
    await within(closeTimeoutMs, channel.close()).catch(() => {});
  }
}

/** The AMQP code with which the broker has closed the channel of `withChannel`: 404 if something is not there. */
const replyCode = (error: unknown): unknown => ((error as Error).cause as { code?: unknown } | undefined)?.code;

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
    const code = replyCode(error);
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
    for (let part = 0; part < slotCount; part++) await channel.deleteQueue(partQueueName(handler, part, broker.prefix));
    await channel.deleteQueue(queueName(handler, broker.prefix));
    await channel.deleteQueue(deadLetterQueueName(handler, broker.prefix));
  });
}

/** What a queue has. */
export interface QueueState {
  messages: number;
  consumers: number;
}

/** The state of a queue, by its full name; undefined if there is none. UNAVAILABLE if the broker can't be reached. */
export async function inspectQueue(broker: Broker, queue: string): Promise<QueueState | undefined> {
  try {
    const { messageCount, consumerCount } = await withChannel(broker, (channel) => channel.checkQueue(queue));
    return { messages: messageCount, consumers: consumerCount };
  } catch (error) {
    if (replyCode(error) === 404) return undefined;
    throw error;
  }
}

/** Deletes a queue, by its full name, if it holds no message. Errors: those of `inspectQueue`. */
export async function deleteIfEmpty(broker: Broker, queue: string): Promise<void> {
  const state = await inspectQueue(broker, queue);
  // A quorum queue refuses the condition "if empty". Nothing is bound to it any more, so nothing arrives in between.
  if (state?.messages === 0) await withChannel(broker, (channel) => channel.deleteQueue(queue));
}

/**
 * Whether a process consumes a handler's events, of this version or of 0.2. UNAVAILABLE if the broker can't be reached.
 */
export async function isConsumed({ broker, handler }: { broker: Broker; handler: string }): Promise<boolean> {
  for (const queue of [partQueueName(handler, 0, broker.prefix), queueName(handler, broker.prefix)])
    if (((await inspectQueue(broker, queue))?.consumers ?? 0) > 0) return true;
  return false;
}
