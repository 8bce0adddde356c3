/**
 * Moves old months of a log from the database to the archive. Each step can be interrupted: the next run goes on where this one
 * was. docs/archive.md has the steps and what may happen between them.
 */
import { isCode } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { int4Array, textArray } from '@caudal/postgres/arrays.ts';
import type { Database, Transaction } from '@caudal/postgres/database.ts';
import { isBusyError, sqlState } from '@caudal/postgres/errors.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { counter } from '@caudal/telemetry/metrics.ts';
import type { Archive } from './archive.ts';
import { type ExportedMonth, exportMonth, type StreamEnd, verifyMonth } from './export-month.ts';
import { findAttempt } from './former-attempt.ts';
import { firstDay, selectArchived } from './months.ts';
import { detach, lockPartitions, tableOf, tidyPartitions, waitBriefly } from './partitions.ts';

const log = logger('eventlog');
const archivedEvents = counter('eventlog_archived_events_total', 'Events of months that were moved to the archive');
const archivedBytes = counter('eventlog_archived_bytes_total', 'Bytes that these months take in the archive');

/** The largest table that is moved: its events would not fit into objects of 10,000 parts. */
const largestTable = 400 * 2 ** 30;

const streamsAPage = 50_000;

export interface ArchiveOptions {
  /** `transaction` commits only while the run holds the job's lease. */
  database: Pick<Database, 'query' | 'transaction'>;
  /** Where the log is, for what can't be done in a transaction. */
  plain: { url: string; schema: string };
  archive: Archive;
  domain: string;
  /** Months that ended longer ago than this leave. */
  afterMonths: number;
  signal: AbortSignal;
  /** For tests: called with each step before it is done. */
  onStep?(step: Step, month: string): void | Promise<void>;
}

export const steps = ['export', 'verify', 'switch', 'detach', 'drop'] as const;
export type Step = (typeof steps)[number];

interface DueMonth {
  month: string;
  after: number;
  end: number;
  archived: boolean;
}

/**
 * Months to move or to finish moving, the oldest first. Those that were put back stay until their time is over. None while processes of
 * version 0.2 may read the log: they read `events` itself, where a month that has left is a gap.
 */
function selectDue(db: Transaction, afterMonths: number): Promise<DueMonth[]> {
  return db.query<DueMonth>({
    text: `SELECT to_char(m.month, 'YYYY-MM') AS month, m.after, m.end, a.month IS NOT NULL AS archived
      FROM (SELECT month, after, lead(after) OVER (ORDER BY month) AS end FROM months) m
      LEFT JOIN archived_months a ON a.month = m.month
      WHERE m.end IS NOT NULL AND to_regclass(current_schema() || '.head') IS NULL
        AND month_begins((m.month + ($1 + 1) * interval '1 month')::date)
          <= least(log_clock(), (SELECT e.recorded_at FROM log_end() e))
        AND to_regclass(current_schema() || '.events_' || month_suffix(m.month)) IS NOT NULL
        AND NOT EXISTS (SELECT FROM restored_months r WHERE r.month = m.month AND r.until > log_clock())
      ORDER BY m.month`,
    values: [afterMonths],
  });
}

/**
 * An archive or a database that can't be reached, or the end of the run: no other month would fare better. Not a statement that took
 * too long, or has met damage.
 */
const concernsAll = (error: unknown, signal: AbortSignal) =>
  signal.aborted || (isCode(error, 'UNAVAILABLE') && !isBusyError(error)) || (error as Error).name === 'LeaseLost';

/**
 * Moves all months that are due. Returns their names. A month that can't be moved stays as it is, and the others are moved; then the
 * first error is thrown.
 */
