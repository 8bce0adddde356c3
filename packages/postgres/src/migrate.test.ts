import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { type FreshDatabase, freshDatabase } from '@caudal/testing/servers.ts';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { openDatabase } from './database.ts';
import { type MigrationSet, migrate } from './migrate.ts';

describeWith(['postgres'], 'migrate', () => {
  let fresh: FreshDatabase;
  let folder: string;
  let schema: string;
  let schemas = 0;
  const set = (): MigrationSet => ({ name: 'things', directory: pathToFileURL(`${folder}/`) });
  const run = () => migrate({ url: fresh.url, schema, sets: [set()] });
  const file = (name: string, sql: string) => writeFile(join(folder, name), sql);
  const query = async (text: string) => {
    const db = openDatabase({ url: fresh.url, schema });
    return db.query({ text }).finally(() => db.close());
  };

  beforeAll(async () => {
    fresh = await freshDatabase();
  });
  afterAll(() => fresh.drop());
  beforeEach(async () => {
    schema = `s${schemas++}`;
    folder = await mkdtemp(join(tmpdir(), 'migrate-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  test('runs files in the order of their names, each once', async () => {
    await file('002_fill.sql', 'INSERT INTO things VALUES (1)');
    await file('001_make.sql', 'CREATE TABLE things (id int)');
    await file('notes.txt', 'no SQL');
    expect(await run()).toEqual(['things/001_make.sql', 'things/002_fill.sql']);
    await file('003_more.sql', 'INSERT INTO things VALUES (2)');
    expect(await run()).toEqual(['things/003_more.sql']);
    expect(await run()).toEqual([]);
    expect(await query('SELECT id FROM things ORDER BY id')).toEqual([{ id: 1 }, { id: 2 }]);
  });

  test('many processes at once: each file runs once', async () => {
    await file('001_make.sql', 'CREATE TABLE things (id int); INSERT INTO things VALUES (1); SELECT pg_sleep(0.05)');
    const applied = await Promise.all([run(), run(), run(), run(), run()]);
    expect(applied.flat()).toEqual(['things/001_make.sql']);
    expect(await query('SELECT id FROM things')).toEqual([{ id: 1 }]);
  });

  test('a file that fails is rolled back, those before it stay', async () => {
    await file('001_make.sql', 'CREATE TABLE things (id int)');
    await file('002_fill.sql', 'INSERT INTO things VALUES (1); SELECT 1/0');
    await expect(run()).rejects.toThrow(/division/);
    await file('002_fill.sql', 'INSERT INTO things VALUES (2)');
    expect(await run()).toEqual(['things/002_fill.sql']);
    expect(await query('SELECT id FROM things')).toEqual([{ id: 2 }]);
  });

  test('a file in steps runs until it says that it is done; steps stay if a later one fails', async () => {
    await file('001_make.sql', 'CREATE TABLE things (id int); CREATE TABLE most (n int); INSERT INTO most VALUES (2)');
    await file(
      '002_fill.sql',
      `-- run: in steps
      INSERT INTO things SELECT count(*) FROM things;
      DO $$ BEGIN IF (SELECT count(*) > n FROM things, most GROUP BY n) THEN RAISE 'too many'; END IF; END $$;
      SELECT count(*) = 4 AS done FROM things`,
    );
    await expect(run()).rejects.toThrow('too many');
    expect(await query('SELECT id FROM things ORDER BY id')).toEqual([{ id: 0 }, { id: 1 }]);
    await query('UPDATE most SET n = 10');
    expect(await run()).toEqual(['things/002_fill.sql']);
    expect(await query('SELECT id FROM things ORDER BY id')).toEqual([0, 1, 2, 3].map((id) => ({ id })));
  });

  test('a file with short locks is tried again until it gets them; if it does not, it says so', async () => {
    await file('001_make.sql', 'CREATE TABLE things (id int)');
    await run();
    await file('002_lock.sql', '-- run: with short locks\nINSERT INTO things VALUES (1); LOCK TABLE things');
    const db = openDatabase({ url: fresh.url, schema });
    let migrating: Promise<string[]> | undefined;
    await db.transaction(async (tx) => {
      await tx.query({ text: 'SELECT FROM things' });
      const retryLocksForMs = 300;
      const failing = migrate({ url: fresh.url, schema, sets: [set()], retryLocksForMs });
      await expect(failing).rejects.toThrow('002_lock.sql was not applied: other sessions');
      migrating = run();
      await tx.query({ text: 'SELECT pg_sleep(0.3)' });
    });
    expect(await migrating).toEqual(['things/002_lock.sql']);
    expect(await query('SELECT id FROM things')).toEqual([{ id: 1 }]);
    await db.close();
  });

  test('a manner that is not known is refused', async () => {
    await file('001_make.sql', '-- run: slowly\nSELECT 1');
    await expect(run()).rejects.toThrow('things/001_make.sql says "-- run: slowly"');
  });

  test('if an applied file has changed, nothing runs', async () => {
    await file('001_make.sql', 'CREATE TABLE things (id int)');
    await run();
    await file('001_make.sql', 'CREATE TABLE things (id bigint)');
    await file('002_fill.sql', 'INSERT INTO things VALUES (1)');
    await expect(run()).rejects.toThrow('things/001_make.sql');
    expect(await query('SELECT id FROM things')).toEqual([]);
  });

  test('no server: UNAVAILABLE', async () => {
    await expect(migrate({ url: 'postgres://nobody@127.0.0.1:1/x', schema, sets: [] })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
  });
});
