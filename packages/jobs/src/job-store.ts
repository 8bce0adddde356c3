/**
 * The table of jobs: one function for each statement. Lease and record are one row. Every change by a run names its
 * epoch, so a run that has lost the lease changes nothing. As with checkpoints, a lease that lasts longer than ten
 * usual ones is void: the database's clock was set back.
 */
import type { Database, Transaction } from '@caudal/postgres/database.ts';
import type { Outcome } from './types.ts';

/** The longest error, in characters; a longer one is cut. */
const ERROR_LENGTH = 1_000;
/** A longer lease is void. Leases of one job may have different lengths while a new version is rolled out. */
const longestLease = "greatest($4 * 10, 60000) * interval '1 millisecond'";

/** A job's row. */
export interface JobRecord {
  name: string;
  /** The number of runs that have begun. */
  epoch: number;
  /** Null if the job does not run. */
  holder: string | null;
  /** Host and pid of the last process that ran it. */
  runningOn: string | null;
  /** Whether the holder's lease is valid at this moment. */
  held: boolean;
  /** The end of the holder's lease; 1970 if it is void. Null without a holder. */
  leaseUntil: Date | null;
  declaredAt: Date;
  lastStartedAt: Date | null;
  lastEndedAt: Date | null;
  lastSuccessAt: Date | null;
  lastOutcome: Outcome | null;
  lastError: string | null;
  failures: number;
  failuresInRow: number;
}

/** A run that has begun. */
export interface Claim {
  name: string;
  /** The fencing token. */
  epoch: number;
  /** When it began. */
  startedAt: Date;
}

/** Makes a row for each job that has none. */
export async function declareJobs(db: Transaction, names: string[]): Promise<void> {
  await db.query({
    name: 'jobs-declare',
    text: 'INSERT INTO jobs (name) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING',
    values: [names],
  });
}

/** All rows by name, declared or not, and the database's time. */
export async function readJobs(
  db: Transaction,
  leaseMs: number,
): Promise<{ now: Date; records: Map<string, JobRecord> }> {
  const longest = "now + greatest($1 * 10, 60000) * interval '1 millisecond'";
  const rows = await db.query<JobRecord & { now: Date; present: string | null }>({
    name: 'jobs-read',
    text: `SELECT now, j.name AS present, j.* FROM (SELECT clock_timestamp() AS now) AS clock LEFT JOIN LATERAL (
        SELECT name, epoch, holder, running_on AS "runningOn", holder IS NOT NULL AND lease_until BETWEEN now AND ${longest} AS held,
          CASE WHEN holder IS NULL THEN NULL WHEN lease_until > ${longest} THEN to_timestamp(0) ELSE lease_until END AS "leaseUntil",
          declared_at AS "declaredAt", last_started_at AS "lastStartedAt", last_ended_at AS "lastEndedAt",
          last_success_at AS "lastSuccessAt", last_outcome AS "lastOutcome", last_error AS "lastError",
          failures, failures_in_row AS "failuresInRow"
        FROM jobs
      ) AS j ON true ORDER BY j.name`,
    values: [leaseMs],
  });
  const records = rows
    .filter(({ present }) => present !== null)
    .map(({ now: _, present: __, ...record }) => [record.name, record] as const);
  return { now: rows[0]!.now, records: new Map(records) };
}

/**
 * Begins a run, if the job is free and has not run since `epoch` was read; undefined otherwise. A holder whose lease
 * has expired counts as a failure. The new epoch is on disk before it is returned, also on a connection with `derived`.
 */
export async function claimJob(
  db: Transaction,
  of: { name: string; epoch: number; holder: string; leaseMs: number; runningOn: string },
): Promise<Claim | undefined> {
  const rows = await db.query<Claim>({
    name: 'jobs-claim',
    text: `UPDATE jobs SET
        epoch = epoch + 1, holder = $3, running_on = $5, last_started_at = clock_timestamp(),
        lease_until = clock_timestamp() + $4 * interval '1 millisecond',
        failures = failures + (holder IS NOT NULL)::int,
        failures_in_row = failures_in_row + (holder IS NOT NULL)::int,
        last_outcome = CASE WHEN holder IS NULL THEN last_outcome ELSE 'abandoned' END,
        last_error = CASE WHEN holder IS NULL THEN last_error
          ELSE left('The run ended without an outcome: ' || coalesce(running_on, holder), ${ERROR_LENGTH}) END
      WHERE name = $1 AND epoch = $2
        AND (holder IS NULL OR holder = $3
          OR lease_until NOT BETWEEN clock_timestamp() AND clock_timestamp() + ${longestLease})
        AND set_config('synchronous_commit', 'on', true) = 'on'
      RETURNING name, epoch, last_started_at AS "startedAt"`,
    values: [of.name, of.epoch, of.holder, of.leaseMs, of.runningOn],
  });
  return rows[0];
}

/** Renews the lease of a run. False if it is lost. A lease that has expired but was not taken is still valid. */
export async function renewLease(
  db: Transaction,
  { name, epoch, leaseMs }: { name: string; epoch: number; leaseMs: number },
): Promise<boolean> {
  const rows = await db.query({
    name: 'jobs-renew',
    text: `UPDATE jobs SET lease_until = clock_timestamp() + $3 * interval '1 millisecond'
      WHERE name = $1 AND epoch = $2 AND holder IS NOT NULL RETURNING name`,
    values: [name, epoch, leaseMs],
  });
  return rows.length > 0;
}

/** Records how a run ended, and releases its lease. False if the lease was lost; then nothing has changed. */
export async function endRun(
  db: Transaction,
  { name, epoch, outcome, error }: { name: string; epoch: number; outcome: Outcome; error?: string },
): Promise<boolean> {
  const rows = await db.query({
    name: 'jobs-end',
    text: `UPDATE jobs SET
        holder = NULL, lease_until = '-infinity', last_ended_at = clock_timestamp(), last_outcome = $3, last_error = $4,
        last_success_at = CASE WHEN $3 = 'succeeded' THEN clock_timestamp() ELSE last_success_at END,
        failures = failures + ($3 IN ('failed', 'timed_out'))::int,
        failures_in_row = CASE WHEN $3 = 'succeeded' THEN 0
          ELSE failures_in_row + ($3 IN ('failed', 'timed_out'))::int END
      WHERE name = $1 AND epoch = $2 AND holder IS NOT NULL RETURNING name`,
    values: [name, epoch, outcome, error?.slice(0, ERROR_LENGTH).replaceAll('\0', '') ?? null],
  });
  return rows.length > 0;
}

/** Deletes the row of a job that is no longer declared. False if it runs, or if there is no row. */
export async function removeJob(db: Database, name: string): Promise<boolean> {
  const rows = await db.query({
    text: 'DELETE FROM jobs WHERE name = $1 AND (holder IS NULL OR lease_until < clock_timestamp()) RETURNING name',
    values: [name],
  });
  return rows.length > 0;
}

/**
 * Whether the run of this epoch still holds its lease. Must be the last statement of the transaction that it guards:
 * the row stays locked until the commit, so that a process that takes over waits for it.
 */
export async function stillHolds(tx: Transaction, { name, epoch }: { name: string; epoch: number }): Promise<boolean> {
  const rows = await tx.query({
    name: 'jobs-still-holds',
    text: 'SELECT 1 FROM jobs WHERE name = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE',
    values: [name, epoch],
  });
  return rows.length > 0;
}
