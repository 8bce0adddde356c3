/**
 * A queue of work: its messages exist nowhere else, unlike those of a handler, which the log has. So it is a quorum queue, a message
 * is accepted once the broker has confirmed it, a full queue refuses new ones instead of dropping old ones, and none is dropped because its
 * consumers have died. `caudal migrate` sets its policy by the end of its name (policies.ts), where it can: so the queue has its limits
 * from its arguments, too.
 */
import { CaudalError, unavailable } from '@caudal/kernel/errors.ts';
import type { Running } from '@caudal/kernel/lifetime.ts';
import { within } from '@caudal/kernel/time.ts';
import type { Channel } from 'amqplib';
import { answered } from './connecting.ts';
import type { Broker } from './connection.ts';
import { type Delivery, openInbox } from './inbox.ts';
import type { PublishConnection } from './publish-connection.ts';
import { consumeQueue } from './queue-consumer.ts';
import { inspectQueue, noDeliveryLimit, workQueueName } from './topology.ts';

/** A message as a consumer gets it. */
export interface WorkMessage {
  content: Buffer;
}

export interface WorkConsumer extends Running {
  /**
   * Gives `work` messages that weigh up to `limit`, but at least one, and takes them out of the queue once it has resolved; returns how
   * many. Waits for the first, until the signal fires. What `work` throws is thrown, and the next call begins with the same messages.
   */
  take(limit: number, work: (messages: WorkMessage[]) => Promise<void>, signal: AbortSignal): Promise<number>;
}

export interface WorkQueue {
  /** Resolves once the message is durable. Errors: RESOURCE_EXHAUSTED WORK_QUEUE_FULL; UNAVAILABLE: it may be there or not. */
  publish(content: Uint8Array): Promise<void>;
  /** How many messages wait, without those that consumers hold. UNAVAILABLE if the broker does not say it. */
  length(): Promise<number>;
  /** `prefetch`: messages that the broker hands out before it waits for acknowledgements. `weigh`: 1 each if absent. */
  consume(options: { prefetch: number; weigh?(content: Buffer): number }): WorkConsumer;
}

const confirmMs = 10_000;

/** The queue is made at the first use. `maxMessages` can't be changed later, except by a policy to a smaller number. */
export function openWorkQueue(options: { broker: Broker; name: string; maxMessages: number }): WorkQueue {
  const { broker, name, maxMessages } = options;
  const queue = workQueueName(name, broker.prefix);
  let publisher: Promise<PublishConnection> | undefined;
  /** Of the present publisher: the end of an earlier one does not concern it. */
  let generation = 0;
  /** Messages that no queue has taken, although the broker confirms them: the queue was deleted. */
  const returned = new Set<string>();
  let published = 0;

  /** A queue that is there stays as it is: the version before made it without a delivery limit, and arguments can't be changed. */
  async function declare(channel: Channel): Promise<void> {
    if (await inspectQueue(broker, queue)) return;
    await channel.assertQueue(queue, {
      durable: true,
      arguments: {
        'x-queue-type': 'quorum',
        'x-max-length': maxMessages,
        'x-overflow': 'reject-publish',
        'x-delivery-limit': noDeliveryLimit,
      },
    });
  }

  async function open(): Promise<PublishConnection> {
    const own = ++generation;
    const forget = () => {
      if (own === generation) publisher = undefined;
    };
    const connection = await broker.publishConnection(`publish ${name}`, { onEnd: forget });
    try {
      await answered(declare(connection.channel));
      // A channel that is closed stays closed: the next message gets another connection.
      connection.channel.on('close', () => {
        forget();
        void connection.close();
      });
      connection.channel.on('return', ({ properties }) => void returned.add(String(properties.messageId)));
      return connection;
    } catch (error) {
      await connection.close();
      throw unavailable('RabbitMQ', error);
    }
  }

  function current(): Promise<PublishConnection> {
    publisher ??= open();
    const opening = publisher;
    return opening.catch((error: unknown) => {
      if (publisher === opening) publisher = undefined;
      throw error;
    });
  }

  return {
    async publish(content) {
      const connection = await current();
      if (connection.blocked()) throw unavailable('RabbitMQ');
      const outcome = Promise.withResolvers<void>();
      const messageId = String(++published);
      try {
        const options = { persistent: true, mandatory: true, messageId };
        connection.channel.publish('', queue, Buffer.from(content), options, (error: unknown) => {
          if (error) return outcome.reject(isNack(error) ? full() : unavailable('RabbitMQ', error));
          if (!returned.delete(messageId)) return outcome.resolve();
          outcome.reject(unavailable('RabbitMQ', new Error(`there is no queue ${queue}`)));
          // The next connection declares it.
          void connection.close();
        });
      } catch (error) {
        // The channel is closed.
        throw unavailable('RabbitMQ', error);
      }
      if (await within(confirmMs, outcome.promise)) return;
      await connection.close();
      throw unavailable('RabbitMQ', new Error(`no confirm within ${confirmMs} ms`));
    },

    async length() {
      const { channel } = await current();
      try {
        return (await answered(channel.checkQueue(queue))).messageCount;
      } catch (error) {
        throw unavailable('RabbitMQ', error);
      }
    },

    consume({ prefetch, weigh = () => 1 }) {
      const connection = broker.consumeConnection(name);
      const inbox = openInbox();
      const consumer = consumeQueue({ connection, queue, declare, prefetch, inbox });
      return {
        async take(limit, work, signal) {
          const batch = await inbox.take((waiting) => countWithin(limit, waiting, weigh), signal);
          if (batch.length === 0) return 0;
          const working = work(batch.map(({ message }) => ({ content: message.content })));
          await inbox.during(
            batch,
            working.then(
              () => {},
              () => inbox.giveBack(batch),
            ),
          );
          await working;
          // One that is not acknowledged any more is delivered again.
          for (const { message, session } of batch) if (session.isOpen()) session.channel.ack(message);
          return batch.length;
        },
        async stop() {
          await consumer.stop();
          await connection.close();
        },
      };
    },
  };
}

/** How many from the first on are within the limit; the first always is. */
function countWithin(limit: number, waiting: readonly Delivery[], weigh: (content: Buffer) => number): number {
  let weight = 0;
  const beyond = waiting.findIndex(({ message }, index) => {
    weight += weigh(message.content);
    return index > 0 && weight > limit;
  });
  return beyond < 0 ? waiting.length : beyond;
}

/** The queue's own answer. A channel that is lost fails all that is not confirmed, with another error. */
const isNack = (error: unknown) => error instanceof Error && error.message === 'message nacked';

function full(): CaudalError {
  return new CaudalError('RESOURCE_EXHAUSTED', 'WORK_QUEUE_FULL', 'Too many messages wait. Try again.', {
    retryAfterMs: 1_000,
  });
}
