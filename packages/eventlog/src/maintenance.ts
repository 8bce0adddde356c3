/** The maintenance of a log: partitions are made ahead, and old commands are deleted. */
import type { Database, Transaction } from '@caudal/postgres/database.ts';
import { counter } from '@caudal/telemetry/metrics.ts';

const failures = counter('eventlog_maintenance_failures_total', "Rounds of the log's maintenance that failed");

/** Makes the partitions of this month and of the next `months`. Any number of processes may call it at any time. */
export async function makePartitions(db: Transaction, months = 3): Promise<void> {
  await db.query({ text: 'SELECT make_partitions($1)', values: [months] });
}

/** The names of those partitions of this month and the next `months` that are missing. */
export async function missingPartitions(db: Transaction, months = 3): Promise<string[]> {
  const rows = await db.query<{ name: string }>({
    text: `SELECT name FROM generate_series(0, $1) AS n,
        to_char((clock_timestamp() AT TIME ZONE 'UTC') + n * interval '1 month', '"events_"YYYY_MM') AS name
      WHERE to_regclass(name) IS NULL ORDER BY name`,
    values: [months],
  });
  return rows.map(({ name }) => name);
}

/** Deletes up to `limit` commands that are older than `days`; returns their number. */
export async function deleteOldCommands(db: Transaction, { days = 30, limit = 5_000 } = {}): Promise<number> {
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
 * Does both once. Every context has a job that calls it at each start and every hour. A failure is counted and thrown.
 * `database`: it commits only while the job holds its lease.
 */
export async function maintainLog(options: {
  database: Pick<Database, 'transaction'>;
  domain: string;
  signal: AbortSignal;
}): Promise<void> {
  const { database, domain, signal } = options;
  const limit = 5_000;
  try {
    await database.transaction((tx) => makePartitions(tx));
    while (!signal.aborted && (await database.transaction((tx) => deleteOldCommands(tx, { limit }))) === limit);
  } catch (error) {
    failures.add(1, { domain });
    throw error;
  }
}
