/**
 * The relay: reads a log's events in order and publishes each at least once. One relay for each log is active, by
 * lease. It publishes a batch while the one before it is being confirmed, and moves the checkpoint when all is
 * confirmed up to there. See README, The relay, for what happens when it dies, is stale, or the broker fails.
 */

import type { LogReader, RecordedEvent } from '@caudal/eventlog/types.ts';
import type { Running } from '@caudal/kernel/lifetime.ts';
import { within } from '@caudal/kernel/time.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { counter, gauge } from '@caudal/telemetry/metrics.ts';
import { type Leadership, whileLeading } from './lease.ts';
import type { Broker } from './rabbitmq/connection.ts';
import { toMessage } from './rabbitmq/envelope.ts';
import { openPublisher } from './rabbitmq/publisher.ts';
import { declareExchange, exchangeName } from './rabbitmq/topology.ts';

export interface RelayOptions {
  log: LogReader;
  /** Holds the checkpoint `relay`: the log's own schema. */
  database: Database;
  broker: Broker;
  /** Unique to the running process; one is made if absent. */
  holder?: string;
  /** How long a dead relay's lease lasts; 5,000 ms if absent. */
  ttlMs?: number;
  /** Events published at once; 500 if absent. Up to two batches await their confirms. */
  batchSize?: number;
}

const waitMs = 1_000;
const stopTimeoutMs = 10_000;

const published = counter('relay_published_total', 'Events that the broker has confirmed');
const unroutable = counter('relay_unroutable_total', 'Events that were published and that no queue wanted');
const oldestUnpublished = gauge(
  'relay_oldest_unpublished_seconds',
  'Age of the oldest event that waits to be published; 0 if none, or if another process relays',
  's',
);
const behind = gauge('relay_lag_events', 'Events between the checkpoint and the head of the log', '1');

/** Starts to relay a log to RabbitMQ, until it is stopped. */
export function startRelay(options: RelayOptions): Running {
  const { log, database, broker, holder, ttlMs = 5_000, batchSize = 500 } = options;
  const labels = { domain: log.domain };
  const exchange = exchangeName(log.domain, broker.prefix);
  const publisher = openPublisher({
    broker,
    prepare: (channel) => declareExchange(channel, log.domain, broker.prefix),
  });
  const stopping = new AbortController();

  /** For each unconfirmed batch, when its first event was recorded. Kept while the broker is unreachable. */
  let unconfirmed: Date[] = [];
  const measuring = setInterval(() => {
    const oldest = unconfirmed[0];
    oldestUnpublished.set(oldest ? Math.max(0, Date.now() - oldest.getTime()) / 1000 : 0, labels);
  }, 1_000).unref();

  const relay = async (lease: Leadership): Promise<void> => {
    let position = lease.position;
    /** The batch before. It resolves when it is confirmed and the checkpoint has moved over it. */
    let before: Promise<void> = Promise.resolve();
    try {
      while (!lease.signal.aborted) {
        const { events, head } = await log.readLog(position, { limit: batchSize, waitMs, signal: lease.signal });
        if (events.length === 0) {
          await before;
          unconfirmed = [];
          behind.set(0, labels);
          continue;
        }
        const last = events.at(-1)!.position;
        if (position === lease.position) unconfirmed = [];
        unconfirmed.push(events[0]!.recordedAt);
        const next = publishAfter(before, events, async () => {
          if (!(await lease.advance(last))) return;
          unconfirmed.shift();
          behind.set(Math.max(0, head - last), labels);
        });
        // It is awaited one batch later; until then a failure must not count as an unhandled rejection.
        next.catch(() => {});
        await before;
        before = next;
        position = last;
      }
    } catch (error) {
      if (!lease.signal.aborted) throw error;
    } finally {
      // Waits for the confirms of the batch in flight. If it fails, the next start publishes it again.
      await before.catch(() => {});
    }
  };

  async function publishAfter(
    before: Promise<void>,
    events: RecordedEvent[],
    confirmed: () => Promise<void>,
  ): Promise<void> {
    const returned = publisher.publish(events.map((event) => toMessage(event, exchange)));
    await Promise.all([before, returned]);
    published.add(events.length, labels);
    unroutable.add((await returned).size, labels);
    await confirmed();
  }

  const onWaiting = () => {
    unconfirmed = [];
  };
  const running = whileLeading({ database, name: 'relay', holder, ttlMs, signal: stopping.signal, onWaiting }, relay);
  return {
    async stop() {
      stopping.abort();
      clearInterval(measuring);
      await within(stopTimeoutMs, running);
      await publisher.close();
    },
  };
}
