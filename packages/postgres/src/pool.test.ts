import { describeWith } from '@caudal/testing/describe-with.ts';
import { type FreshDatabase, freshDatabase } from '@caudal/testing/servers.ts';
import { startTcpProxy } from '@caudal/testing/tcp-proxy.ts';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { type Database, databaseOf, openDatabase } from './database.ts';
import { openPool, type PoolOptions } from './pool.ts';

const unavailable = { code: 'UNAVAILABLE', reason: 'DEPENDENCY_UNAVAILABLE' };
const schemas = ['catalog', 'orders', 'payments', 'shipping'];

describeWith(['postgres'], 'a pool that several schemas share', () => {
  let fresh: FreshDatabase;
  let admin: Database;
  let opened: Database[] = [];
  beforeAll(async () => {
    fresh = await freshDatabase();
    admin = openDatabase({ url: fresh.url, schema: 'public', applicationName: 'admin' });
    for (const schema of schemas) {
      await admin.query({ text: `CREATE SCHEMA ${schema}` });
      await admin.query({ text: `CREATE TABLE ${schema}.names AS SELECT '${schema}' AS name` });
    }
  });
  afterEach(async () => {
    await Promise.all(opened.map((db) => db.close()));
    opened = [];
  });
  afterAll(async () => {
    await admin.close();
    await fresh.drop();
  });

  function open(options: Partial<PoolOptions> = {}): Database[] {
    // On a busy machine a queue of hundreds takes longer than the default time-out.
    const pool = openPool({ url: fresh.url, applicationName: 'shared', connectTimeoutMs: 60_000, ...options });
    opened = schemas.map((schema) => databaseOf(pool, schema));
    return opened;
  }
  const sessions = async () =>
    (
      await admin.query<{ n: number }>({
        text: "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'shared'",
      })
    )[0]!.n;
  const until = async (done: () => Promise<boolean>) => {
    for (let attempt = 0; attempt < 1_000 && !(await done()); attempt++);
    expect(await done()).toBe(true);
  };
  const hang = (db: Database) => db.query({ text: 'SELECT pg_sleep(20)' }).catch((error: unknown) => error);
  const hanging = async () =>
    (
      await admin.query({
        text: "SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(20)' AND state = 'active'",
      })
    ).length;
  const endHanging = () =>
    admin.query({ text: "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(20)'" });

  test('each statement runs in its own schema, prepared or not, also in transactions, on any connection', async () => {
    const databases = open({ poolSize: 2 });
    const named = { name: 'name-of', text: 'SELECT name, pg_backend_pid() AS pid FROM names' };
    const pids = new Set<number>();
    const ask = async (index: number) => {
      const db = databases[index]!;
      const read = async (from: Pick<Database, 'query'>, prepared: boolean) => {
        const [row] = await from.query<{ name: string; pid: number }>(prepared ? named : { text: named.text });
        pids.add(row!.pid);
        return row!.name;
      };
      const found = [
        await read(db, true),
        await read(db, false),
        ...(await db.transaction(async (tx) => [await read(tx, true), await read(tx, false)])),
      ];
      expect(new Set(found)).toEqual(new Set([schemas[index]]));
    };
    await Promise.all(Array.from({ length: 400 }, (_, index) => ask(index % schemas.length)));
    expect(pids.size).toBe(2);
    // A plan belongs to one schema, so a schema's turn on a connection costs no planning.
    const text =
      "SELECT name FROM pg_prepared_statements WHERE statement = 'SELECT name, pg_backend_pid() AS pid FROM names'";
    // Of both connections: one of them may have served a single schema.
    let held = 0;
    const both = Promise.withResolvers<void>();
    const plansOf = (db: Database) =>
      db.transaction(async (tx) => {
        held += 1;
        if (held === 2) both.resolve();
        await both.promise;
        return tx.query<{ name: string }>({ text });
      });
    const prepared = (await Promise.all([plansOf(databases[0]!), plansOf(databases[1]!)])).flat();
    expect(prepared.length).toBeGreaterThanOrEqual(schemas.length);
    expect(prepared.every(({ name }) => /^(\d:)?name-of$/.test(name))).toBe(true);
  });

  test('never opens more connections than its size, whatever is asked of it; with errors, too', async () => {
    const databases = open({ poolSize: 3 });
    let ended = false;
    let most = 0;
    const watching = (async () => {
      while (!ended) most = Math.max(most, await sessions());
    })();
    const work = async (index: number) => {
      const db = databases[index % schemas.length]!;
      const text = ['SELECT name FROM names', 'SELECT 1/0', 'SELECT pg_terminate_backend(pg_backend_pid())'][
        index % 40 === 7 ? 2 : index % 5 === 1 ? 1 : 0
      ]!;
      await db.query({ text }).catch(() => {});
    };
    for (let round = 0; round < 6; round++)
      await Promise.all(Array.from({ length: 120 }, (_, index) => work(index + round)));
    ended = true;
    await watching;
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThanOrEqual(3);
  });

  test('a schema that takes all it can get keeps no other one from its connection', async () => {
    const [greedy, ...others] = open({ poolSize: 8 });
    const flood = Array.from({ length: 50 }, () => hang(greedy!));
    // One is left for each of the three others.
    await until(async () => (await hanging()) === 5);
    for (let round = 0; round < 20; round++) {
      const rows = await Promise.all(
        others.map((db) => db.query<{ name: string }>({ text: 'SELECT name FROM names' })),
      );
      expect(rows.map(([row]) => row!.name)).toEqual(schemas.slice(1));
    }
    expect(await hanging()).toBe(5);
    const closed = greedy!.close();
    await endHanging();
    expect(await Promise.all(flood)).toHaveLength(50);
    await closed;
    // What was left free for those that are closed is for the others.
    await Promise.all([others[0]!.close(), others[1]!.close()]);
    const all = Array.from({ length: 8 }, () => hang(others[2]!));
    await until(async () => (await hanging()) === 8);
    await endHanging();
    await Promise.all(all);
  });

  test('the queue of each schema is bounded: one that is full refuses no other schema', async () => {
    const [greedy, other] = open({ poolSize: 4 });
    const flood = Array.from({ length: 1_010 }, () => hang(greedy!));
    await until(async () => (await hanging()) === 2);
    const error = await greedy!.query({ text: 'SELECT 1' }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'RESOURCE_EXHAUSTED', reason: 'POOL_EXHAUSTED' });
    expect(await other!.query({ text: 'SELECT name FROM names' })).toEqual([{ name: 'orders' }]);
    const closed = greedy!.close();
    await endHanging();
    await Promise.all([...flood, closed]);
  });

  test('a transaction that asks its pool for a second connection is refused at once, whatever is free', async () => {
    const [orders, payments] = open({ poolSize: 8 });
    const own = openDatabase({ url: fresh.url, schema: 'orders' });
    await expect(
      orders!.transaction(async () => {
        await payments!.query({ text: 'SELECT 1' });
      }),
    ).rejects.toThrow(/second connection.*`tx`/);
    await expect(orders!.transaction(() => payments!.transaction(async () => {}))).rejects.toThrow(/second connection/);
    // Another pool is no deadlock, and work that outlives its transaction may use the pool.
    let later = Promise.resolve<unknown>(undefined);
    await orders!.transaction(async () => {
      await own.query({ text: 'SELECT 1' });
      later = new Promise((resolve) => setTimeout(resolve, 20)).then(() => orders!.query({ text: 'SELECT 2 AS two' }));
    });
    expect(await later).toEqual([{ two: 2 }]);
    await own.close();
  });

  test('a connection that breaks while its schema changes runs nothing, and is replaced', async () => {
    const proxy = await startTcpProxy(fresh.url);
    const [catalog, orders] = open({ url: proxy.url, poolSize: 1 });
    await catalog!.query({ text: 'SELECT 1' });
    proxy.cut();
    const read = () => orders!.query({ text: 'SELECT name FROM names' });
    await read().catch((error) => expect(error).toMatchObject(unavailable));
    expect(await read()).toEqual([{ name: 'orders' }]);
    await Promise.all(opened.map((db) => db.close()));
    await proxy.close();
  });

  test('closed databases refuse, others of the pool go on; the last one closes all connections', async () => {
    const [catalog, ...others] = open({ poolSize: 4 });
    await Promise.all(opened.map((db) => db.query({ text: 'SELECT 1' })));
    await catalog!.close();
    await expect(catalog!.query({ text: 'SELECT 1' })).rejects.toMatchObject(unavailable);
    expect(await others[0]!.query({ text: 'SELECT 1 AS one' })).toEqual([{ one: 1 }]);
    await Promise.all(others.map((db) => db.close()));
    await until(async () => (await sessions()) === 0);
  });
});
