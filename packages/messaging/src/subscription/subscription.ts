/**
 * Runs a handler: its feed, the settling of what the feed delivers, and reconciliation for what it does not deliver. It
 * is the same with RabbitMQ and with the log feed.
 */

import { domainOf } from '@caudal/contract/entity.ts';
import { EventMetadata } from '@caudal/contract/gen/caudal/log/v1/log.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { oneAtATime } from '@caudal/kernel/concurrency.ts';
import type { Running } from '@caudal/kernel/lifetime.ts';
import { type Backoff, sleep, within } from '@caudal/kernel/time.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { gauge, histogram } from '@caudal/telemetry/metrics.ts';
import { withSpan } from '@caudal/telemetry/spans.ts';
import type { DeadLetters } from '../dead-letters/dead-letters.ts';
import { countParked } from '../dead-letters/parked.ts';
import { type Logs, logsOf } from '../logs.ts';
import type { AnyHandler, DeliveryLease, Feed } from '../types.ts';
import { learnEpochs } from './lost.ts';
import { type ReconciliationOptions, readUnserved, reconcileAll } from './reconciliation.ts';
import { type Retry, settler } from './settle.ts';
import { inOrderSettler } from './settle-in-order.ts';

export interface SubscriptionOptions {
  /** In-order handlers have no reconciliation: their feed loses nothing, and parked streams can't be redriven. */
  handler: AnyHandler;
  feed: Feed;
  /** By domain; those of the handler's entities. For gaps and reconciliation. */
  logs: Logs;
  /** Holds the parked streams, and the checkpoints of reconciliation. */
  database: Database;
  /** If there is a broker. Without it parked streams are the only record. */
  deadLetters?: DeadLetters;
  /** False if the feed can't lose anything: the log feed. */
  reconciliation?: ReconciliationOptions | false;
  /** Pauses before a failed event is tried again; 3 times, 100 ms doubling up to 5,000 ms if absent. */
  retry?: Retry;
  /** Pauses while a dependency is unreachable; 100 ms doubling up to 5,000 ms if absent. */
  pause?: Backoff;
  /** How long a gap waits for the archive of old months; 30,000 ms if absent. */
  archivePatienceMs?: number;
  /** Unique to the running process; one is made if absent. */
  holder?: string;
  /**
   * How long `stop` waits for the batch in flight; 10,000 ms if absent. What is not settled by then is delivered again.
   */
  stopTimeoutMs?: number;
}

/** How many traces of its events a batch's span links to. */
const maxLinks = 16;
const measureEveryMs = 30_000;
const epochsEveryMs = 2_000;

const log = logger('subscription');
const lag = histogram(
  'handler_lag_seconds',
  'From the recording of the oldest event of a batch until the batch is settled',
  's',
  [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600],
  { formerly: { name: 'projection_lag_seconds' } },
);
const parkedStreams = gauge('parked_streams', 'Streams that wait for a redrive', '1');

function linksOf(events: RecordedEvent[]): string[] {
  return events.slice(0, maxLinks).flatMap(({ metadata }) => {
    try {
      return EventMetadata.decode(metadata).traceparent || [];
    } catch {
      return [];
    }
  });
}

export interface Subscription extends Running {
  /** Resolves once what is published from now on reaches the handler without reconciliation. */
  readonly ready: Promise<void>;
}

/** Starts a handler. It runs until it is stopped, also through outages. Throws if a log is missing. */
export function runSubscription(options: SubscriptionOptions): Subscription {
  const { handler, feed, logs, database, deadLetters, reconciliation = {}, holder, stopTimeoutMs = 10_000 } = options;
  const { retry = { times: 3, firstMs: 100, maxMs: 5_000 }, pause = { firstMs: 100, maxMs: 5_000 } } = options;
  logsOf(logs, handler);
  const stopping = new AbortController();
  const { signal } = stopping;
  const labels = { handler: handler.name };

  // Feed and reconciliation settle concurrently, so that neither waits for the other's retries; the handler still
  // receives one batch at a time.
  const exclusively = oneAtATime();
  const common = { logs, database, deadLetters, retry, pause, signal };
  const { archivePatienceMs } = options;
  const swept = handler.inOrder ? undefined : handler;
  const settle = handler.inOrder
    ? inOrderSettler({ handler, ...common })
    : settler({
        handler: {
          name: handler.name,
          entities: handler.entities,
          handle: (events) => exclusively(() => handler.handle(events)),
          seen: (heads, events) => handler.seen(heads, events),
        },
        ...common,
        archivePatienceMs,
      });

  const lastBatches = new Map<string, { at: number; position: number }>();
  /** Repeats don't count, or a relay that publishes the same events again and again would look like a backlog. */
  const noteBatch = (events: RecordedEvent[]): void => {
    const at = performance.now();
    const newest = new Map<string, number>();
    for (const { stream, position } of events) {
      const domain = domainOf(stream);
      newest.set(domain, Math.max(position, newest.get(domain) ?? 0));
    }
    for (const [domain, position] of newest)
      if (position > (lastBatches.get(domain)?.position ?? 0)) lastBatches.set(domain, { at, position });
  };
  const deliver = async (events: RecordedEvent[], lease?: DeliveryLease): Promise<void> => {
    noteBatch(events);
    await withSpan(`process ${handler.name}`, { kind: 'consumer', parent: '', links: linksOf(events) }, () =>
      settle(events, lease),
    );
    const oldest = events.reduce((least, { recordedAt }) => Math.min(least, recordedAt.getTime()), Infinity);
    lag.record(Math.max(0, Date.now() - oldest) / 1000, labels);
  };
  /** Every process measures: a process that stops reconciling would keep its last value of the gauge. */
  const measureParked = async (): Promise<void> => {
    while (!signal.aborted) {
      // If it fails, the next round measures again.
      const count = await countParked(database, handler.name).catch(() => undefined);
      if (count !== undefined) parkedStreams.set(count, labels);
      await sleep(measureEveryMs * (0.75 + Math.random() / 2), signal);
    }
    parkedStreams.set(0, labels);
  };

  /** What queues bring does not show that a log has gone on in another place. */
  const followEpochs = async (): Promise<void> => {
    while (!signal.aborted) {
      for (const reader of logsOf(logs, handler)) await learnEpochs(reader, epochsEveryMs / 2).catch(() => {});
      await sleep(epochsEveryMs * (0.75 + Math.random() / 2), signal);
    }
  };

  const { unserved } = feed;
  const running = Promise.all([
    feed.run(deliver, signal),
    swept && unserved && readUnserved({ handler: swept, logs, database, settle, unserved, signal }),
    swept &&
      reconciliation &&
      reconcileAll({
        handler: swept,
        logs,
        database,
        holder,
        reconciliation,
        settle,
        backlog: feed.backlog,
        lastBatch: (domain) => lastBatches.get(domain),
        signal,
      }),
    swept && reconciliation && followEpochs(),
    measureParked(),
  ]);
  running.catch((error: unknown) => log.fatal({ ...labels, err: error }, 'the subscription has ended'));

  return {
    ready: feed.ready ?? Promise.resolve(),
    async stop() {
      stopping.abort();
      const ended = await within(stopTimeoutMs, running).catch(() => true);
      if (!ended) log.warn(labels, 'the batch in flight is not settled in time: it is delivered again');
    },
  };
}
