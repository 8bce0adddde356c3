/** The maintenance of a log: partitions are made ahead, and what has expired is dropped. */
import { type Database, openDatabase, type Transaction } from '@caudal/postgres/database.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { counter } from '@caudal/telemetry/metrics.ts';
import { dropExpiredClaims } from './expired-claims.ts';

const log = logger('eventlog');
const failures = counter('eventlog_maintenance_failures_total', "Rounds of the log's maintenance that failed");

/** Makes the partitions of this month, of the next `months`, and of the claims that can be made until the next round. */
export async function makePartitions(db: Transaction, months = 3): Promise<void> {
  await db.query({ text: 'SELECT make_partitions($1)', values: [months] });
}

/** The names of those partitions of this month, the next `months`, and the claims of the next 60 days that are missing. */
export async function missingPartitions(db: Transaction, months = 3): Promise<string[]> {
  const rows = await db.query<{ name: string }>({
    text: `SELECT name FROM (
        SELECT to_char((clock_timestamp() AT TIME ZONE 'UTC') + n * interval '1 month', '"events_"YYYY_MM') AS name
        FROM generate_series(0, $1) AS n
        UNION ALL
        SELECT 'claims_' || floor(extract(epoch FROM clock_timestamp()) / 864000) + n FROM generate_series(0, 6) AS n
      ) names
      WHERE to_regclass(name) IS NULL ORDER BY name`,
    values: [months],
  });
  return rows.map(({ name }) => name);
}

/** Deletes up to `limit` commands of version 0.2 that are older than `days`; returns their number. */
export async function deleteOldCommands(db: Transaction, { days = 30, limit = 5_000 } = {}): Promise<number> {
  const [table] = await db.query<{ there: boolean }>({ text: "SELECT to_regclass('commands') IS NOT NULL AS there" });
  if (!table!.there) return 0;
  const rows = await db.query<{ n: number }>({
    text: `WITH deleted AS (
        DELETE FROM commands WHERE key IN (
          SELECT key FROM commands WHERE recorded_at < clock_timestamp() - $1 * interval '1 day'
          ORDER BY recorded_at LIMIT $2 FOR UPDATE SKIP LOCKED
        ) RETURNING 1
      ) SELECT count(*) AS n FROM deleted`,
    values: [days, limit],
  });
  return rows[0]!.n;
}

/**
 * Ends the upgrade from version 0.2 as far as it can: see docs/event-log-write-path.md. `idleDays`: how long no process of
 * that version must have appended, if not seven; only the role that owns the log may say so.
 */
export async function endUpgrade(db: Transaction, idleDays?: number): Promise<void> {
  const [former] = await db.query<{ ended: boolean }>(
    idleDays === undefined
      ? { text: 'SELECT end_former_version() AS ended' }
      : { text: 'SELECT end_former_version($1) AS ended', values: [idleDays] },
  );
  if (former!.ended) log.info('processes of version 0.2 can no longer append: none of them has done so for days');
  await db.query({ text: 'SELECT drop_former_commands()' });
}

/** Whether no process of version 0.2 can append any more, so that none of them runs. */
export async function isUpgradeEnded(db: Transaction): Promise<boolean> {
  const [row] = await db.query<{ ended: boolean }>({ text: "SELECT to_regclass('head') IS NULL AS ended" });
  return row!.ended;
}

/**
 * One round. Every context has a job that calls it at each start and every hour. A failure is counted and thrown.
 * `database`: it commits only while the job holds its lease. `plain`: where the log is, for what can't be done in a
 * transaction; it does no harm if two processes do that at once.
 */
export async function maintainLog(options: {
  database: Pick<Database, 'transaction'>;
  plain: { url: string; schema: string };
  domain: string;
  signal: AbortSignal;
}): Promise<void> {
  const { database, plain, domain, signal } = options;
  const limit = 5_000;
  try {
    // First what appends need.
    await database.transaction((tx) => makePartitions(tx));
    while (!signal.aborted && (await database.transaction((tx) => deleteOldCommands(tx, { limit }))) === limit);
    await database.transaction((tx) => endUpgrade(tx));
    if (!signal.aborted) await dropClaims(plain);
  } catch (error) {
    failures.add(1, { domain });
    throw error;
  }
}

/** Its waits for locks are short: while it waits, no partition can be attached. What is in use is dropped in a later round. */
async function dropClaims({ url, schema }: { url: string; schema: string }): Promise<void> {
  const db = openDatabase({ url, schema, poolSize: 1, lockTimeoutMs: 1_000, applicationName: 'caudal-maintenance' });
  try {
    const { inUse } = await dropExpiredClaims(db);
    if (inUse.length > 0)
      log.warn({ schema, partitions: inUse }, 'expired claims are not dropped yet: an older transaction is still open');
  } finally {
    await db.close();
  }
}
