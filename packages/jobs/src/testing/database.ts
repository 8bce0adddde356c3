/** A migrated database for the tests of one file, with a table that jobs write to. */
import { type Database, openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { type FreshDatabase, freshDatabase } from '@caudal/testing/servers.ts';
import { afterAll, beforeAll } from '@jest/globals';
import { type JobRecord, readJobs } from '../job-store.ts';
import { migrations } from '../migrations.ts';

/** Made before the tests, dropped after them. */
export function useDatabase() {
  let fresh: FreshDatabase;
  const opened: Database[] = [];
  const open = (url = fresh.url) => {
    const database = openDatabase({ url, schema: 'orders', derived: true });
    opened.push(database);
    return database;
  };
  beforeAll(async () => {
    fresh = await freshDatabase();
    await migrate({ url: fresh.url, schema: 'orders', sets: [migrations] });
    await open().query({ text: 'CREATE TABLE written (job text, token bigint)' });
  });
  afterAll(async () => {
    await Promise.all(opened.map((database) => database.close()));
    await fresh.drop();
  });
  return {
    get database() {
      return opened[0]!;
    },
    get url() {
      return fresh.url;
    },
    /** Another pool, as of a second process; `url`: for one that connects through a proxy. */
    open,
    async record(name: string): Promise<JobRecord> {
      const record = (await readJobs(opened[0]!, 1_000)).records.get(name);
      if (!record) throw new Error(`No row of ${name}`);
      return record;
    },
    /** Changes a job's row as time or another process would. */
    async set(name: string, assignments: string): Promise<void> {
      await opened[0]!.query({ text: `UPDATE jobs SET ${assignments} WHERE name = $1`, values: [name] });
    },
    /** The tokens with which a job has written. */
    async tokensOf(name: string): Promise<number[]> {
      const rows = await opened[0]!.query<{ token: number }>({
        text: 'SELECT token FROM written WHERE job = $1 ORDER BY token',
        values: [name],
      });
      return rows.map(({ token }) => token);
    },
  };
}
