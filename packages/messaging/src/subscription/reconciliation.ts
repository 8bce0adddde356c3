/**
 * Reconciliation: finds events that a queue lost and that no later message reveals, such as the last of a stream. The
 * head of a stream shows the gap, the log fills it. See README, Reconciliation, also for when a round is left out. The
 * same code reads at once what no queue brings at the moment: docs/parts.md, A frozen process.
 */

import { entityOfStream } from '@caudal/contract/entity.ts';
import type { LogReader, RecordedEvent, StreamHead } from '@caudal/eventlog/types.ts';
import { unavailable } from '@caudal/kernel/errors.ts';
import { sleep } from '@caudal/kernel/time.ts';
import { position } from '@caudal/postgres/checkpoint.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { counter } from '@caudal/telemetry/metrics.ts';
import { floorsOf, sweepCheckpoint } from '../checkpoints.ts';
import type { Leadership } from '../lease.ts';
import { type Logs, logsOf } from '../logs.ts';
import { slotCount, slotOf } from '../rabbitmq/slots.ts';
import { whileReading } from '../reading.ts';
import type { EventHandler } from '../types.ts';

export interface ReconciliationOptions {
  /** How often, give or take a quarter; 30,000 ms if absent. */
  everyMs?: number;
  /** How old an event must be to count as missing; 10,000 ms if absent. */
  minAgeMs?: number;
}

/** Heads in one read; also how many may be settled twice after a crash. */
const pageSize = 5_000;
/** Streams that are compared at once: their views are read together. */
const comparedAtOnce = 500;
/** Heads whose events are read at once. More of them could take longer than a call may, if they are in an archive. */
const readAtOnce = 64;
/** Events in one read of a log: the most that it gives. */
const readLimit = 1_000;

/** After so many rounds in a row, slots with a backlog are compared too. */
const maxLeftOut = 20;

const foundBehind = counter(
  'reconciliation_behind_total',
  'Streams that reconciliation found behind: messages that were lost, or are late',
  { formerly: { name: 'sweep_behind_total' } },
);

const readSlots = counter('parts_healed_total', 'Rounds in which slots were read from the log that no queue brings');
const logs = logger('reconciliation');
/** Between two looks for slots that no queue brings. */
const unservedEveryMs = 1_000;
/** Pages of heads in one such round. */
const unservedPages = 2;

interface Compared {
  handler: EventHandler;
  settle(events: RecordedEvent[]): Promise<void>;
}

/** The events that the heads are, in their order. Throws if the log lacks one, as a replica that is behind may. */
async function eventsOf(log: LogReader, heads: StreamHead[]): Promise<RecordedEvent[]> {
  const cursors = heads.map(({ stream, version }) => ({ stream, afterVersion: version - 1 }));
  const events = new Map<string, RecordedEvent>();
  // Streams may have grown since, and a read has a limit: what it did not reach is read by the next one.
  for (let rest = cursors; rest.length > 0; rest = cursors.filter(({ stream }) => !events.has(stream))) {
    const read = await log.readStreams(rest.slice(0, readAtOnce), { limit: readLimit });
    if (read.length === 0) throw unavailable(`the log of ${log.domain} with its newest events`);
    for (const event of read) if (!events.has(event.stream)) events.set(event.stream, event);
  }
  return heads.map(({ stream }) => events.get(stream)!);
}

/** Settles the streams of a page that are behind. Only of these, the events are read. */
async function settleBehind({ handler, settle }: Compared, log: LogReader, page: StreamHead[]): Promise<void> {
  for (let place = 0; place < page.length; place += comparedAtOnce) {
    const heads = page.slice(place, place + comparedAtOnce);
    const seen = await handler.seen(heads, () => eventsOf(log, heads));
    const behind = heads.filter(({ version }, index) => seen[index]! < version);
    if (behind.length === 0) continue;
    foundBehind.add(behind.length, { handler: handler.name, domain: log.domain });
    await settle(await eventsOf(log, behind));
  }
}

/**
 * Once a second reads from the logs what no queue brings at the moment (`unserved`, in slots), until `signal` fires. It
 * begins where reconciliation has come to, and moves no checkpoint. Never throws.
 */
