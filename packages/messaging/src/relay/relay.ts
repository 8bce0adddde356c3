/**
 * The relay: reads a log's events in order and publishes each at least once. One relay for each log is active, by
 * lease. It publishes a batch while the one before it is being confirmed, and moves the checkpoint when all is
 * confirmed up to there. See README, The relay, for what happens when it dies or is stale, and docs/broken-queues.md for
 * what it does if the broker does not confirm.
 */

import type { LogReader, RecordedEvent } from '@caudal/eventlog/types.ts';
import { unavailable } from '@caudal/kernel/errors.ts';
import type { Running } from '@caudal/kernel/lifetime.ts';
import { within } from '@caudal/kernel/time.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { counter, gauge } from '@caudal/telemetry/metrics.ts';
import type { Leadership } from '../lease.ts';
import type { RelayTurn } from '../members/relay-shares.ts';
import type { Broker } from '../rabbitmq/connection.ts';
import { toMessage } from '../rabbitmq/envelope.ts';
import { openPublisher } from '../rabbitmq/publisher.ts';
import { declareExchange, exchangeName } from '../rabbitmq/topology.ts';
import { whileReading } from '../reading.ts';
import { openBrokenQueues } from './broken-queues.ts';
import { type BypassOptions, bypass, bypassedFrom, noteBypass } from './bypass.ts';
import { noteSlots } from './followers.ts';
import { giveWay, takeTurns } from './give-way.ts';
import { measureFollowers } from './measure.ts';
import { openRelapses } from './relapses.ts';

export interface RelayOptions {
  log: LogReader;
  /** Holds the checkpoint `relay` and the followers: the log's own schema. */
  database: Database;
  broker: Broker;
  /** The queues that are bound to an exchange, by the management API. Without it strangers' queues are not known. */
  boundQueues?(exchange: string): Promise<{ queue: string; keys: string[] }[]>;
  /** Whether this process should relay the log, of those that can; always if absent. */
  turn?: RelayTurn;
  /** Unique to the running process; one is made if absent. */
  holder?: string;
  /** How long a dead relay's lease lasts; 5,000 ms if absent. */
  ttlMs?: number;
  /** Events published at once; 500 if absent. Up to two batches await their confirms. */
  batchSize?: number;
}

const waitMs = 1_000;
const stopTimeoutMs = 10_000;
/** So often in this time may confirms be missing for no reason that can be found, before the exchange is bypassed. */
const maxUnexplained = 3;
const unexplainedMs = 60_000;

const logs = logger('relay');
const published = counter('relay_published_total', 'Events that the broker has confirmed');
const unroutable = counter('relay_unroutable_total', 'Events that were published and that no queue wanted');
const oldestUnpublished = gauge(
  'relay_oldest_unpublished_seconds',
  'Age of the oldest event that waits to be published; 0 if none, or if another process relays',
  's',
);
const behind = gauge('relay_lag_events', 'Events between the checkpoint and the head of the log', '1');
const bypassing = gauge(
  'relay_bypassing',
  'Whether the exchange is bypassed, since a queue that is not known holds it up: 1 or 0',
  '1',
);

/** Some of the messages of a batch were not confirmed. */
class Unconfirmed extends Error {
  override name = 'Unconfirmed';
  readonly events: RecordedEvent[];
  constructor(events: RecordedEvent[]) {
    super(`${events.length} events are not confirmed`);
    this.events = events;
  }
}

