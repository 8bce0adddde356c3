/**
 * A handler's events from its queue, which it shares with the same handler in other processes (competing consumers).
 * What arrives while a batch is in flight is the next batch. See README, Batches of a queue.
 */
import { entityOfStream } from '@caudal/contract/entity.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { unavailable } from '@caudal/kernel/errors.ts';
import { backoffMs, sleep, within } from '@caudal/kernel/time.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { counter } from '@caudal/telemetry/metrics.ts';
import type { Channel, ConsumeMessage } from 'amqplib';
import type { Feed } from '../types.ts';
import { answered } from './connecting.ts';
import type { Broker } from './connection.ts';
import { fromMessage } from './envelope.ts';
import { type Registries, registerAndBind } from './register.ts';
import { declareQueue, type QueuedHandler, queueName } from './topology.ts';

export interface RabbitFeedOptions {
  broker: Broker;
  handler: QueuedHandler;
  registries: Registries;
  /**
   * Messages that the broker hands out before it waits for acknowledgements; 512 if absent. A batch is half at most.
   */
  prefetch?: number;
}

const closeTimeoutMs = 2_000;
const log = logger('rabbit-feed');
const ignored = counter('messages_ignored_total', 'Messages that are no event, or none that the handler follows');

/** Pauses between two registrations of a queue, while one fails or the queue is set aside. */
const registerPause = { firstMs: 1_000, maxMs: 30_000 };

/** The feed of a handler from RabbitMQ. Declares its queue whenever it connects, and registers and binds it. */
export function rabbitFeed({ broker, handler, registries, prefetch = 512 }: RabbitFeedOptions): Feed {
  const maxBatch = Math.ceil(prefetch / 2);
  const followed = new Set(handler.entities);

  /** The events of a batch. Other messages are dropped; if one was a damaged event, reconciliation finds the event. */
  const eventsOf = (messages: ConsumeMessage[]): RecordedEvent[] => {
    const events = messages.map(fromMessage).filter((event) => event && followed.has(entityOfStream(event.stream)));
    const others = messages.length - events.length;
    if (others > 0) ignored.add(others, { handler: handler.name });
    return events as RecordedEvent[];
  };

  /** Until it is bound. Bindings of before are there meanwhile, and what a new queue misses is read from the log. */
  async function keepBound(signal: AbortSignal): Promise<void> {
    for (let attempt = 1; !signal.aborted; attempt++) {
      try {
        if (await registerAndBind({ broker, handler, registries })) return;
      } catch (error) {
        log.warn({ handler: handler.name, err: error, attempt }, 'the queue could not be registered and bound');
      }
      await sleep(backoffMs(attempt, registerPause), signal);
    }
  }

  async function consume(
    channel: Channel,
    deliver: (events: RecordedEvent[]) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    const inbox: ConsumeMessage[] = [];
    let lost = false;
    let wake = () => {};
    const lose = () => {
      lost = true;
      wake();
    };
    channel.on('close', lose);
    await answered(declareQueue(channel, handler.name, broker.prefix));
    await answered(channel.prefetch(prefetch));
    const { consumerTag } = await answered(
      channel.consume(queueName(handler.name, broker.prefix), (message) => {
        // No message: the broker has cancelled the consumer, because the queue was deleted or moved.
        if (!message) return lose();
        inbox.push(message);
        wake();
      }),
    );
    const cancel = () => {
      // The batch in flight is finished; other messages return to the queue when the channel is closed.
      channel.cancel(consumerTag).catch(() => {});
      wake();
    };
    signal.addEventListener('abort', cancel, { once: true });
    const ended = new AbortController();
    const binding = keepBound(AbortSignal.any([signal, ended.signal]));
    try {
      while (!signal.aborted) {
        if (lost) throw unavailable('RabbitMQ');
        if (inbox.length === 0) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
          continue;
        }
        const batch = inbox.splice(0, maxBatch);
        const events = eventsOf(batch);
        if (events.length > 0) await deliver(events);
        // Acknowledges everything up to it: batches are handled one at a time, in the order of delivery.
        if (!lost) channel.ack(batch.at(-1)!, true);
      }
    } finally {
      signal.removeEventListener('abort', cancel);
      ended.abort();
      await binding;
    }
  }

  return {
    async run(deliver, signal) {
      let failures = 0;
      while (!signal.aborted) {
        try {
          const connection = await broker.consumeConnection(handler.name, signal);
          const { channel } = connection;
          try {
            await consume(
              channel,
              async (events) => {
                await deliver(events);
                failures = 0;
              },
              signal,
            );
          } finally {
            // Sent after the acknowledgements; returns the other messages to the queue. It may be closed already.
            await within(closeTimeoutMs, channel.close()).catch(() => {});
            await connection.close();
          }
        } catch (error) {
          if (signal.aborted) return;
          failures += 1;
          log.warn({ handler: handler.name, err: error, failures }, 'consuming is interrupted');
          await sleep(backoffMs(failures, { firstMs: 100, maxMs: 2_000 }), signal);
        }
      }
    },
  };
}
