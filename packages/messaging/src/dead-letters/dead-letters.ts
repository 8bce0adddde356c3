/**
 * Dead letters on the broker: events that a handler could not handle are kept in `<handler>.dead`, for operators and
 * their tools. A redrive uses the parked stream in PostgreSQL and the log: nothing depends on the letter.
 */

import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { unavailable } from '@caudal/kernel/errors.ts';
import { within } from '@caudal/kernel/time.ts';
import { answered } from '../rabbitmq/connecting.ts';
import type { Broker } from '../rabbitmq/connection.ts';
import { fromMessage, toMessage } from '../rabbitmq/envelope.ts';
import { openPublisher } from '../rabbitmq/publisher.ts';
import { deadLetterQueueName, declareDeadLetterQueue } from '../rabbitmq/topology.ts';

export interface DeadLetters {
  /** Resolves when the letter is safe. UNAVAILABLE otherwise. */
  publish(event: RecordedEvent, error: string): Promise<void>;
  /** Removes the letters of streams for which `isDone` is true, of those that are in the queue at the start. */
  drain(isDone: (stream: string) => Promise<boolean>): Promise<{ removed: number; kept: number }>;
  close(): Promise<void>;
}

const maxErrorLength = 2_000;
const letterMs = 5_000;
const closeTimeoutMs = 2_000;

/** The dead letters of a handler, in its queue on the broker. */
export function brokerDeadLetters({ broker, handler }: { broker: Broker; handler: string }): DeadLetters {
  const queue = deadLetterQueueName(handler, broker.prefix);
  const publisher = openPublisher({
    broker,
    purpose: `dead letters of ${handler}`,
    prepare: (channel) => declareDeadLetterQueue(channel, handler, broker.prefix),
  });

  const publish = async (event: RecordedEvent, error: string): Promise<void> => {
    const message = toMessage(event, '', queue);
    message.options.headers.caudal_error = error.slice(0, maxErrorLength);
    const { returned, refused, unanswered } = await publisher.publish([message], { patienceMs: letterMs });
    if (refused.size + unanswered.size > 0) throw unavailable('RabbitMQ', `${queue} does not take the letter`);
    if (returned.size === 0) return;
    // The queue was deleted: a new connection declares it again.
    await publisher.drop();
    throw unavailable('RabbitMQ', `the queue ${queue} was deleted`);
  };

  return {
    publish,
    async drain(isDone) {
      const count = { removed: 0, kept: 0 };
      const channel = await broker.sharedChannel();
      try {
        await answered(declareDeadLetterQueue(channel, handler, broker.prefix));
        const { messageCount } = await answered(channel.checkQueue(queue));
        for (let left = messageCount; left > 0; left--) {
          const letter = await answered(channel.get(queue));
          if (!letter) break;
          const event = fromMessage(letter);
          if (event && !(await isDone(event.stream))) {
            // Publishes a copy at the end, then removes this one: a requeue would count towards the delivery limit.
            await publish(event, String(letter.properties.headers?.caudal_error ?? ''));
            count.kept += 1;
          } else {
            count.removed += 1;
          }
          channel.ack(letter);
        }
        return count;
      } catch (error) {
        throw unavailable('RabbitMQ', error);
      } finally {
        await within(closeTimeoutMs, channel.close()).catch(() => {});
      }
    },
    close: () => publisher.close(),
  };
}