/** Starts to relay a log to RabbitMQ, until it is stopped. */
export function startRelay(options: RelayOptions): Running {
  const { log, database, broker, holder, ttlMs = 5_000, batchSize = 500 } = options;
  const labels = { domain: log.domain };
  const exchange = exchangeName(log.domain, broker.prefix);
  const publisher = openPublisher({
    broker,
    purpose: `relay ${log.domain}`,
    measured: true,
    prepare: (channel) => declareExchange(channel, log.domain, broker.prefix),
  });
  const stopping = new AbortController();

  /** For each unconfirmed batch, when its first event was recorded. Kept while the broker is unreachable. */
  let unconfirmed: Date[] = [];
  const measuring = setInterval(() => {
    const oldest = unconfirmed[0];
    oldestUnpublished.set(oldest ? Math.max(0, Date.now() - oldest.getTime()) / 1000 : 0, labels);
  }, 1_000).unref();
  const followers = measureFollowers({ database, domain: log.domain, signal: stopping.signal });

  const relapses = openRelapses();

  /** How far a relay has come in the time of its lead. */
  interface Progress {
    /** All up to here is confirmed. */
    confirmed: number;
    /** The last one that was sent. */
    sent: number;
  }

  const relay = async (lease: Leadership): Promise<void> => {
    const progress: Progress = { confirmed: lease.position, sent: lease.position };
    const ended = new AbortController();
    const signal = AbortSignal.any([lease.signal, ended.signal]);
    const { fence } = lease;
    const brokenQueues = openBrokenQueues({
      ...{ broker, database, log, fence, signal, relapses },
      boundQueues: async () => options.boundQueues?.(exchange) ?? [],
      sent: () => progress.sent,
    });
    const sending = (events: RecordedEvent[]) => {
      progress.sent = Math.max(progress.sent, events.at(-1)!.position);
      unconfirmed.push(events[0]!.recordedAt);
    };
    const advance = async (events: RecordedEvent[], head: number): Promise<boolean> => {
      const last = events.at(-1)!.position;
      if (!(await lease.advance(last))) return false;
      progress.confirmed = last;
      unconfirmed.shift();
      published.add(events.length, labels);
      behind.set(Math.max(0, head - last), labels);
      return true;
    };
    await noteSlots(database, fence);
    await brokenQueues.begin();
    const keeping = brokenQueues.keep();
    const givingWay = giveWay(options.turn, ended);
    let unexplained: number[] = [];

    try {
      while (!signal.aborted) {
        const from = await bypassedFrom(database);
        bypassing.set(from === undefined ? 0 : 1, labels);
        unconfirmed = [];
        if (from !== undefined) {
          const way = { broker, database, log, fence, signal, brokenQueues, publisher, exchange, batchSize };
          await bypass({ ...way, from, position: () => progress.confirmed, sending, advance });
          continue;
        }
        const events = await publishFrom(progress.confirmed, { signal, sending, advance });
        if (events.length === 0 || signal.aborted) break;
        const verdict = await brokenQueues.examine(events, progress.confirmed);
        // Another process may reach the broker: the lease is released with the error.
        if (verdict === 'ill') throw unavailable('RabbitMQ', 'no queue confirms');
        const now = performance.now();
        unexplained = verdict === 'found' ? [] : [...unexplained.filter((at) => now - at < unexplainedMs), now];
        if (unexplained.length < maxUnexplained) continue;
        if ((await brokenQueues.bound(events)).length === 0)
          throw unavailable('RabbitMQ', 'a queue that is not known does not confirm');
        logs.error(labels, 'a queue that is not known takes no messages: the exchange is bypassed');
        await noteBypass(database, fence, progress.confirmed);
      }
    } catch (error) {
      if (signal.aborted) return;
      options.turn?.failed();
      throw error;
    } finally {
      ended.abort();
      await Promise.all([keeping, givingWay]);
    }
  };

  /**
   * Publishes to the exchange what is after a position, until the signal fires, or until events are not confirmed: it
   * returns those.
   */
  async function publishFrom(
    start: number,
    { signal, sending, advance }: Pick<BypassOptions, 'signal' | 'sending' | 'advance'>,
  ): Promise<RecordedEvent[]> {
    let position = start;
    /** The batch before. It resolves when it is confirmed and the checkpoint has moved over it. */
    let before: Promise<void> = Promise.resolve();
    /** The one after that. */
    let next: Promise<void> = before;
    try {
      while (!signal.aborted) {
        const { events, head } = await log.readLog(position, { limit: batchSize, waitMs, signal });
        // If the log's epoch has changed, they don't follow what was published before.
        if (signal.aborted) break;
        if (events.length === 0) {
          await before;
          unconfirmed = [];
          behind.set(0, labels);
          await publisher.connect();
          continue;
        }
        position = events.at(-1)!.position;
        sending(events);
        next = publishAfter(before, events, async () => {
          await advance(events, head);
        });
        // It is awaited one batch later; until then a failure must not count as an unhandled rejection.
        next.catch(() => {});
        await before;
        before = next;
      }
      return [];
    } catch (error) {
      // A late time-out of the batch behind must not be taken for one of the next.
      await publisher.drop();
      if (error instanceof Unconfirmed) return error.events;
      throw error;
    } finally {
      // Waits for the confirms of what is in flight. If that fails, it is published again.
      await Promise.allSettled([before, next]);
    }
  }

  async function publishAfter(
    before: Promise<void>,
    events: RecordedEvent[],
    confirmed: () => Promise<void>,
  ): Promise<void> {
    const receiving = publisher.publish(events.map((event) => toMessage(event, exchange)));
    const [receipt] = await Promise.all([receiving, before]);
    const open = events.filter(({ eventId }) => receipt.refused.has(eventId) || receipt.unanswered.has(eventId));
    if (open.length > 0) throw new Unconfirmed(open);
    unroutable.add(receipt.returned.size, labels);
    await confirmed();
  }

  const onWaiting = () => {
    unconfirmed = [];
    bypassing.set(0, labels);
  };
  const running = whileReading(
    {
      ...{ log, database, name: 'relay', holder, ttlMs, signal: stopping.signal, onWaiting },
      ...takeTurns(options.turn, database),
    },
    relay,
  );
  return {
    async stop() {
      stopping.abort();
      clearInterval(measuring);
      await within(stopTimeoutMs, Promise.all([running, followers]));
      await publisher.close();
    },
  };
}
