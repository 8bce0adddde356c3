/** A page far behind the first reads little more than itself. */
import { type Database, openDatabase, type Statement } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { freshDatabase } from '@caudal/testing/servers.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { openPostgresStore } from './postgres-store.ts';
import type { Find } from './store.ts';

const count = 20_000;
const start = Date.UTC(2026, 0, 1);

describeWith(['postgres'], 'a page far behind the first', () => {
  let database: Database;
  let remove: () => Promise<void>;
  let asked: Statement | undefined;
  let find: (find: Find) => Promise<unknown>;

  beforeAll(async () => {
    const fresh = await freshDatabase();
    await migrate({ url: fresh.url, schema: 'views', sets: [] });
    database = openDatabase({ url: fresh.url, schema: 'views', poolSize: 2 });
    remove = async () => {
      await database.close();
      await fresh.drop();
    };
    const seen: Database = {
      ...database,
      query(statement) {
        asked = statement;
        return database.query(statement);
      },
    };
    const collection = openPostgresStore({ database: seen }).collection('things.v1.1', {
      keys: { at: { type: 'timestamp', many: false }, amount: { type: 'long', many: false } },
      indexes: [['at'], ['amount']],
    });
    await collection.create();
    await database.query({
      text: `INSERT INTO "things.v1.1" (id, rev, streams, deleted, view, k_at, k_amount)
        SELECT 'o' || n, 1, '{}', false, '{}', timestamptz '2026-01-01Z' + n * interval '1 second', n
        FROM generate_series(1, $1::int) AS n`,
      values: [count],
    });
    await database.query({ text: 'ANALYZE "things.v1.1"' });
    find = (query) => collection.find(query);
  });
  afterAll(() => remove());

  /** Rows that the last statement has read and left out. Throws if it sorts rows. */
  async function removed(): Promise<number> {
    const plan = await database.query<{ 'QUERY PLAN': string }>({
      ...asked!,
      text: `EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) ${asked!.text}`,
    });
    expect(plan.map((row) => row['QUERY PLAN']).join('\n')).not.toContain('Sort');
    const lines = plan.map((row) => /Rows Removed by Filter: (\d+)/.exec(row['QUERY PLAN'])?.[1] ?? '0');
    return lines.reduce((sum, rows) => sum + Number(rows), 0);
  }

  test.each([
    ['the newest first', { where: [{ key: 'at' }], orderBy: [{ key: 'at', descending: true }] }, count / 10],
    ['the oldest first', { where: [], orderBy: [{ key: 'at', descending: false }] }, (count * 9) / 10],
    ['the least first', { where: [], orderBy: [{ key: 'amount', descending: false }] }, (count * 9) / 10],
    ['by id', { where: [], orderBy: [] }, (count * 9) / 10],
  ])('%s', async (_, query, place) => {
    const [order] = query.orderBy;
    const value = order?.key === 'amount' ? BigInt(place) : new Date(start + place * 1000);
    await find({ ...query, limit: 11, after: { keys: order ? [value] : [], id: `o${place}` } });
    expect(await removed()).toBeLessThan(20);
  });
});
