import type { Database } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { deleteOldCommands, maintainLog, makePartitions, missingPartitions } from './maintenance.ts';
import { migrations } from './migrations.ts';
import { logStatement } from './read.ts';
import { someAppend, someCommand } from './testing/events.ts';
import { freshLog } from './testing/log.ts';

describeWith(['postgres'], 'maintenance', () => {
  let fresh: Awaited<ReturnType<typeof freshLog>>;
  beforeEach(async () => {
    fresh = await freshLog();
  });
  afterEach(() => fresh.drop());

  const partitions = async () =>
    (
      await fresh.database.query<{ name: string }>({
        text: "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'events'::regclass ORDER BY 1",
      })
    ).map(({ name }) => name);
  const month = (ahead: number) => {
    const date = new Date();
    date.setUTCDate(1);
    date.setUTCMonth(date.getUTCMonth() + ahead);
    return `events_${date.toISOString().slice(0, 7).replace('-', '_')}`;
  };

  test('the migration makes partitions ahead; the job makes more, also if several run at once', async () => {
    expect(await partitions()).toEqual([0, 1, 2, 3].map(month));
    expect(await missingPartitions(fresh.database, 5)).toEqual([4, 5].map(month));
    await Promise.all([1, 2, 3].map(() => makePartitions(fresh.database, 5)));
    expect(await missingPartitions(fresh.database, 5)).toEqual([]);
    expect(await partitions()).toEqual([0, 1, 2, 3, 4, 5].map(month));
  });

  test('a session that has found a partition missing finds it once it has the lock', async () => {
    const [maker, late] = [1, 2].map(() => fresh.open({ poolSize: 1 }).database) as [Database, Database];
    await makePartitions(maker, 3);
    for (const ahead of [4, 5, 6, 7, 8]) {
      // From here on the connection has cached that the name does not exist.
      expect(await missingPartitions(late, ahead)).toEqual([month(ahead)]);
      await Promise.all([maker, late].map((database) => makePartitions(database, ahead)));
      expect(await missingPartitions(late, ahead)).toEqual([]);
    }
  });

  test('many processes migrate at once', async () => {
    const run = () => migrate({ url: fresh.url, schema: 'second', sets: [migrations] });
    const applied = await Promise.all([run(), run(), run()]);
    expect(applied.flat()).toHaveLength(4);
  });

  test('a missing partition of this month is made by the append that needs it; no append is lost', async () => {
    await fresh.database.query({ text: `DROP TABLE ${month(0)}` });
    const logs = [fresh.log, fresh.open().log, fresh.open().log];
    const results = await Promise.all(logs.map((log, n) => log.append(someAppend(`orders.order/${n}`, 0))));
    expect(results.map(({ kind }) => kind)).toEqual(['appended', 'appended', 'appended']);
    expect((await fresh.log.readLog(0)).events.map(({ position }) => position)).toEqual([1, 2, 3]);
  });

  test('appends are UNAVAILABLE, and never land later, while the partition can not be made', async () => {
    await fresh.database.query({
      text: `DROP TABLE ${month(0)};
        CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not allowed'; END $$;
        CREATE EVENT TRIGGER refuse ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION refuse()`,
    });
    const { log } = fresh.open({ retryForMs: 100 });
    const refused = ['orders.order/1', 'orders.order/2'].map((stream) => log.append(someAppend(stream, 0)));
    for (const append of refused) await expect(append).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await fresh.database.query({ text: 'DROP EVENT TRIGGER refuse' });
    await log.append(someAppend('orders.order/3', 0));
    expect((await log.readLog(0)).events.map(({ stream }) => stream)).toEqual(['orders.order/3']);
  });

  test('a stream continues from month to month, also into months without a partition', async () => {
    const stream = 'orders.order/1';
    await fresh.log.append(someAppend(stream, 0, ['a']));
    await fresh.database.query({ text: "UPDATE head SET recorded_at = recorded_at + interval '1 year'" });
    await fresh.log.append(someAppend(stream, 1, ['b']));
    expect(await partitions()).toContain(month(12));
    await fresh.log.append(someAppend(stream, 2, ['c']));
    const events = await fresh.log.readStreams([{ stream, afterVersion: 0 }]);
    expect(events.map(({ version }) => version)).toEqual([1, 2, 3]);
    const first = await fresh.log.readLog(0, { limit: 1 });
    const second = await fresh.log.readLog(1);
    expect([...first.events, ...second.events]).toEqual(events);
    const { heads } = await fresh.log.heads(0);
    expect(heads).toEqual(events.slice(-1));
    const conflict = await fresh.log.append(someAppend(stream, 0));
    expect(conflict).toMatchObject({ kind: 'conflict', missing: events });
  });

  test('a reader that continues from a known event skips older partitions', async () => {
    await fresh.database.query({ text: "SELECT make_partition(clock_timestamp() - interval '1 year')" });
    const opened = async (since: Date | null) => {
      const lines = await fresh.database.query<{ 'QUERY PLAN': string }>({
        text: `EXPLAIN (ANALYZE, COSTS OFF) ${logStatement.text}`,
        values: [0, since, 10],
      });
      return lines
        .map((line) => line['QUERY PLAN'])
        .filter((line) => !line.includes('never executed'))
        .join('\n');
    };
    expect(await opened(null)).toContain(month(-12));
    expect(await opened(new Date())).not.toContain(month(-12));
  });

  test('commands are deleted after 30 days, in chunks', async () => {
    const old = [1, 2, 3].map(() => someCommand());
    const fresher = someCommand();
    for (const [n, command] of [...old, fresher].entries())
      await fresh.log.append(someAppend(`orders.order/${n}`, 0, ['a'], command));
    await fresh.database.query({
      text: "UPDATE commands SET recorded_at = recorded_at - interval '31 days' WHERE key <> $1",
      values: [fresher.key],
    });
    expect(await deleteOldCommands(fresh.database, { limit: 2 })).toBe(2);
    expect(await deleteOldCommands(fresh.database, { limit: 2 })).toBe(1);
    expect(await fresh.log.append(someAppend('orders.order/3', 1, ['a'], fresher))).toMatchObject({
      kind: 'duplicate',
    });
    expect(await fresh.log.append(someAppend('orders.order/0', 1, ['a'], old[0]!))).toMatchObject({ kind: 'appended' });
  });

  test('a round does both; one that fails throws, and the next one catches up', async () => {
    await fresh.log.append(someAppend('orders.order/1', 0, ['a'], someCommand()));
    await fresh.database.query({
      text: `UPDATE commands SET recorded_at = recorded_at - interval '31 days';
        DROP TABLE ${month(3)};
        CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not allowed'; END $$;
        CREATE EVENT TRIGGER refuse ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION refuse()`,
    });
    const round = () =>
      maintainLog({ database: fresh.database, domain: 'orders', signal: new AbortController().signal });
    await expect(round()).rejects.toThrow('not allowed');
    expect(await missingPartitions(fresh.database)).toEqual([month(3)]);
    await fresh.database.query({ text: 'DROP EVENT TRIGGER refuse' });
    await round();
    expect(await partitions()).toContain(month(3));
    expect(await fresh.database.query({ text: 'SELECT FROM commands' })).toEqual([]);
  });
});
