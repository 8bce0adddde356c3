/** Publishing with confirms: a batch is done when the broker has confirmed or returned every message of it. */

import { unavailable } from '@caudal/kernel/errors.ts';
import { within } from '@caudal/kernel/time.ts';
import { logger } from '@caudal/telemetry/log.ts';
import type { Channel, ConfirmChannel } from 'amqplib';
import { answered, type Broker } from './connection.ts';
import type { OutgoingMessage } from './envelope.ts';

export interface Publisher {
  /**
   * Sends all messages at once and waits for their confirms. Batches may overlap; they are sent in the order of the
   * calls. Returns the ids of those that no queue was bound for. UNAVAILABLE if one is not confirmed: then it is not
   * known for any of them whether it was published.
   */
  publish(messages: OutgoingMessage[]): Promise<Set<string>>;
  close(): Promise<void>;
}

interface Session {
  channel: ConfirmChannel;
  /** Ids of returned messages whose confirm has not arrived yet: the broker sends a return before its confirm. */
  returned: Set<string>;
}

const log = logger('publisher');
const closeTimeoutMs = 2_000;

/** Sends the messages. One that can't be encoded is left out: otherwise it would stop those behind it for ever. */
function send(channel: ConfirmChannel, messages: OutgoingMessage[]): Promise<void> {
  return new Promise((resolve, reject) => {
    let open = messages.length;
    const settle = (error: Error | null) => {
      if (error) reject(error);
      else if (--open === 0) resolve();
    };
    if (open === 0) resolve();
    for (const { exchange, routingKey, content, options } of messages) {
      try {
        channel.publish(exchange, routingKey, content, options, settle);
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        log.error(
          { err: error, event: options.messageId, type: routingKey },
          'an event is too large to be published: consumers read it from the log',
        );
        settle(null);
      }
    }
  });
}

/**
 * Publishes through one channel, opened anew when it breaks. `prepare` declares the exchange or queue on each new
 * channel. A batch must be confirmed within `confirmTimeoutMs` (30,000 if absent), not counting the time in which the
 * broker blocks.
 */
export function openPublisher(options: {
  broker: Broker;
  prepare(channel: Channel): Promise<void>;
  confirmTimeoutMs?: number;
}): Publisher {
  const { broker, prepare, confirmTimeoutMs = 30_000 } = options;
  let current: Promise<Session> | undefined;

  const open = async (): Promise<Session> => {
    const channel = await broker.publishChannel();
    const session: Session = { channel, returned: new Set() };
    channel.on('return', (message) => session.returned.add(String(message.properties.messageId)));
    try {
      await answered(prepare(channel));
      return session;
    } catch (error) {
      await within(closeTimeoutMs, channel.close()).catch(() => {});
      throw error;
    }
  };
  const discard = async (opening: Promise<Session>): Promise<void> => {
    if (current === opening) current = undefined;
    const close = opening.then(({ channel }) => channel.close());
    // It may be closed already, or never have opened.
    await within(closeTimeoutMs, close).catch(() => {});
  };

  const confirmed = async (sent: Promise<void>): Promise<void> => {
    while (!(await within(confirmTimeoutMs, sent)))
      if (!broker.blocked()) throw new Error(`no confirm within ${confirmTimeoutMs} ms`);
  };

  return {
    async publish(messages) {
      current ??= open();
      const opening = current;
      try {
        const { channel, returned } = await opening;
        await confirmed(send(channel, messages));
        return new Set(messages.map(({ options }) => options.messageId).filter((id) => returned.delete(id)));
      } catch (error) {
        // On a new channel, late confirms of this batch can't be taken for those of the next.
        await discard(opening);
        throw unavailable('RabbitMQ', error);
      }
    },
    async close() {
      if (current) await discard(current);
    },
  };
}
