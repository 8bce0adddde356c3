/**
 * Moves old months of a log from the database to the archive. Each step can be interrupted: the next run goes on where this one
 * was. docs/archive.md has the steps and what may happen between them.
 */
import { type Database, openDatabase, type Transaction } from '@caudal/postgres/database.ts';
import { isBusyError, sqlState } from '@caudal/postgres/errors.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { counter } from '@caudal/telemetry/metrics.ts';
import type { Archive } from './archive.ts';
import { exportMonth, pathOf, verifyMonth } from './export-month.ts';
import { type ArchivedMonth, suffixOf } from './months.ts';

const log = logger('eventlog');
const archivedEvents = counter('eventlog_archived_events_total', 'Events of months that were moved to the archive');
const archivedBytes = counter('eventlog_archived_bytes_total', 'Bytes that these months take in the archive');

/** Streams whose last versions are noted in one transaction. */
const endsAtATime = 10_000;
/** How long detaching and dropping wait for transactions that use the table. */
const lockTimeoutMs = 1_000;

export interface ArchiveOptions {
  /** `transaction` commits only while the run holds the job's lease. */
  database: Pick<Database, 'query' | 'transaction'>;
  /** Where the log is, for what can't be done in a transaction. */
  plain: { url: string; schema: string };
  archive: Archive;
  domain: string;
  /** Months that ended longer ago than this leave. */
  afterMonths: number;
  /** The version of Caudal. */
  version: string;
  signal: AbortSignal;
  /** For tests: called with each step before it is done. */
  onStep?(step: Step, month: string): void | Promise<void>;
}

export const steps = ['export', 'verify', 'ends', 'switch', 'detach', 'drop'] as const;
export type Step = (typeof steps)[number];

interface DueMonth {
  month: string;
  after: number;
  end: number;
  archived: boolean;
}

/** Months to move or to finish moving, the oldest first. Those that were put back stay until their time is over. */
function selectDue(db: Transaction, afterMonths: number): Promise<DueMonth[]> {
  return db.query<DueMonth>({
    text: `SELECT to_char(m.month, 'YYYY-MM') AS month, m.after, m.end, a.month IS NOT NULL AS archived
      FROM (SELECT month, after, lead(after) OVER (ORDER BY month) AS end FROM months) m
      LEFT JOIN archived_months a ON a.month = m.month
      WHERE m.end IS NOT NULL
        AND month_begins((m.month + ($1 + 1) * interval '1 month')::date)
          <= least(log_clock(), (SELECT e.recorded_at FROM log_end() e))
        AND to_regclass(current_schema() || '.events_' || month_suffix(m.month)) IS NOT NULL
        AND NOT EXISTS (SELECT FROM restored_months r WHERE r.month = m.month AND r.until > log_clock())
      ORDER BY m.month`,
    values: [afterMonths],
  });
}

/** Moves all months that are due. Returns their names. Throws at the first that can't be moved; nothing is lost then. */
export async function archiveMonths(options: ArchiveOptions): Promise<string[]> {
  const moved: string[] = [];
  for (const due of await selectDue(options.database, options.afterMonths)) {
    options.signal.throwIfAborted();
    if (!due.archived) await moveOut(options, due);
    if (await dropTable(options, due.month)) moved.push(due.month);
  }
  return moved;
}

const firstDay = (month: string): string => `${month}-01`;

/** Steps 1 to 4: from then on the events are read from the archive. */
async function moveOut(options: ArchiveOptions, { month, after, end }: DueMonth): Promise<void> {
  const { database, archive, domain, version, signal, onStep } = options;
  const { store } = archive;
  const path = pathOf(domain, month, version);
  await onStep?.('export', month);
  const extent = { month, after, end };
  const { manifest, hash, bytes } = await exportMonth({ database, store, domain, extent, path, signal });
  await onStep?.('verify', month);
  await verifyMonth(store, manifest, signal);
  await onStep?.('ends', month);
  await noteEnds(options, month);
  await onStep?.('switch', month);
  signal.throwIfAborted();
  await database.transaction(async (tx) => {
    // Nobody else makes functions of months meanwhile.
    await tx.query({
      text: "SELECT pg_advisory_xact_lock(hashtextextended('caudal.partitions.' || current_schema(), 0))",
    });
    await tx.query({
      text: `INSERT INTO archived_months (month, path, manifest_hash, digest, events, bytes)
        VALUES ($1, $2, $3, decode($4, 'hex'), $5, $6)`,
      values: [firstDay(month), path, hash, manifest.digest, manifest.events, bytes],
    });
    await tx.query({ text: 'DELETE FROM restored_months WHERE month = $1', values: [firstDay(month)] });
    await tx.query({ text: 'SELECT make_archived_functions($1)', values: [firstDay(month)] });
  });
  archivedEvents.add(manifest.events, { domain });
  archivedBytes.add(bytes, { domain });
  log.info({ domain, month, events: manifest.events, bytes, path }, 'a month is read from the archive from now on');
}

