/**
 * The relay: tails a log and publishes its events, in order, each at least once. The log is the outbox, so an event is
 * published because it is durable, and nothing else has to be written for it.
 *
 * One relay a log is active, by lease. It publishes a batch while the one before it is being confirmed, and moves the
 * checkpoint over a batch when all of it, and everything before it, is confirmed. So:
 *   - it dies anywhere: the next one starts at the checkpoint; at most two batches are published twice;
 *   - it is stale (its lease ran out while it hung): what it still publishes is double, its checkpoint write is
 *     refused, it ends;
 *   - a message is refused, or the broker goes away: everything from the checkpoint is published again, after a pause.
 *     The lease is given back for that time, since another process may still reach the broker;
 *   - no queue wants a message: it is counted. A handler that is added later reads the log.
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

/** Starts relaying a log to RabbitMQ. Never gives up by itself. */
export function startRelay(options: RelayOptions): Running {
  const { log, database, broker, holder, ttlMs = 5_000, batchSize = 500 } = options;
  const labels = { domain: log.domain };
  const exchange = exchangeName(log.domain, broker.prefix);
  const publisher = openPublisher({
    broker,
    prepare: (channel) => declareExchange(channel, log.domain, broker.prefix),
  });
  const stopping = new AbortController();

  /** For each batch that is not confirmed: when its first event was recorded. Stays while the broker is away. */
  let unconfirmed: Date[] = [];
  const measuring = setInterval(() => {
    const oldest = unconfirmed[0];
    oldestUnpublished.set(oldest ? Math.max(0, Date.now() - oldest.getTime()) / 1000 : 0, labels);
  }, 1_000).unref();

  const relay = async (lease: Leadership): Promise<void> => {
    let position = lease.position;
    /** The batch before: resolves when it is confirmed and the checkpoint has moved over it. */
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
        // It is awaited a batch later; until then its failure must not pass for one that nobody handles.
        next.catch(() => {});
        await before;
        before = next;
        position = last;
      }
    } catch (error) {
      if (!lease.signal.aborted) throw error;
    } finally {
      // The batch in flight: its confirms are worth waiting for, what came of it shows at the next start.
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