export async function archiveMonths(options: ArchiveOptions): Promise<string[]> {
  const moved: string[] = [];
  const failures: unknown[] = [];
  await tidyPartitions(options).catch((error: unknown) => {
    if (!isBusyError(error)) throw error;
    log.warn(
      { domain: options.domain, err: error },
      'what an earlier run has left still waits for an older transaction',
    );
  });
  for (const due of await selectDue(options.database, options.afterMonths)) {
    options.signal.throwIfAborted();
    try {
      if (!due.archived) await moveOut(options, due);
      if (await dropTable(options, due.month)) moved.push(due.month);
    } catch (error) {
      if (concernsAll(error, options.signal)) throw error;
      log.error({ domain: options.domain, month: due.month, err: error }, 'a month could not be archived');
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
  return moved;
}

/** Steps 1 to 4: from then on the events are read from the archive. */
async function moveOut(options: ArchiveOptions, due: DueMonth): Promise<void> {
  const { database, archive, domain, signal, onStep } = options;
  const { month } = due;
  const { store } = archive;
  const [{ size }] = (await database.query<{ size: number }>({
    text: 'SELECT pg_table_size(to_regclass($1)) AS size',
    values: [tableOf(month)],
  })) as [{ size: number }];
  if (size > largestTable)
    throw new Error(`${tableOf(month)} has ${size} bytes: tables of more than ${largestTable} can't be archived yet.`);
  await onStep?.('export', month);
  const { path, manifest, hash, bytes } = (await takeUp(options, due)) ?? (await writeAndVerify(options, due));
  await onStep?.('switch', month);
  signal.throwIfAborted();
  await database.transaction(async (tx) => {
    await lockPartitions(tx);
    await tx.query({
      text: `INSERT INTO archived_months (month, archive, path, manifest_hash, digest, events, bytes)
        VALUES ($1, $2, $3, $4, decode($5, 'hex'), $6, $7)`,
      values: [firstDay(month), store.where, path, hash, manifest.digest, manifest.events, bytes],
    });
    await tx.query({ text: 'DELETE FROM restored_months WHERE month = $1', values: [firstDay(month)] });
    await tx.query({ text: 'SELECT make_archived_functions($1)', values: [firstDay(month)] });
  });
  archivedEvents.add(manifest.events, { domain });
  archivedBytes.add(bytes, { domain });
  log.info({ domain, month, events: manifest.events, bytes, path }, 'a month is read from the archive from now on');
}

/** Verifies what an earlier run has written whole, if there is such an attempt. Undefined: it is to be written anew. */
async function takeUp(options: ArchiveOptions, due: DueMonth): Promise<ExportedMonth | undefined> {
  const { database, archive, domain, signal, onStep } = options;
  const { month } = due;
  const attempt = await findAttempt({ database, store: archive.store, domain, extent: due, signal });
  if (!attempt) return undefined;
  await onStep?.('verify', month);
  try {
    await verify(options, month, attempt);
    return attempt;
  } catch (error) {
    if (concernsAll(error, signal)) throw error;
    log.warn(
      { domain, month, path: attempt.path, err: error },
      'what was written of a month is not whole: it is written anew',
    );
    return undefined;
  }
}

async function writeAndVerify(options: ArchiveOptions, due: DueMonth): Promise<ExportedMonth> {
  const { database, archive, domain, signal, onStep } = options;
  const { month } = due;
  const path = `${domain}/${month}/${newId()}`;
  const exported = await exportMonth({ database, store: archive.store, domain, extent: due, path, signal });
  await onStep?.('verify', month);
  await verify(options, month, exported);
  return exported;
}

/** Reads the month back, and compares its streams with those that the database has. */
async function verify(
  { database, archive, signal }: ArchiveOptions,
  month: string,
  { manifest }: ExportedMonth,
): Promise<void> {
  let streams = 0;
  await verifyMonth(archive.store, manifest, signal, (ends) => {
    streams += ends.length;
    return noteEnds(database, month, ends);
  });
  const known = await countStreams(database, month, signal);
  if (known !== streams)
    throw new Error(`stream_months has ${known} streams of ${month}, of which there are events of ${streams}.`);
}

/**
 * Notes the versions of those streams that have no later month. It may be repeated. Throws if the streams are not those that
 * `stream_months` has for this month, by which events are found.
 */
async function noteEnds(database: ArchiveOptions['database'], month: string, ends: StreamEnd[]): Promise<void> {
  const [row] = await database.transaction((tx) =>
    tx.query<{ wrong: string | null }>({
      text: `WITH ends AS (
          SELECT * FROM unnest($1::text[], $2::int[], $3::int[]) AS e(stream, first, last)
        ), noted AS (
          INSERT INTO archived_ends (stream, month, version)
          SELECT e.stream, $4::date, e.last FROM ends e
          WHERE NOT EXISTS (SELECT FROM stream_months s WHERE s.stream = e.stream AND s.month > $4::date)
          ON CONFLICT DO NOTHING
        ) SELECT min(e.stream) AS wrong FROM ends e LEFT JOIN stream_months s ON s.stream = e.stream AND s.month = $4::date
        WHERE s.after IS DISTINCT FROM e.first - 1`,
      values: [
        textArray(ends.map(({ stream }) => stream)),
        int4Array(ends.map(({ first }) => first)),
        int4Array(ends.map(({ last }) => last)),
        firstDay(month),
      ],
    }),
  );
  if (row!.wrong !== null) throw new Error(`stream_months disagrees with the events of ${row!.wrong} in ${month}.`);
}

/**
 * How many streams `stream_months` has for a month. One without events would be a stream that nobody can append to once the month has
 * left, since its version is nowhere.
 */
async function countStreams(database: ArchiveOptions['database'], month: string, signal: AbortSignal): Promise<number> {
  let count = 0;
  let last = { stream: '', month: '0001-01-01' };
  for (;;) {
    signal.throwIfAborted();
    const [page] = await database.query<{ count: number; stream: string | null; month: string }>({
      text: `WITH page AS (
          SELECT stream, month FROM stream_months WHERE (stream, month) > ($2, $3::date) ORDER BY stream, month LIMIT $4
        ) SELECT (SELECT count(*) FROM page WHERE month = $1::date) AS count, l.stream, l.month::text AS month
        FROM (SELECT) one LEFT JOIN (SELECT * FROM page ORDER BY stream DESC, month DESC LIMIT 1) l ON true`,
      values: [firstDay(month), last.stream, last.month, streamsAPage],
    });
    const { stream, month: lastMonth, count: more } = page!;
    if (stream === null) return count;
    count += more;
    last = { stream, month: lastMonth };
  }
}

/**
 * Steps 5 and 6. A table that is in use is dropped in a later run. Returns whether it is gone. The statements wait briefly, since
 * what comes after them in a queue of locks waits too.
 */
async function dropTable(options: ArchiveOptions, month: string): Promise<boolean> {
  const { database, plain, archive, domain, signal, onStep } = options;
  const row = await selectArchived(database, month);
  if (!row) return false;
  await archive.check(row, signal);
  try {
    await onStep?.('detach', month);
    await detach(plain, tableOf(month));
    await onStep?.('drop', month);
    signal.throwIfAborted();
    await database.transaction(async (tx) => {
      await waitBriefly(tx);
      const [still] = await tx.query<{ archived: boolean; attached: boolean }>({
        text: `SELECT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass($2)) AS attached,
            EXISTS (SELECT FROM archived_months WHERE month = $1)
              AND NOT EXISTS (SELECT FROM restored_months WHERE month = $1 AND until > log_clock()) AS archived`,
        values: [firstDay(month), tableOf(month)],
      });
      if (!still!.archived) throw new Error(`${domain} ${month} was put back meanwhile: its table stays.`);
      // Dropping a partition would stop all appends.
      if (still!.attached) throw new Error(`${tableOf(month)} was attached meanwhile: it stays.`);
      await tx.query({ text: `DROP TABLE IF EXISTS ${tableOf(month)}` });
    });
  } catch (error) {
    // 55000: another month's detaching is pending, and PostgreSQL allows one.
    if (!isBusyError(error) && sqlState(error) !== '55000') throw error;
    log.warn({ domain, month, err: error }, 'an archived month is not dropped yet: an older transaction is still open');
    return false;
  }
  log.info({ domain, month }, 'a month has left the database');
  return true;
}