/** Notes the versions of streams without a later month, in steps. It may be repeated. */
async function noteEnds({ database, signal }: ArchiveOptions, month: string): Promise<void> {
  for (let last: string | null = ''; last !== null; ) {
    signal.throwIfAborted();
    const from: string = last;
    const [row]: { last: string | null }[] = await database.transaction((tx) =>
      tx.query<{ last: string | null }>({
        text: `WITH page AS (
            SELECT DISTINCT ON (e.stream) e.stream, e.version FROM events_${suffixOf(month)} e
            WHERE e.stream > $1 COLLATE "C" ORDER BY e.stream, e.version DESC LIMIT ${endsAtATime}
          ), noted AS (
            INSERT INTO archived_ends (stream, month, version)
            SELECT p.stream, $2::date, p.version FROM page p
            WHERE NOT EXISTS (SELECT FROM stream_months s WHERE s.stream = p.stream AND s.month > $2::date)
            ON CONFLICT DO NOTHING
          ) SELECT max(stream) AS last FROM page`,
        values: [from, firstDay(month)],
      }),
    );
    last = row!.last;
  }
}

/**
 * Steps 5 and 6. A table that is in use is dropped in a later run. Returns whether it is gone. The statements wait briefly, since
 * what comes after them in a queue of locks waits too.
 */
async function dropTable(options: ArchiveOptions, month: string): Promise<boolean> {
  const { database, plain, archive, domain, signal, onStep } = options;
  const table = `events_${suffixOf(month)}`;
  const row = await selectArchived(database, month);
  if (!row) return false;
  if (!(await archive.holds(row, signal)))
    throw new Error(
      `The archive ${archive.store.where} lacks objects of ${domain} ${month} that were there: its table stays. Restore "${row.path}".`,
    );
  try {
    await onStep?.('detach', month);
    await detach(plain, table);
    await onStep?.('drop', month);
    signal.throwIfAborted();
    await database.transaction(async (tx) => {
      await tx.query({ text: `SET LOCAL lock_timeout = ${lockTimeoutMs}` });
      const [still] = await tx.query<{ archived: boolean }>({
        text: `SELECT EXISTS (SELECT FROM archived_months WHERE month = $1)
            AND NOT EXISTS (SELECT FROM restored_months WHERE month = $1 AND until > log_clock()) AS archived`,
        values: [firstDay(month)],
      });
      if (!still!.archived) throw new Error(`${domain} ${month} was put back meanwhile: its table stays.`);
      await tx.query({ text: `DROP TABLE IF EXISTS ${table}` });
    });
  } catch (error) {
    if (!isBusyError(error)) throw error;
    log.warn({ domain, month, err: error }, 'an archived month is not dropped yet: an older transaction is still open');
    return false;
  }
  log.info({ domain, month }, 'a month has left the database');
  return true;
}

/** The row of an archived month. */
export async function selectArchived(
  db: Transaction,
  month: string,
): Promise<(ArchivedMonth & { digest: string; events: number }) | undefined> {
  const [row] = await db.query<ArchivedMonth & { digest: string; events: number }>({
    text: `SELECT path, manifest_hash AS hash, encode(digest, 'hex') AS digest, events FROM archived_months WHERE month = $1`,
    values: [firstDay(month)],
  });
  return row;
}

/** Another run has detached it meanwhile. */
const isDetached = (error: unknown) => /^(42P01|55000|42809)$/.test(sqlState(error) ?? '');

async function detach({ url, schema }: { url: string; schema: string }, table: string): Promise<void> {
  const db = openDatabase({ url, schema, poolSize: 1, lockTimeoutMs, applicationName: 'caudal-archive' });
  try {
    const [attached] = await db.query<{ pending: boolean }>({
      text: `SELECT i.inhdetachpending AS pending FROM pg_inherits i WHERE i.inhrelid = to_regclass($1)`,
      values: [table],
    });
    if (attached)
      await db.query({
        text: `ALTER TABLE events DETACH PARTITION ${table} ${attached.pending ? 'FINALIZE' : 'CONCURRENTLY'}`,
      });
  } catch (error) {
    if (!isDetached(error)) throw error;
  } finally {
    await db.close();
  }
}
