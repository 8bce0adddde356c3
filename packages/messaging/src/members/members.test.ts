import { type Database, openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { migrations as postgresMigrations } from '@caudal/postgres/migrations.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { type FreshDatabase, freshDatabase } from '@caudal/testing/servers.ts';
import { until } from '@caudal/testing/until.ts';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { migrations } from '../migrations.ts';
import { openMembers, seeMembers } from './members.ts';

describeWith(['postgres'], 'members', () => {
  let fresh: FreshDatabase;
  let database: Database;

  beforeAll(async () => {
    fresh = await freshDatabase();
    await migrate({ url: fresh.url, schema: 'orders', sets: [postgresMigrations, migrations] });
    database = openDatabase({ url: fresh.url, schema: 'orders' });
  });
  afterAll(async () => {
    await database.close();
    await fresh.drop();
  });

  const rows = async () =>
    (await database.query<{ process: string }>({ text: 'SELECT process FROM members ORDER BY process' })).map(
      ({ process }) => process,
    );

  test('see each other while they run something, and leave no row', async () => {
    const [one, two] = [openMembers({ database, process: 'one' }), openMembers({ database, process: 'two' })];
    // Without work there is no row, and nothing is asked.
    expect([one.all(), await rows()]).toEqual([[], []]);
    one.join('list.v1/8');
    const leave = two.join('list.v1/8');
    two.join('relay');
    await until(() => one.all().length === 2 && two.all().length === 2);
    await until(() => one.all().some(({ process, runs }) => process === 'two' && runs.includes('relay')));
    leave();
    await until(() => one.all().every(({ process, runs }) => process === 'one' || !runs.includes('list.v1/8')));
    await two.stop();
    await until(() => one.all().length === 1);
    await one.stop();
    expect(await rows()).toEqual([]);
  });

  test('a row that is not written for 5 s is not seen, and is deleted after a minute', async () => {
    const ages = { late: 4, gone: 6, forgotten: 61 };
    for (const [process, seconds] of Object.entries(ages))
      await database.query({
        text: `INSERT INTO members (process, runs, seen_at)
          VALUES ($1, '{relay}', clock_timestamp() - $2 * interval '1 second')`,
        values: [process, seconds],
      });
    const seen = await seeMembers(database, 'me', ['relay']);
    expect(seen).toMatchObject([{ process: 'late', runs: ['relay'] }]);
    expect(seen[0]!.ageMs).toBeGreaterThanOrEqual(4_000);
    expect(await rows()).toEqual(['gone', 'late', 'me']);
  });
});

test('while the database is away all stays as it was, and afterwards the others get the time to write their rows', async () => {
  jest.useFakeTimers();
  let rows: { process: string; runs: string[]; ageMs: number }[] | undefined = [
    { process: 'other', runs: ['list.v1/8'], ageMs: 300 },
  ];
  const database = {
    query: async () => {
      if (!rows) throw new Error('away');
      return rows;
    },
  } as unknown as Database;
  const members = openMembers({ database, process: 'me' });
  const seen = () => members.all().map(({ process }) => process);
  members.join('list.v1/8');
  await jest.advanceTimersByTimeAsync(1_100);
  expect(seen()).toEqual(['other', 'me']);
  rows = undefined;
  await jest.advanceTimersByTimeAsync(20_000);
  expect(seen()).toEqual(['other', 'me']);
  // Nobody has written yet.
  rows = [];
  await jest.advanceTimersByTimeAsync(1_500);
  expect(seen()).toEqual(['other', 'me']);
  rows = [{ process: 'another', runs: ['list.v1/8'], ageMs: 10 }];
  await jest.advanceTimersByTimeAsync(2_000);
  expect(seen()).toEqual(['another', 'me']);
  jest.useRealTimers();
  await members.stop();
});
