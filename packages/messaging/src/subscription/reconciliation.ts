/**
 * The sweep: what no later message can show. If the last message of a stream is lost, nothing reveals the gap. So every
 * 30 s one process a handler looks at the streams that moved since the last sweep, compares their heads with what the
 * handler has seen, and has those that are behind settled like any other events: the head is the event that shows the
 * gap, the log fills it.
 *
 * It looks only at events that are some seconds old: younger ones are most likely on their way. Its checkpoint moves
 * over what is seen, healed or parked, and nothing else. A new handler starts at the beginning of the log, so the sweep
 * also brings it everything that happened before it was bound.
 *
 * While a backlog is consumed everything in it is behind, and none of it lost: a sweep would only do the consumers' work
 * a second time. So a round is left out if something was delivered since the last one, and events that the handler follows
 * have lain behind it for so long that they would have to be there by now. That is for the log to say, by its own clock:
 * by this process's, if it is some seconds ahead, all that is delivered would be old, and nothing would ever be swept.
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

export interface SweepOptions {
  /** How often, give or take a quarter; 30,000 ms if absent. */
  everyMs?: number;
  /** How old an event must be to be missed; 10,000 ms if absent. */
  minAgeMs?: number;
}

/** Heads a step; also how much may be settled twice after a crash. */
const pageSize = 500;

const swept = counter('sweep_behind_total', 'Streams that a sweep found behind: messages that were lost, or are late');

/** Sweeps until `signal` fires. Throws only if a log is missing. */
export async function sweepAll(options: {
  handler: EventHandler;
  logs: Logs;
  database: Database;
  holder?: string;
  sweep: SweepOptions;
  settle(events: RecordedEvent[]): Promise<void>;
  /** Of the last batch that was delivered of a log: when that was, by performance.now(), and its highest position. */
  lastBatch(domain: string): { at: number; position: number } | undefined;
  signal: AbortSignal;
}): Promise<void> {
  const { handler, logs, database, holder, settle, lastBatch, signal } = options;
  const { everyMs = 30_000, minAgeMs = 10_000 } = options.sweep;
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
        swept.add(behind.length, { handler: handler.name, domain: log.domain });
        await settle(behind);
      }
      if (!(await lease.advance(page.position))) break;
      position = page.position;
    }
    return position;
  };

  const sweepLog = (log: LogReader) =>
    whileLeading(
      // The lease outlives the pause between two rounds, so that a fleet does not sweep once per process.
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

  await Promise.all(logsOf(logs, handler).map(sweepLog));
}
