/** Names who keeps appends waiting, while they wait: afterwards nobody knows any more. */
import type { Transaction } from '@caudal/postgres/database.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { counter } from '@caudal/telemetry/metrics.ts';

const log = logger('eventlog');
const blocked = counter(
  'eventlog_append_blocked_total',
  'Appends that waited for long, by the application that held them up',
);

export interface Holder {
  pid: number;
  application: string;
  /** As in pg_stat_activity: `idle in transaction`. */
  state: string;
  /** How long its transaction has been open. */
  seconds: number;
}

/**
 * The sessions that hold the log's head and wait for no lock themselves. Empty if nobody waits for it. Appenders in
 * line hold or want the lock on the row's version; the first of the line waits for the holder's transaction. That they wait
 * is for the locks to say: the activity of a process that was stopped is what it was then.
 */
export function selectHolders(db: Transaction): Promise<Holder[]> {
  return db.query<Holder>({
    text: `SELECT DISTINCT b.pid, b.application_name AS application, b.state,
        extract(epoch FROM now() - b.xact_start)::float8 AS seconds
      FROM pg_locks l
      CROSS JOIN LATERAL unnest(pg_blocking_pids(l.pid)) AS blocking(pid)
      JOIN pg_stat_activity b ON b.pid = blocking.pid
      WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND l.relation IN ('head'::regclass, 'events'::regclass, 'streams'::regclass, 'commands'::regclass)
        AND NOT EXISTS (SELECT FROM pg_locks w WHERE w.pid = b.pid AND NOT w.granted)`,
  });
}

/** Watches an append's wait: if it lasts longer than `afterMs`, logs and counts who holds it up. Returns the end. */
export function nameHolder(db: Transaction, domain: string, afterMs: number): () => void {
  const timer = setTimeout(async () => {
    // Only a hint for people; without it the append still fails with a bounded wait.
    const holders = await selectHolders(db).catch(() => []);
    for (const holder of holders) {
      blocked.add(1, { domain, application: holder.application });
      log.warn({ domain, ...holder }, 'appends wait for somebody who holds the log');
    }
  }, afterMs);
  timer.unref();
  return () => clearTimeout(timer);
}
