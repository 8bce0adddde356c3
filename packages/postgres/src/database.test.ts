import { createServer } from 'node:net';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { type FreshDatabase, freshDatabase } from '@caudal/testing/servers.ts';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { type Database, type DatabaseOptions, openDatabase } from './database.ts';
import { sqlState } from './errors.ts';
import { migrate } from './migrate.ts';

const opened: Database[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((db) => db.close()));
});

function open(options: DatabaseOptions): Database {
  const db = openDatabase(options);
  opened.push(db);
  return db;
}

const unavailable = { name: 'CaudalError', code: 'UNAVAILABLE', reason: 'DEPENDENCY_UNAVAILABLE' };

describeWith(['postgres'], 'openDatabase', () => {
  let fresh: FreshDatabase;
  beforeAll(async () => {
    fresh = await freshDatabase();
    await migrate({ url: fresh.url, schema: 'order', sets: [] });
  });
  afterAll(() => fresh.drop());
  const options = (more: Partial<DatabaseOptions> = {}) => ({ url: fresh.url, schema: 'order', ...more });

  test('SQL names no schema, even if its name is a reserved word', async () => {
    const db = open(options());
    await db.query({ text: 'CREATE TABLE things (id int)' });
    const rows = await db.query({
      text: "SELECT table_schema FROM information_schema.tables WHERE table_name = 'things'",
    });
    expect(rows).toEqual([{ table_schema: 'order' }]);
  });

  test('a schema whose name has other characters is refused', () => {
    expect(() => open(options({ schema: 'a"; DROP' }))).toThrow(/schema/);
  });

  test('int8 is a number, or an error if it would be inexact; bytea is a Buffer, timestamptz a Date', async () => {
    const db = open(options());
    const text =
      "SELECT 9007199254740991::bigint AS n, '\\x00ff'::bytea AS b, '2026-01-01T00:00:00.123Z'::timestamptz AS t";
    expect(await db.query({ text })).toEqual([
      { n: Number.MAX_SAFE_INTEGER, b: Buffer.from([0, 255]), t: new Date('2026-01-01T00:00:00.123Z') },
    ]);
    await expect(db.query({ text: 'SELECT 9007199254740993::bigint' })).rejects.toThrow(/safe integer/);
  });

  test('a statement error is thrown unchanged, and the connection is used again', async () => {
    const db = open(options({ poolSize: 1 }));
    const [before] = await db.query({ text: 'SELECT pg_backend_pid() AS pid' });
    const error = await db.query({ text: 'SELECT 1/0' }).catch((thrown: unknown) => thrown);
    expect(sqlState(error)).toBe('22012');
    expect(await db.query({ text: 'SELECT pg_backend_pid() AS pid' })).toEqual([before]);
  });

  test('a transaction that throws is rolled back', async () => {
    const db = open(options());
    await db.query({ text: 'CREATE TABLE drafts (id int)' });
    const work = db.transaction(async (tx) => {
      await tx.query({ text: 'INSERT INTO drafts VALUES (1)' });
      throw new Error('no');
    });
    await expect(work).rejects.toThrow('no');
    await db.transaction((tx) => tx.query({ text: 'INSERT INTO drafts VALUES (2)' }));
    expect(await db.query({ text: 'SELECT id FROM drafts' })).toEqual([{ id: 2 }]);
  });

  test('a connection that is killed during a statement is UNAVAILABLE; the next statement works', async () => {
    const db = open(options({ poolSize: 1 }));
    const suicide = db.query({ text: 'SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(5)' });
    await expect(suicide).rejects.toMatchObject(unavailable);
    expect(await db.query({ text: 'SELECT 1 AS one' })).toEqual([{ one: 1 }]);
  });

  test('a connection that is killed while idle, or inside a transaction, does not end the process', async () => {
    const db = open(options({ poolSize: 1 }));
    const killer = open(options());
    const pidOf = async () => (await db.query<{ pid: number }>({ text: 'SELECT pg_backend_pid() AS pid' }))[0]!.pid;
    await killer.query({ text: 'SELECT pg_terminate_backend($1)', values: [await pidOf()] });
    // The pool may not have noticed yet, so this statement may fail. The next one must work.
    await db.query({ text: 'SELECT 1' }).catch((error) => expect(error).toMatchObject(unavailable));
    const work = db.transaction(async (tx) => {
      const [row] = await tx.query<{ pid: number }>({ text: 'SELECT pg_backend_pid() AS pid' });
      await killer.query({ text: 'SELECT pg_terminate_backend($1)', values: [row!.pid] });
      await tx.query({ text: 'SELECT 1' });
    });
    await expect(work).rejects.toMatchObject(unavailable);
    expect(await pidOf()).toBeGreaterThan(0);
  });

  test('waits for a statement and for a lock are bounded; callers get UNAVAILABLE with its cause', async () => {
    const db = open(options({ statementTimeoutMs: 300, lockTimeoutMs: 100 }));
    const holder = open(options());
    await db.query({ text: 'CREATE TABLE locked (id int)' });
    const refused = (text: string) => db.query({ text }).then(String, (error: unknown) => error);
    const locked = await holder.transaction(async (tx) => {
      await tx.query({ text: 'LOCK TABLE locked' });
      return refused('SELECT * FROM locked');
    });
    expect(locked).toMatchObject(unavailable);
    expect(sqlState(locked)).toBe('55P03');
    const late = await refused('SELECT pg_sleep(20)');
    expect(late).toMatchObject(unavailable);
    expect(sqlState(late)).toBe('57014');
  });

  test('the wait for a connection of the pool is bounded', async () => {
    const db = open(options({ poolSize: 2, connectTimeoutMs: 1_000 }));
    const hogs = [1, 2].map(() => db.query({ text: 'SELECT pg_sleep(20)' }).catch(() => {}));
    await expect(db.query({ text: 'SELECT 1' })).rejects.toMatchObject(unavailable);
    const killer = open(options());
    const text = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(20)'";
    await killer.query({ text });
    await Promise.all(hogs);
  });

  test('a connection whose transaction lost a race is used again, and its caller may try again', async () => {
    const db = open(options({ poolSize: 1 }));
    const error = await db
      .query({ text: "DO $$ BEGIN RAISE EXCEPTION 'lost' USING ERRCODE = '40001'; END $$" })
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject(unavailable);
    expect(await db.query({ text: 'SELECT 1 AS one' })).toEqual([{ one: 1 }]);
  });

  test("a role's settings change nothing", async () => {
    const url = new URL(fresh.url);
    url.searchParams.set('options', '-c DateStyle=SQL,DMY -c TimeZone=Asia/Tokyo');
    const db = open(options({ url: url.href }));
    const text = `SELECT '2026-02-01T00:00:00Z'::timestamptz AS t, date_trunc('day', '2026-02-01T20:00:00Z'::timestamptz) AS day,
      current_setting('transaction_isolation') AS isolation`;
    expect(await db.query({ text })).toEqual([
      { t: new Date('2026-02-01T00:00:00Z'), day: new Date('2026-02-01T00:00:00Z'), isolation: 'read committed' },
    ]);
  });

  test('a read-only server (a standby) is UNAVAILABLE for writes', async () => {
    const url = new URL(fresh.url);
    url.searchParams.set('options', '-c default_transaction_read_only=on');
    const db = open(options({ url: url.href }));
    await expect(db.query({ text: 'CREATE TABLE nowhere (id int)' })).rejects.toMatchObject(unavailable);
  });

  test('close may be called twice', async () => {
    const db = open(options());
    await db.query({ text: 'SELECT 1' });
    await Promise.all([db.close(), db.close()]);
    await expect(db.query({ text: 'SELECT 1' })).rejects.toBeInstanceOf(CaudalError);
  });
});

describe('openDatabase without a server', () => {
  test('without a listener: UNAVAILABLE', async () => {
    const db = open({ url: 'postgres://nobody@127.0.0.1:1/none', schema: 's' });
    await expect(db.query({ text: 'SELECT 1' })).rejects.toMatchObject(unavailable);
  });

  test('with a listener that never answers: UNAVAILABLE after connectTimeoutMs', async () => {
    const silent = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as { port: number };
    const db = open({ url: `postgres://nobody@127.0.0.1:${port}/none`, schema: 's', connectTimeoutMs: 100 });
    await expect(db.query({ text: 'SELECT 1' })).rejects.toMatchObject(unavailable);
    silent.close();
  });
});
