/** For tests: a new log on the real PostgreSQL. */
import { type DatabaseOptions, openDatabase, type Transaction } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { openPipeline } from '@caudal/postgres/pipeline.ts';
import { freshDatabase } from '@caudal/testing/servers.ts';
import { type OpenEventLogOptions, openEventLog } from '../event-log.ts';
import { migrations } from '../migrations.ts';

type Options = Partial<DatabaseOptions> &
  Pick<Partial<OpenEventLogOptions>, 'retryForMs' | 'maxQueued' | 'archive' | 'clock'>;

/** Takes the log's turn until the transaction ends. */
export async function holdTurn(tx: Transaction): Promise<void> {
  await tx.query({ text: "SELECT pg_advisory_xact_lock(1667331428, 'events'::regclass::oid::int)" });
}

/** Sets the clock of this log, which by itself is the server's, ahead by an interval such as `1 day`. */
export async function setClockAhead(db: Transaction, by: string): Promise<void> {
  await db.query({
    text: `CREATE OR REPLACE FUNCTION log_clock() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
      SELECT date_trunc('milliseconds', clock_timestamp() + interval '${by}') $$`,
  });
}

/** An empty log in a database of its own, which `drop` deletes. */
export async function freshLog(domain = 'orders', options: Options = {}) {
  const fresh = await freshDatabase();
  await migrate({ url: fresh.url, schema: domain, sets: [migrations] });
  const closing: (() => Promise<void>)[] = [];
  /** Opens the same log as another process would: with connections of its own. */
  const open = (more: Options = {}) => {
    const settings = { ...options, ...more };
    const connection = { ...settings, url: fresh.url, schema: domain };
    const database = openDatabase(connection);
    const appender = openPipeline(connection);
    const log = openEventLog({ ...settings, database, appender, domain });
    closing.push(async () => {
      await log.stop();
      await Promise.all([appender.close(), database.close()]);
    });
    return { log, database };
  };
  return {
    url: fresh.url,
    ...open(),
    open,
    async drop() {
      await Promise.all(closing.map((close) => close()));
      await fresh.drop();
    },
  };
}
