import type { Database } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { dropExpiredClaims } from './expired-claims.ts';
import { maintainLog, makePartitions, missingPartitions } from './maintenance.ts';
import { migrations } from './migrations.ts';
import { someAppend, someCommand } from './testing/events.ts';
import { freshLog, setClockAhead } from './testing/log.ts';

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
    expect(applied.map(({ length }) => length > 0)).toEqual(expect.arrayContaining([true, false, false]));
    expect(new Set(applied.flat()).size).toBe(applied.flat().length);
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
    await setClockAhead(fresh.database, '1 year');
    await fresh.log.append(someAppend(stream, 1, ['b']));
    await setClockAhead(fresh.database, '0');
    expect(await partitions()).toContain(month(12));
    await fresh.log.append(someAppend(stream, 2, ['c']));
    const events = await fresh.log.readStreams([{ stream, afterVersion: 0 }]);
    expect(events.map(({ version }) => version)).toEqual([1, 2, 3]);
    const first = await fresh.log.readLog(0, { limit: 1 });
    const second = await fresh.log.readLog(1);
    expect([...first.events, ...second.events]).toEqual(events);
    const { heads } = await fresh.log.heads(0);
    expect(heads).toEqual([{ stream, version: 3, position: events.at(-1)!.position }]);
    const conflict = await fresh.log.append(someAppend(stream, 0));
    expect(conflict).toMatchObject({ kind: 'conflict', missing: events });
  });

  test('a round makes partitions and drops expired claims; one that fails throws, and the next one catches up', async () => {
    const expired = await claimsPartitions();
    await fresh.log.append(someAppend('orders.order/1', 0, ['a'], someCommand()));
    await setClockAhead(fresh.database, '100 days');
    await fresh.log.append(someAppend('orders.order/1', 1, ['b']));
    await fresh.database.query({
      text: `CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not allowed'; END $$;
        CREATE EVENT TRIGGER refuse ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION refuse()`,
    });
    const before = await partitions();
    await expect(round()).rejects.toThrow('not allowed');
    await fresh.database.query({ text: 'DROP EVENT TRIGGER refuse' });
    await round();
    expect(await partitions()).toHaveLength(before.length + 3);
    expect(await claimsPartitions()).toEqual(expect.not.arrayContaining(expired));
    expect(await fresh.database.query({ text: 'SELECT FROM claims' })).toEqual([]);
  });

  const round = () =>
    maintainLog({
      ...{ database: fresh.database, plain: fresh.database, domain: 'orders' },
      signal: new AbortController().signal,
    });

  const claimsPartitions = async () =>
    (
      await fresh.database.query<{ name: string }>({
        text: "SELECT relname AS name FROM pg_class WHERE relname ~ '^claims_[0-9]+$' ORDER BY 1",
      })
    ).map(({ name }) => name);

  describe('a partition of expired claims', () => {
    beforeEach(async () => {
      await fresh.log.append(someAppend('orders.order/1', 0, ['a'], someCommand()));
      await setClockAhead(fresh.database, '100 days');
      await fresh.log.append(someAppend('orders.order/1', 1, ['b']));
      await setClockAhead(fresh.database, '95 days');
    });
    const drop = async (lockTimeoutMs: number) => {
      const { database } = fresh.open({ poolSize: 1, lockTimeoutMs });
      return dropExpiredClaims(database);
    };

    test('stays while the clock or the log has not passed its end', async () => {
      await setClockAhead(fresh.database, '0');
      expect(await drop(1_000)).toEqual({ dropped: [], inUse: [] });
    });

    test('that a transaction reads is detached and dropped once that has ended; appends go on meanwhile', async () => {
      const { database: reader } = fresh.open();
      await reader.transaction(async (tx) => {
        await tx.query({ text: 'SELECT count(*) FROM claims' });
        const { dropped, inUse } = await drop(200);
        expect(dropped).toEqual([]);
        expect(inUse.length).toBeGreaterThan(0);
        expect(await fresh.log.append(someAppend('orders.order/2', 0, ['a'], someCommand()))).toMatchObject({
          kind: 'appended',
        });
      });
      // Now: on some days of a month it was that append which made the partitions ahead.
      const all = await claimsPartitions();
      const { dropped, inUse } = await drop(5_000);
      expect(inUse).toEqual([]);
      expect(dropped.length).toBeGreaterThan(3);
      expect(await claimsPartitions()).toEqual(all.filter((name) => !dropped.includes(name)));
      expect(await drop(1_000)).toEqual({ dropped: [], inUse: [] });
    });

    test('that was detached and not dropped is dropped', async () => {
      const [first] = await claimsPartitions();
      await fresh.database.query({ text: `ALTER TABLE claims DETACH PARTITION ${first}` });
      expect((await drop(5_000)).dropped).toContain(first);
    });

    test('is dropped once, if two processes do it at the same time', async () => {
      const results = await Promise.all([drop(5_000), drop(5_000)]);
      const dropped = results.flatMap((result) => result.dropped);
      expect(new Set(dropped).size).toBe(dropped.length);
      await drop(5_000);
      expect((await claimsPartitions()).filter((name) => Number(name.slice(7)) * 864_000_000 < Date.now())).toEqual([]);
    });
  });
});
