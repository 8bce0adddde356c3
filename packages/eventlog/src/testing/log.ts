/** For tests: a log of the test's own on the real PostgreSQL. */
import { type Database, type DatabaseOptions, openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { freshDatabase } from '@caudal/testing/servers.ts';
import { type OpenEventLogOptions, openEventLog } from '../event-log.ts';
import { migrations } from '../migrations.ts';

type Options = Partial<DatabaseOptions> & Pick<Partial<OpenEventLogOptions>, 'retryForMs' | 'maxQueued'>;

/** An empty log in a database of its own, which `drop` deletes. */
export async function freshLog(domain = 'orders', options: Options = {}) {
  const fresh = await freshDatabase();
  await migrate({ url: fresh.url, schema: domain, sets: [migrations] });
  const logs: { log: ReturnType<typeof openEventLog>; database: Database }[] = [];
  /** Another process's view of the same log, as far as the log can tell. */
  const open = (more: Options = {}) => {
    const settings = { ...options, ...more };
    const database = openDatabase({ ...settings, url: fresh.url, schema: domain });
    const log = openEventLog({ ...settings, database, domain });
    logs.push({ log, database });
    return { log, database };
  };
  return {
    url: fresh.url,
    ...open(),
    open,
    async drop() {
      await Promise.all(logs.map(({ log }) => log.stop()));
      await Promise.all(logs.map(({ database }) => database.close()));
      await fresh.drop();
    },
  };
}
