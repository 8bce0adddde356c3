/** For tests: a migrated database with an owner and a role of the application. See docs/database-roles.md. */
import { loadConfig } from '@caudal/config/config.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { type Database, openDatabase } from '@caudal/postgres/database.ts';
import { sqlState } from '@caudal/postgres/errors.ts';
import { freshDatabase } from '@caudal/testing/servers.ts';
import { Client } from 'pg';
import { contexts } from '../contexts.ts';
import { migratorOf } from '../database-urls.ts';
import { migrateContexts } from '../handlers/saga-starts.ts';
import { type RuntimeValues, settings } from '../settings/settings.ts';

/** Both in a database of their own, which `drop` deletes with the role. */
export async function freshRoles() {
  const fresh = await freshDatabase();
  const role = `app_${newId().replaceAll('-', '')}`;
  const url = new URL(fresh.url);
  url.username = role;
  url.password = 'a secret/with:signs';
  const appUrl = url.href;
  const values = loadConfig(settings, { env: {} }) as RuntimeValues;
  /** Migrates as the owner, and grants to the user of this URL. */
  const migrateFor = async (applicationUrl: string) => {
    const { url, application } = await migratorOf({ url: applicationUrl, ownerUrl: fresh.url });
    await migrateContexts(url, contexts, values, application);
  };
  await migrateFor(appUrl);
  const owner = new Client({ connectionString: fresh.url });
  const app = new Client({ connectionString: appUrl });
  await Promise.all([owner.connect(), app.connect()]);
  const opened: Database[] = [];
  return {
    ownerUrl: fresh.url,
    ...{ appUrl, role, owner, app, migrateFor },
    /** A schema as a process has it; of the application unless another URL is given. */
    databaseOf(schema: string, of = appUrl) {
      const database = openDatabase({ url: of, schema, poolSize: 2 });
      opened.push(database);
      return database;
    },
    /** The SQLSTATE with which a statement of the application fails; undefined if it does not. */
    stateOf: (text: string) =>
      app.query(text).then(
        () => undefined,
        (error: unknown) => sqlState(error),
      ),
    /** The column `one` of the one row that the owner finds. */
    one: async <T>(text: string): Promise<T> => (await owner.query<{ one: T }>(text)).rows[0]!.one,
    async drop() {
      await Promise.all(opened.map((database) => database.close()));
      await app.end();
      await owner.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
      await owner.end();
      await fresh.drop();
    },
  };
}
