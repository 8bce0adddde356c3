/** A log as a process of Caudal opens it. */
import { openEventLog } from '@caudal/eventlog/event-log.ts';
import { migrations } from '@caudal/eventlog/migrations.ts';
import { type DatabaseOptions, openDatabase } from '@caudal/postgres/database.ts';
import { type MigrationSet, migrate } from '@caudal/postgres/migrate.ts';
import { openPipeline } from '@caudal/postgres/pipeline.ts';

/** Creates the schema of a log, and other schemas beside it. */
export const migrateLog = (url: string, schema: string, beside: MigrationSet[] = []) =>
  migrate({ url, schema, sets: [...beside, migrations] });

/** Opens the log of an existing schema. */
export function openLog(connection: DatabaseOptions) {
  const database = openDatabase(connection);
  const appender = openPipeline(connection);
  const log = openEventLog({ database, appender, domain: connection.schema });
  return {
    database,
    log,
    async close() {
      await log.stop();
      await Promise.all([appender.close(), database.close()]);
    },
  };
}