export async function readUnserved(
  options: Compared & {
    logs: Logs;
    database: Database;
    unserved(): number[];
    signal: AbortSignal;
  },
): Promise<void> {
  const { handler, database, unserved, signal } = options;
  const followed = new Set(handler.entities);
  let reached = new Map<string, number>();
  let before = '';
  const unlisten = logsOf(options.logs, handler).map((log) => log.onEpoch?.(() => reached.delete(log.domain)));

  async function round(log: LogReader, slots: Set<number>): Promise<void> {
    const name = sweepCheckpoint(handler.name, log.domain);
    let at = reached.get(log.domain) ?? (await position(database, name));
    for (let page = 0; page < unservedPages && !signal.aborted; page++) {
      const { heads, position: end } = await log.heads(at, { minAgeMs: 0, limit: pageSize });
      if (end <= at || signal.aborted) break;
      const ours = heads.filter(({ stream }) => followed.has(entityOfStream(stream)) && slots.has(slotOf(stream)));
      await settleBehind(options, log, ours);
      at = end;
      reached.set(log.domain, at);
    }
  }

  signal.addEventListener('abort', () => {
    for (const end of unlisten) end?.();
  });
  while (!signal.aborted) {
    await sleep(unservedEveryMs, signal);
    const slots = unserved();
    // Other slots may have missed what these have not.
    if (slots.join() !== before) reached = new Map();
    before = slots.join();
    if (slots.length === 0 || signal.aborted) continue;
    readSlots.add(1, { handler: handler.name });
    try {
      for (const log of logsOf(options.logs, handler)) await round(log, new Set(slots));
    } catch (error) {
      if (!signal.aborted)
        logs.warn({ handler: handler.name, err: error }, 'slots without a consumer could not be read');
    }
  }
}

/** Reconciles until `signal` fires. Throws only if a log is missing. */
export async function reconcileAll(options: {
  handler: EventHandler;
  logs: Logs;
  database: Database;
  holder?: string;
  reconciliation: ReconciliationOptions;
  settle(events: RecordedEvent[]): Promise<void>;
  /** Slots that are late, because their parts of the queue have a backlog; without queues `lastBatch` tells. */
  backlog?(): Promise<number[]>;
  /** When the last batch of a log was delivered, by performance.now(), and its highest position. */
  lastBatch(domain: string): { at: number; position: number } | undefined;
  signal: AbortSignal;
}): Promise<void> {
  const { handler, logs, database, holder, settle, backlog, lastBatch, signal } = options;
  const { everyMs = 30_000, minAgeMs = 10_000 } = options.reconciliation;
  const followed = new Set(handler.entities);

  const isCatchingUp = async (log: LogReader, since: number): Promise<boolean> => {
    const delivered = lastBatch(log.domain);
    if (!delivered || delivered.at < since) return false;
    const { heads } = await log.heads(delivered.position, { minAgeMs, limit: comparedAtOnce });
    return heads.some(({ stream }) => followed.has(entityOfStream(stream)));
  };

  /** From a position on, without some slots; only a round without exceptions moves the checkpoint. */
  const round = async (log: LogReader, lease: Leadership, start: number, without: number[] = []): Promise<number> => {
    let reached = start;
    while (!lease.signal.aborted) {
      const page = await log.heads(reached, { minAgeMs, limit: pageSize });
      if (page.position <= reached || lease.signal.aborted) break;
      const heads = page.heads.filter(
        ({ stream }) => followed.has(entityOfStream(stream)) && !without.includes(slotOf(stream)),
      );
      await settleBehind({ handler, settle }, log, heads);
      if (without.length === 0 && !(await lease.advance(page.position))) break;
      reached = page.position;
    }
    return reached;
  };

  const reconcileLog = (log: LogReader) =>
    whileReading(
      // The lease outlives the pause between two rounds, so that the same process reconciles again.
      {
        ...{ log, database, name: sweepCheckpoint(handler.name, log.domain), holder, ttlMs: everyMs * 2, signal },
        followers: floorsOf(handler.name, log.domain),
      },
      async (lease) => {
        let reached = lease.position;
        /** How far the other slots have been compared, while these are late. */
        let beside = { slots: '', reached };
        let leftOut = 0;
        while (!lease.signal.aborted) {
          const since = performance.now();
          await sleep(everyMs * (0.75 + Math.random() / 2), lease.signal);
          if (!backlog && (await isCatchingUp(log, since))) continue;
          // If the broker does not say, its queues bring nothing either. And a backlog may have no consumer at all.
          const late = leftOut < maxLeftOut ? ((await backlog?.().catch(() => [])) ?? []) : [];
          leftOut = late.length > 0 ? leftOut + 1 : 0;
          if (late.length === slotCount) continue;
          if (late.length === 0) reached = await round(log, lease, reached);
          else {
            const from = beside.slots === late.join() ? beside.reached : reached;
            beside = { slots: late.join(), reached: await round(log, lease, from, late) };
          }
        }
      },
    );

  await Promise.all(logsOf(logs, handler).map(reconcileLog));
}
