/**
 * Reconciliation: finds events that a queue lost and that no later message reveals, such as the last of a stream. The
 * head of a stream shows the gap, the log fills it. See README, Reconciliation, also for when a round is left out.
 */

import { entityOfStream } from '@caudal/contract/entity.ts';
import type { LogReader, RecordedEvent } from '@caudal/eventlog/types.ts';
import { sleep } from '@caudal/kernel/time.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { counter } from '@caudal/telemetry/metrics.ts';
import { sweepCheckpoint } from '../checkpoints.ts';
import { type Leadership, whileLeading } from '../lease.ts';
import { type Logs, logsOf } from '../logs.ts';
import type { EventHandler } from '../types.ts';

export interface ReconciliationOptions {
  /** How often, give or take a quarter; 30,000 ms if absent. */
  everyMs?: number;
  /** How old an event must be to count as missing; 10,000 ms if absent. */
  minAgeMs?: number;
}

/** Heads in one step; also how many may be settled twice after a crash. */
const pageSize = 500;

const foundBehind = counter(
  'reconciliation_behind_total',
  'Streams that reconciliation found behind: messages that were lost, or are late',
  { formerly: { name: 'sweep_behind_total' } },
);

/** Reconciles until `signal` fires. Throws only if a log is missing. */
export async function reconcileAll(options: {
  handler: EventHandler;
  logs: Logs;
  database: Database;
  holder?: string;
  reconciliation: ReconciliationOptions;
  settle(events: RecordedEvent[]): Promise<void>;
  /** When the last batch of a log was delivered, by performance.now(), and its highest position. */
  lastBatch(domain: string): { at: number; position: number } | undefined;
  signal: AbortSignal;
}): Promise<void> {
  const { handler, logs, database, holder, settle, lastBatch, signal } = options;
  const { everyMs = 30_000, minAgeMs = 10_000 } = options.reconciliation;
  const followed = new Set(handler.entities);

  const isCatchingUp = async (log: LogReader, since: number): Promise<boolean> => {
    const delivered = lastBatch(log.domain);
    if (!delivered || delivered.at < since) return false;
    const { heads } = await log.heads(delivered.position, { minAgeMs, limit: pageSize });
    return heads.some(({ stream }) => followed.has(entityOfStream(stream)));
  };

  const round = async (log: LogReader, lease: Leadership, start: number): Promise<number> => {
    let position = start;
    while (!lease.signal.aborted) {
      const page = await log.heads(position, { minAgeMs, limit: pageSize });
      if (page.position <= position) break;
      const heads = page.heads.filter(({ stream }) => followed.has(entityOfStream(stream)));
      const seen = heads.length > 0 ? await handler.seen(heads) : [];
      const behind = heads.filter(({ version }, index) => seen[index]! < version);
      if (behind.length > 0) {
        foundBehind.add(behind.length, { handler: handler.name, domain: log.domain });
        await settle(behind);
      }
      if (!(await lease.advance(page.position))) break;
      position = page.position;
    }
    return position;
  };

  const reconcileLog = (log: LogReader) =>
    whileLeading(
      // The lease outlives the pause between two rounds, so that the same process reconciles again.
      { database, name: sweepCheckpoint(handler.name, log.domain), holder, ttlMs: everyMs * 2, signal },
      async (lease) => {
        let position = lease.position;
        while (!lease.signal.aborted) {
          const since = performance.now();
          await sleep(everyMs * (0.75 + Math.random() / 2), lease.signal);
          if (!(await isCatchingUp(log, since))) position = await round(log, lease, position);
        }
      },
    );

  await Promise.all(logsOf(logs, handler).map(reconcileLog));
}
