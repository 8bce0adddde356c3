/** For tests: a new log on the real PostgreSQL. */
import { type DatabaseOptions, openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { openPipeline } from '@caudal/postgres/pipeline.ts';
import { freshDatabase } from '@caudal/testing/servers.ts';
import { type OpenEventLogOptions, openEventLog } from '../event-log.ts';
import { migrations } from '../migrations.ts';

type Options = Partial<DatabaseOptions> & Pick<Partial<OpenEventLogOptions>, 'retryForMs' | 'maxQueued'>;

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
