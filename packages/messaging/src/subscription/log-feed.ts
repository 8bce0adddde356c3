/**
 * A handler's events directly from the logs: without a broker, and for handlers that need a log's order. Each domain has
 * a checkpoint with a lease. See README, Reading the log directly.
 */

import { domainOf, entityOfStream } from '@caudal/contract/entity.ts';
import type { LogReader, RecordedEvent } from '@caudal/eventlog/types.ts';
import { oneAtATime } from '@caudal/kernel/concurrency.ts';
import { position } from '@caudal/postgres/checkpoint.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { feedCheckpoint, floorsOf } from '../checkpoints.ts';
import { parkedStream } from '../dead-letters/parked.ts';
import type { Leadership } from '../lease.ts';
import { type Logs, logsOf } from '../logs.ts';
import { whileReading } from '../reading.ts';
import type { AnyHandler, Feed } from '../types.ts';

export interface LogFeedOptions {
  handler: Pick<AnyHandler, 'name' | 'entities'>;
  /** By domain; those of the handler's entities at least. Share them between handlers: `shareTail`. */
  logs: Logs;
  /** Holds the feed's checkpoints (checkpoints.ts). */
  database: Database;
  /** Unique to the running process; one is made if absent. */
  holder?: string;
  /** How long a dead process's lease lasts; 15,000 ms if absent. */
  ttlMs?: number;
  /** Events a batch at most; 256 if absent. */
  maxBatch?: number;
  /** Writes the checkpoint after every batch, for queries that wait for it (`hasPassed`). */
  prompt?: boolean;
}

const checkpointEveryMs = 500;
const idleWaitMs = 10_000;

/**
 * Whether a handler that is fed `prompt` has handled an event: the checkpoint is past the event, and its stream was not
 * parked at it or before (the events of a parked stream are left out from there on).
 */
export async function hasPassed(
  database: Database,
  handler: string,
  { stream, version, position: wanted }: Pick<RecordedEvent, 'stream' | 'version' | 'position'>,
): Promise<boolean> {
  if ((await position(database, feedCheckpoint(handler, domainOf(stream)))) < wanted) return false;
  const parked = await parkedStream(database, handler, stream);
  return !parked || version < parked.version;
}

/** The feed of a handler from the logs. Throws if a log is missing. */
export function logFeed(options: LogFeedOptions): Feed {
  const { handler, logs, database, holder, ttlMs = 15_000, maxBatch = 256, prompt = false } = options;
  const followed = new Set(handler.entities);
  const readers = logsOf(logs, handler);

  return {
    async run(deliver, signal) {
      const exclusively = oneAtATime();

      const follow = async (log: LogReader, lease: Leadership): Promise<void> => {
        let delivered = lease.position;
        let saved = lease.position;
        let savedAt = performance.now();
        const save = async () => {
          if (delivered === saved) return;
          savedAt = performance.now();
          if (await lease.advance(delivered)) saved = delivered;
        };
        const readOn = async (): Promise<RecordedEvent[]> => {
          const waitMs = delivered === saved ? idleWaitMs : checkpointEveryMs;
          const { events } = await log.readLog(delivered, { limit: maxBatch, waitMs, signal: lease.signal });
          return events;
        };
        try {
          while (!lease.signal.aborted) {
            const events = await readOn();
            // If the log's epoch has changed, they don't follow what was delivered before.
            if (lease.signal.aborted) break;
            const wanted = events.filter((event) => followed.has(entityOfStream(event.stream)));
            if (wanted.length > 0) await exclusively(() => deliver(wanted, lease));
            delivered = events.at(-1)?.position ?? delivered;
            const isDue = performance.now() - savedAt >= checkpointEveryMs || (prompt && wanted.length > 0);
            if (events.length === 0 || isDue) await save();
          }
        } catch (error) {
          if (!lease.signal.aborted) throw error;
        } finally {
          // If it fails, the events since the last checkpoint are delivered again.
          await save().catch(() => {});
        }
      };

      await Promise.all(
        readers.map((log) =>
          whileReading(
            {
              ...{ log, database, name: feedCheckpoint(handler.name, log.domain), holder, ttlMs, signal },
              followers: floorsOf(handler.name, log.domain),
            },
            (lease) => follow(log, lease),
          ),
        ),
      );
    },
  };
}
