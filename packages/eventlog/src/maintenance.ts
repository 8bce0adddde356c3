/** What a log needs now and then: partitions made ahead, and old commands forgotten. */
import type { Running } from '@caudal/kernel/lifetime.ts';
import { sleep } from '@caudal/kernel/time.ts';
import type { Database, Transaction } from '@caudal/postgres/database.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { counter } from '@caudal/telemetry/metrics.ts';

const retryMs = 60_000;

const log = logger('eventlog');
const failures = counter('eventlog_maintenance_failures_total', "Rounds of the log's maintenance that failed");

/** Makes the partitions of this month and of `months` more. Safe to call at any time, by any number of processes. */
export async function makePartitions(db: Transaction, months = 3): Promise<void> {
  await db.query({ text: 'SELECT make_partitions($1)', values: [months] });
}

/** Names of the partitions of this month and of `months` more that are not there. */
export async function missingPartitions(db: Transaction, months = 3): Promise<string[]> {
  const rows = await db.query<{ name: string }>({
    text: `SELECT name FROM generate_series(0, $1) AS n,
        to_char((clock_timestamp() AT TIME ZONE 'UTC') + n * interval '1 month', '"events_"YYYY_MM') AS name
      WHERE to_regclass(name) IS NULL ORDER BY name`,
    values: [months],
  });
  return rows.map(({ name }) => name);
}

/** Forgets up to `limit` commands that are older than `days`; returns how many there were. */
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

/** Does both until it is stopped: at once, then every `everyMs` (an hour if absent). A failed round is counted, and repeated soon. */
export function startMaintenance(options: { database: Database; domain: string; everyMs?: number }): Running {
  const { database, domain, everyMs = 3_600_000 } = options;
  const limit = 5_000;
  const stopping = new AbortController();
  const run = async () => {
    while (!stopping.signal.aborted) {
      let pauseMs = everyMs;
      try {
        await makePartitions(database);
        while (!stopping.signal.aborted && (await deleteOldCommands(database, { limit })) === limit);
      } catch (error) {
        failures.add(1, { domain });
        pauseMs = Math.min(everyMs, retryMs);
        log.error({ err: error, domain }, "the log's maintenance has failed");
      }
      await sleep(pauseMs, stopping.signal);
    }
  };
  const done = run();
  return {
    stop() {
      stopping.abort();
      return done;
    },
  };
}
