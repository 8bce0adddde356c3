/** The statements of one search share the time that it has. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Database, openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { freshDatabase } from '@caudal/testing/servers.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { openPostgresStore } from './postgres-store.ts';
import type { Collection } from './store.ts';

describeWith(['postgres'], 'a search that is slow', () => {
  let collection: Collection;
  let delayMs = 0;
  let remove: () => Promise<void>;

  beforeAll(async () => {
    const fresh = await freshDatabase();
    await migrate({ url: fresh.url, schema: 'views', sets: [] });
    const database = openDatabase({ url: fresh.url, schema: 'views', poolSize: 2 });
    remove = async () => {
      await database.close();
      await fresh.drop();
    };
    // The page is there late; each statement for itself is in time.
    const late: Database = {
      ...database,
      transaction: (work) =>
        database.transaction((tx) =>
          work({
            async query(statement) {
              const rows = await tx.query<never>(statement);
              if (statement.text.includes('AS page')) await sleep(delayMs);
              return rows;
            },
          }),
        ),
    };
    collection = openPostgresStore({ database: late }).collection('things.v1.1', {
      keys: { title: { type: 'text', many: false } },
      indexes: [],
    });
    await collection.create();
    await collection.save([{ id: '1', revision: 1, streams: {}, keys: { title: 'lantern' }, view: {} }]);
  });
  afterAll(() => remove());

  const search = () =>
    collection.search!({
      text: 'lantern',
      forgiving: false,
      fields: { title: 1 },
      where: [],
      facets: [],
      orderBy: [],
      limit: 1,
      maxMs: 1_000,
    });

  test('has no more than its time for all of its statements', async () => {
    expect((await search()).total).toBe(1);
    delayMs = 1_100;
    await expect(search()).rejects.toMatchObject({ reason: 'QUERY_TOO_COSTLY' });
  });
});
