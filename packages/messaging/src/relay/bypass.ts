/**
 * Publishing past the exchange. A queue that the relay does not know, and so can't set aside, may keep back the confirms of
 * all. Then the relay sends each event to the queues that it knows, one connection each, and tries the exchange again
 * from where it stopped, for the others. See docs/broken-queues.md.
 */
import type { LogReader, RecordedEvent } from '@caudal/eventlog/types.ts';
import { forEachConcurrent } from '@caudal/kernel/concurrency.ts';
import { unavailable } from '@caudal/kernel/errors.ts';
import type { Fence } from '@caudal/postgres/checkpoint.ts';
import type { Database, Transaction } from '@caudal/postgres/database.ts';
import type { Broker } from '../rabbitmq/connection.ts';
import { toMessage } from '../rabbitmq/envelope.ts';
import { openPublisher, type Publisher, type Receipt } from '../rabbitmq/publisher.ts';
import type { BoundQueue } from './followers.ts';
import { probeWitness } from './probe.ts';
import type { Quarantine } from './quarantine.ts';
import { isFor } from './send-missed.ts';

/** The checkpoint of the exchange while it is bypassed: all up to there was confirmed by it. Absent otherwise. */
const checkpoint = 'relay:exchange';
const queuesAtOnce = 16;
const firstTryMs = 10_000;
const maxTryMs = 60_000;

/** From where the exchange is bypassed; undefined if it is not. */
export async function bypassedFrom(db: Transaction): Promise<number | undefined> {
  const text = 'SELECT position FROM checkpoints WHERE name = $1';
  const rows = await db.query<{ position: number }>({ text, values: [checkpoint] });
  return rows[0]?.position;
}

const fenced = 'EXISTS (SELECT FROM checkpoints WHERE name = $2 AND epoch = $3 AND holder IS NOT NULL FOR SHARE)';

/** Notes from where the exchange is bypassed. */
export async function noteBypass(db: Transaction, fence: Fence, position: number): Promise<void> {
  await db.query({
    text: `INSERT INTO checkpoints AS c (name, position)
      SELECT $1, $4 WHERE set_config('synchronous_commit', 'on', true) = 'on' AND ${fenced}
      ON CONFLICT (name) DO UPDATE SET position = greatest(c.position, excluded.position)`,
    values: [checkpoint, fence.name, fence.epoch, position],
  });
}

async function endBypass(db: Transaction, fence: Fence): Promise<void> {
  const values = [checkpoint, fence.name, fence.epoch];
  await db.query({ text: `DELETE FROM checkpoints WHERE name = $1 AND ${fenced}`, values });
}

export interface BypassOptions {
  broker: Broker;
  database: Database;
  log: LogReader;
  fence: Fence;
  signal: AbortSignal;
  quarantine: Quarantine;
  /** Where the exchange was left. */
  from: number;
  /** Up to where all is relayed. */
  position(): number;
  /** Called before events are sent, with the last one's position. */
  sending(position: number): void;
  /** Called when they are confirmed; false if the lease is lost. */
  advance(position: number, head: number): Promise<boolean>;
  /** To the log's exchange. */
  publisher: Publisher;
  exchange: string;
  batchSize: number;
}

const isConfirmed = ({ refused, unanswered }: Receipt) => refused.size + unanswered.size === 0;

/**
 * Relays past the exchange until the exchange has confirmed all that it has missed, or the signal fires. UNAVAILABLE if
 * no queue confirms.
 */
export async function bypass(options: BypassOptions): Promise<void> {
  const { broker, database, log, fence, signal, quarantine, position, advance, publisher, exchange, batchSize } =
    options;
  const publishers = new Map<string, Publisher>();
  const publisherOf = (queue: string): Publisher => {
    const known = publishers.get(queue) ?? openPublisher({ broker, purpose: 'bypass', prepare: async () => {} });
    publishers.set(queue, known);
    return known;
  };

  /** Sends each queue its events. Those that do not take them are set aside. */
  async function sendDirectly(events: RecordedEvent[]): Promise<void> {
    const broken: BoundQueue[] = [];
    let confirmed = 0;
    const queues = await quarantine.bound();
    await forEachConcurrent(queues, queuesAtOnce, async (of) => {
      const messages = events
        .filter((event) => isFor(of.keys, event))
        .map((event) => toMessage(event, '', of.fullName));
      if (messages.length === 0) return;
      if (isConfirmed(await publisherOf(of.queue).publish(messages))) confirmed += 1;
      else broken.push(of);
    });
    if (queues.length === 0) throw unavailable('RabbitMQ', 'no queue is left');
    if (broken.length === 0) return;
    if (confirmed === 0 && (broken.length > 1 || (await probeWitness(broker, events[0]!)) !== 'confirmed'))
      throw unavailable('RabbitMQ', 'no queue confirms');
    await quarantine.take(broken, position());
  }

  let exchanged = options.from;
  let pauseMs = firstTryMs;
  let tryAt = performance.now() + pauseMs;
  /** Publishes a page of what the exchange has missed. True if that was the last one. */
  async function tryExchange(): Promise<boolean> {
    const { events } = await log.readLog(exchanged, { limit: batchSize });
    const page = events.filter((event) => event.position <= position());
    const receipt = await publisher.publish(page.map((event) => toMessage(event, exchange))).catch(() => undefined);
    if (!receipt || !isConfirmed(receipt)) {
      pauseMs = Math.min(maxTryMs, pauseMs * 1.5);
      tryAt = performance.now() + pauseMs;
      return false;
    }
    exchanged = page.at(-1)?.position ?? exchanged;
    pauseMs = firstTryMs;
    if (exchanged < position()) {
      await noteBypass(database, fence, exchanged);
      return false;
    }
    await endBypass(database, fence);
    return true;
  }

  try {
    while (!signal.aborted) {
      const waitMs = Math.max(0, Math.min(1_000, tryAt - performance.now()));
      const { events, head } = await log.readLog(position(), { limit: batchSize, waitMs, signal });
      if (events.length > 0) {
        const last = events.at(-1)!.position;
        options.sending(last);
        await sendDirectly(events);
        if (!(await advance(last, head))) return;
      }
      if (performance.now() >= tryAt && (await tryExchange())) return;
    }
  } finally {
    await Promise.all([...publishers.values()].map((open) => open.close()));
  }
}
