/** A migrated database for the tests of one file. */
import { type Database, openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { migrations as checkpoints } from '@caudal/postgres/migrations.ts';
import { type FreshDatabase, freshDatabase } from '@caudal/testing/servers.ts';
import { afterAll, beforeAll } from '@jest/globals';
import { migrations } from '../migrations.ts';

export interface TimerRow {
  id: string;
  dueAt: Date;
  retries: number;
  version: number;
}

/** Makes it before the tests and drops it after them. */
export function useDatabase() {
  let fresh: FreshDatabase;
  let database: Database;
  beforeAll(async () => {
    fresh = await freshDatabase();
    await migrate({ url: fresh.url, schema: 'orders', sets: [checkpoints, migrations] });
    database = openDatabase({ url: fresh.url, schema: 'orders' });
  });
  afterAll(async () => {
    await database.close();
    await fresh.drop();
  });
  return {
    get database() {
      return database;
    },
    get url() {
      return fresh.url;
    },
    /** A handler's timers by id. */
    timers: (handler: string) =>
      database.query<TimerRow>({
        text: 'SELECT id, due_at AS "dueAt", retries, version FROM timers WHERE handler = $1 ORDER BY id',
        values: [handler],
      }),
  };
}
