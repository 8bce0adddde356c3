/**
 * Publishing past the exchange. A queue that the relay does not know, and so can't set aside, may keep back the confirms of
 * all. Then the relay sends each event to the queues that it knows, one connection each, and tries the exchange again
 * from where it stopped, for the others. See docs/broken-queues.md.
 */
import type { LogReader, RecordedEvent } from '@caudal/eventlog/types.ts';
import { forEachConcurrent } from '@caudal/kernel/concurrency.ts';
import { unavailable } from '@caudal/kernel/errors.ts';
import { type Fence, holdsFence } from '@caudal/postgres/checkpoint.ts';
import type { Database, Transaction } from '@caudal/postgres/database.ts';
import { exchangeCheckpoint } from '../checkpoints.ts';
import type { Broker } from '../rabbitmq/connection.ts';
import { toMessages } from '../rabbitmq/envelope.ts';
import { openPublisher, type Publisher } from '../rabbitmq/publisher.ts';
import type { Sealer } from '../seals/sealer.ts';
import type { BrokenQueues } from './broken-queues.ts';
import type { BoundQueue } from './followers.ts';
import { isFor } from './send-missed.ts';

const queuesAtOnce = 16;
const firstTryMs = 10_000;
const maxTryMs = 60_000;

/** From where the exchange is bypassed; undefined if it is not. */
export async function bypassedFrom(db: Transaction): Promise<number | undefined> {
  const text = 'SELECT position FROM checkpoints WHERE name = $1';
  const rows = await db.query<{ position: number }>({ text, values: [exchangeCheckpoint] });
  return rows[0]?.position;
}

const fenced = holdsFence('$2', '$3');

/** Notes from where the exchange is bypassed. */
export async function noteBypass(db: Transaction, fence: Fence, position: number): Promise<void> {
  await db.query({
    text: `INSERT INTO checkpoints AS c (name, position)
      SELECT $1, $4 WHERE set_config('synchronous_commit', 'on', true) = 'on' AND ${fenced}
      ON CONFLICT (name) DO UPDATE SET position = greatest(c.position, excluded.position)`,
    values: [exchangeCheckpoint, fence.name, fence.epoch, position],
  });
}

async function endBypass(db: Transaction, fence: Fence): Promise<void> {
  const values = [exchangeCheckpoint, fence.name, fence.epoch];
  await db.query({ text: `DELETE FROM checkpoints WHERE name = $1 AND ${fenced}`, values });
}

export interface BypassOptions {
  broker: Broker;
  database: Database;
  log: LogReader;
  fence: Fence;
  signal: AbortSignal;
  brokenQueues: BrokenQueues;
  /** Where the exchange was left. */
  from: number;
  /** Up to where all is relayed. */
  position(): number;
  /** Called before events are sent. */
  sending(events: RecordedEvent[]): void;
  /** Called when they are confirmed, with the log's head; false if the lease is lost. */
  advance(events: RecordedEvent[], head: number): Promise<boolean>;
  /** To the log's exchange. */
  publisher: Publisher;
  exchange: string;
  batchSize: number;
  sealer: Sealer | undefined;
}

/**
 * Relays past the exchange until the exchange has confirmed all that it has missed, or the signal fires. UNAVAILABLE if
 * no queue confirms.
 */
export async function bypass(options: BypassOptions): Promise<void> {
  const { broker, database, log, fence, signal, brokenQueues, position, publisher, exchange, batchSize, sealer } =
    options;
  const direct = openDirect(broker, sealer);
  let exchanged = options.from;
  let pauseMs = firstTryMs;
  let tryAt = performance.now();

  /** Sends each queue its events. True if all that are bound have them; those that do not take them are set aside. */
  async function sendDirectly(events: RecordedEvent[]): Promise<boolean> {
    const queues = await brokenQueues.bound(events);
    if (queues.length === 0) throw unavailable('RabbitMQ', 'no queue is left');
    const { broken, confirmed } = await direct.send(queues, events);
    if (broken.length === 0) return true;
    const verdict = await brokenQueues.examine(events, position());
    if (verdict === 'ill') throw unavailable('RabbitMQ', 'no queue confirms');
    // One that takes a probe, but not the load.
    if (verdict === 'nothing' && confirmed > 0) await brokenQueues.take(broken, position(), events);
    return false;
  }

  /**
   * Publishes a page of what the exchange has missed. True if it has got all: then everybody has what was sent, also
   * what the direct way has not reached.
   */
  async function tryExchange(): Promise<boolean> {
    const { events: page, head } = await log.readLog(exchanged, { limit: batchSize });
    if (signal.aborted) return true;
    const isNew = page.filter((event) => event.position > position());
    if (isNew.length > 0) options.sending(isNew);
    const receipt =
      page.length > 0 && (await publisher.publish(toMessages(page, { exchange }, sealer)).catch(() => undefined));
    if (!receipt || receipt.refused.size + receipt.unanswered.size > 0) {
      pauseMs = Math.min(maxTryMs, pauseMs * 1.5);
      tryAt = performance.now() + pauseMs;
      // It may be known by now who is the cause.
      if (receipt) await brokenQueues.examine(page, exchanged);
      return false;
    }
    exchanged = page.at(-1)!.position;
    pauseMs = firstTryMs;
    await noteBypass(database, fence, exchanged);
    if (exchanged < position()) return false;
    if (isNew.length > 0 && !(await options.advance(isNew, head))) return true;
    await endBypass(database, fence);
    return true;
  }

  try {
    // The exchange first: whatever keeps the direct way from working must not keep us from noticing that it is back.
    while (!signal.aborted) {
      if (performance.now() >= tryAt && (await tryExchange())) return;
      const waitMs = Math.max(0, Math.min(1_000, tryAt - performance.now()));
      const { events, head } = await log.readLog(position(), { limit: batchSize, waitMs, signal });
      if (events.length === 0 || signal.aborted) continue;
      options.sending(events);
      if ((await sendDirectly(events)) && !(await options.advance(events, head))) return;
    }
  } finally {
    await direct.close();
  }
}

/** Publishers to queues, one connection each. */
function openDirect(broker: Broker, sealer: Sealer | undefined) {
  const publishers = new Map<string, Publisher>();
  const publisherOf = (queue: string): Publisher => {
    const known = publishers.get(queue) ?? openPublisher({ broker, purpose: 'bypass', prepare: async () => {} });
    publishers.set(queue, known);
    return known;
  };

  return {
    /** Sends each queue the events that it follows. `confirmed`: how many queues have taken all that they were sent. */
    async send(queues: BoundQueue[], events: RecordedEvent[]): Promise<{ broken: BoundQueue[]; confirmed: number }> {
      const broken: BoundQueue[] = [];
      let confirmed = 0;
      await forEachConcurrent(queues, queuesAtOnce, async (queue) => {
        const own = events.filter((event) => isFor(queue.keys, event));
        const messages = toMessages(own, { queue: queue.queue }, sealer);
        if (messages.length === 0) return;
        const receipt = await publisherOf(queue.queue)
          .publish(messages)
          .catch(() => undefined);
        if (!receipt || receipt.refused.size + receipt.unanswered.size > 0) broken.push(queue);
        else if (receipt.returned.size === 0) confirmed += 1;
      });
      // Queues that are set aside, or deleted, need no connection.
      const present = new Set(queues.map(({ queue }) => queue));
      for (const [queue, publisher] of publishers) {
        if (present.has(queue)) continue;
        publishers.delete(queue);
        await publisher.close();
      }
      return { broken, confirmed };
    },
    close: () => Promise.all([...publishers.values()].map((publisher) => publisher.close())),
  };
}
