/** Reports the session that makes appends wait. It does so during the wait, since afterwards the session is unknown. */
import type { Transaction } from '@caudal/postgres/database.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { counter } from '@caudal/telemetry/metrics.ts';

const log = logger('eventlog');
const blocked = counter(
  'eventlog_append_blocked_total',
  'Appends that waited for long, by the application that held them up',
);

/** The first number of the advisory locks that logs take turns by: see migrations/010_append.sql. */
const turnSpace = 1_667_331_428;

export interface Holder {
  pid: number;
  application: string;
  /** As in pg_stat_activity: `idle in transaction`. */
  state: string;
  /** How long its transaction has been open. */
  seconds: number;
}

/**
 * The sessions that block others at the log's turn or at its tables and wait for no lock themselves. Empty if no session
 * waits. pg_locks shows which sessions wait (for the turn, a table, or the holder's transaction);
 * pg_stat_activity does not, since the entry of a server process that was stopped (SIGSTOP) is outdated.
 */
export function selectHolders(db: Transaction): Promise<Holder[]> {
  return db.query<Holder>({
    text: `SELECT DISTINCT b.pid, b.application_name AS application, b.state,
        extract(epoch FROM now() - b.xact_start)::float8 AS seconds
      FROM pg_locks l
      CROSS JOIN LATERAL unnest(pg_blocking_pids(l.pid)) AS blocking(pid)
      JOIN pg_stat_activity b ON b.pid = blocking.pid
      WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (l.locktype = 'advisory' AND l.classid = ${turnSpace} AND l.objid = 'events'::regclass AND l.objsubid = 2
          OR l.relation IN (SELECT t.relid FROM unnest('{events,months,stream_months,claims}'::regclass[]) AS p(name)
            CROSS JOIN LATERAL pg_partition_tree(p.name) t)
          OR l.relation IN ('months'::regclass, 'stream_months'::regclass))
        AND NOT EXISTS (SELECT FROM pg_locks w WHERE w.pid = b.pid AND NOT w.granted)`,
  });
}

/**
 * If a call lasts longer than `afterMs`, logs and counts the sessions that block it. Returns a function that ends this.
 */
export function nameHolder(db: Transaction, domain: string, afterMs: number): () => void {
  const timer = setTimeout(async () => {
    // A hint for operators. Without it the append's wait is bounded as well.
    const holders = await selectHolders(db).catch(() => []);
    for (const holder of holders) {
      blocked.add(1, { domain, application: holder.application });
      log.warn({ domain, ...holder }, 'appends wait for a session that holds the log');
    }
  }, afterMs);
  timer.unref();
  return () => clearTimeout(timer);
}
