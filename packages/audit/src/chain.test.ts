/** The chain on the real PostgreSQL: what adds to it, and what verifying finds. */
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Client } from 'pg';
import { bodyOf } from './body.ts';
import { addRecords, type ChainEnd, hashOf, readEnd } from './chain.ts';
import { dropExpired, makeMonths, setRetention } from './maintenance.ts';
import { findRecords, recordOf, selectFrom } from './read.ts';
import { entry, freshAuditLog } from './testing/audit-log.ts';
import { verifyChain } from './verify.ts';

describeWith(['postgres'], 'the chain of the audit log', () => {
  let log: Awaited<ReturnType<typeof freshAuditLog>>;
  beforeEach(async () => {
    log = await freshAuditLog();
  });
  afterEach(() => log.drop());

  const body = (n: number, more = {}) =>
    bodyOf({ ...entry({ resource: `w-${n}`, ...more }), time: new Date(n), count: 1 });
  const add = (count: number, from = 1) =>
    addRecords(
      log.database,
      Array.from({ length: count }, (_, n) => body(from + n)),
      { durable: false },
    );
  const verify = (checkpoints: ChainEnd[] = []) =>
    verifyChain({ database: log.database, checkpoints, signal: new AbortController().signal });
  const change = (text: string) => log.database.query({ text });

  test('records come in one order, without a gap, whoever adds them, and the chain is whole', async () => {
    const batches = await Promise.all(Array.from({ length: 40 }, (_, n) => add(5, n * 5)));
    expect(new Set(batches.map(({ position }) => position)).size).toBe(40);
    const verified = await verify();
    expect(verified).toMatchObject({ records: 200, after: 0, unknown: [], movedAt: [] });
    expect(verified.broken).toBeUndefined();
    expect(await readEnd(log.database)).toEqual(verified.end);
  });

  test('a record says what was given, and which session of the database wrote it', async () => {
    const texts = {
      subject: 'Åsa "x"\\',
      reason: 'a\nb\u202Ec \u0000 4111 1111 1111 1111, 1234567890123',
      resource: 'r'.repeat(300),
    };
    await addRecords(log.database, [body(5, texts)], { durable: true });
    const [record] = (await selectFrom(log.database, { after: 0, limit: 5 })).map(recordOf);
    expect(record).toMatchObject({
      ...{ position: 1, kind: 'ACT', subject: 'Åsa "x"\\', outcome: 'OK', time: new Date(5), count: 1 },
      ...{ reason: 'a b c   [card], 1234567890123', resource: 'r'.repeat(200) },
    });
    expect(record!.writer).toContain(new URL(log.url).username);
  });

  describe('verifying finds', () => {
    beforeEach(() => add(10));
    const columns = ['body', 'writer', 'place', 'kind', 'subject', 'method', 'resource'];
    test.each(columns)('a record whose %s was changed', async (column) => {
      await change(`UPDATE records SET ${column} = ${column} || ' ' WHERE position = 4`);
      expect((await verify()).broken).toEqual({ position: 4, problem: expect.stringContaining('was changed') });
    });
    test('a time that was changed', async () => {
      await change("UPDATE records SET recorded_at = recorded_at + interval '1 millisecond' WHERE position = 4");
      expect((await verify()).broken).toMatchObject({ position: 4 });
    });
    test('a record that was deleted, at the beginning and in the middle', async () => {
      await change('DELETE FROM records WHERE position = 6');
      expect((await verify()).broken).toEqual({ position: 6, problem: 'is missing' });
      await change('DELETE FROM records WHERE position = 1');
      expect((await verify()).broken).toEqual({ position: 1, problem: 'is missing' });
    });
    test('records in another order', async () => {
      await change('UPDATE records SET position = 15 - position WHERE position IN (7, 8)');
      expect((await verify()).broken).toMatchObject({ position: 7 });
    });
    test('with a checkpoint, an end that was cut off, and a log that was written anew', async () => {
      const checkpoint = await readEnd(log.database);
      expect((await verify([checkpoint])).broken).toBeUndefined();
      await change('DELETE FROM records WHERE position > 8');
      expect((await verify()).broken).toBeUndefined();
      expect((await verify([checkpoint])).broken).toEqual({ position: 9, problem: expect.stringContaining('cut off') });
      // Other records in their place: the chain is whole, and another one.
      await add(5, 100);
      expect((await verify()).broken).toBeUndefined();
      expect((await verify([checkpoint])).broken).toEqual({
        position: 10,
        problem: 'is another one than the checkpoint says',
      });
    });
    test('all records that are gone, by the checkpoint', async () => {
      const checkpoint = await readEnd(log.database);
      await change('DELETE FROM records');
      expect((await verify([checkpoint])).broken).toMatchObject({ position: 1 });
    });
  });

  test('after a fail-over a checkpoint of what was lost is no proof of a change, and is named', async () => {
    await add(10);
    const checkpoint = await readEnd(log.database);
    await change('DELETE FROM records WHERE position > 8');
    await change(
      `CREATE OR REPLACE FUNCTION server_place() RETURNS text LANGUAGE sql STABLE AS $$ SELECT 'another 00000002' $$`,
    );
    await add(5, 100);
    const verified = await verify([checkpoint]);
    expect(verified.broken).toBeUndefined();
    expect(verified.movedAt).toEqual([9]);
    expect(verified.unknown).toEqual([{ position: 10, problem: expect.stringContaining('lost in the fail-over') }]);
  });

  test('the clock of the server may go back: the log does not', async () => {
    await add(1);
    await change(
      "UPDATE records SET recorded_at = date_trunc('milliseconds', recorded_at + interval '1 hour') WHERE position = 1",
    );
    const [first] = await selectFrom(log.database, { after: 0, limit: 1 });
    await change(`UPDATE records SET hash = decode('${hashOf(Buffer.alloc(0), first!).toString('hex')}', 'hex')`);
    await add(1);
    const [, second] = await selectFrom(log.database, { after: 0, limit: 2 });
    expect(second!.recordedAt).toEqual(first!.recordedAt);
    expect((await verify()).broken).toBeUndefined();
  });

  describe('retention', () => {
    /** Makes the records that are there so many months old. */
    async function age(months: number): Promise<void> {
      const rows = await selectFrom(log.database, { after: 0, limit: 100 });
      await change('DELETE FROM records');
      let before: Buffer = Buffer.alloc(0);
      for (const row of rows) {
        const recordedAt = new Date(row.recordedAt);
        recordedAt.setUTCDate(1);
        recordedAt.setUTCMonth(recordedAt.getUTCMonth() - months);
        before = hashOf(before, { ...row, recordedAt });
        await log.database.query({ text: 'SELECT make_month($1)', values: [recordedAt] });
        await log.database.query({
          text: 'INSERT INTO records VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)',
          values: [
            ...[row.position, recordedAt, row.kind, row.subject, row.method, row.resource],
            ...[row.writer, row.place, row.body, before],
          ],
        });
      }
    }

    test('drops a month that is older than what is kept, says so in the chain, and what is left can be verified', async () => {
      await add(3);
      await age(4);
      await add(3, 4);
      const checkpoints = [{ position: 2, hash: Buffer.alloc(32) }];
      await setRetention(log.database, 4);
      expect(await log.database.transaction(dropExpired)).toBe(0);
      await setRetention(log.database, 3);
      expect(await log.database.transaction(dropExpired)).toBe(1);
      const verified = await verify(checkpoints);
      expect(verified).toMatchObject({ records: 4, after: 3 });
      expect(verified.broken).toBeUndefined();
      expect(verified.unknown).toEqual([{ position: 2, problem: expect.stringContaining('older than what is kept') }]);
      const [last] = await findRecords(log.database, { limit: 1 });
      expect(last).toMatchObject({ kind: 'RETENTION', outcome: expect.stringMatching(/^3:[0-9a-f]{64}$/) });
    });

    test('takes at most one month a day: a clock that was wrong for a while takes no more', async () => {
      await add(1);
      await age(50);
      await add(1);
      await change(`SELECT make_month(clock_timestamp() - interval '49 months')`);
      await setRetention(log.database, 3);
      expect(await log.database.transaction(dropExpired)).toBe(1);
      expect(await log.database.transaction(dropExpired)).toBe(0);
      await change(`UPDATE dropped SET dropped_at = dropped_at - interval '1 day'`);
      expect(await log.database.transaction(dropExpired)).toBe(1);
    });

    test('that nobody has written into the chain is found', async () => {
      await add(5);
      const [, , third] = await selectFrom(log.database, { after: 0, limit: 3 });
      await change('DELETE FROM records WHERE position <= 3');
      await log.database.query({
        text: `INSERT INTO dropped (month, position, hash) VALUES ('2020-01-01', 3, $1)`,
        values: [third!.hash],
      });
      expect((await verify()).broken).toEqual({ position: 3, problem: expect.stringContaining('no record says') });
    });
  });

  describe('the table of a month', () => {
    const months = async () => {
      const rows = await log.database.query<{ name: string }>({
        text: "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'records'::regclass ORDER BY 1",
      });
      return rows.map(({ name }) => name);
    };
    const nameOf = (ahead: number) => {
      const now = new Date();
      const first = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + ahead)).toISOString();
      return `records_${first.slice(0, 4)}_${first.slice(5, 7)}`;
    };

    test('is there two months ahead', async () => {
      const all = [0, 1, 2].map(nameOf);
      expect(await months()).toEqual(all);
      await change(`DROP TABLE ${all[2]}`);
      await log.database.transaction(makeMonths);
      await log.database.transaction(makeMonths);
      expect(await months()).toEqual(all);
    });

    test('is made beside a dump, and so is the first record of a month that lacks it', async () => {
      await add(3);
      for (const ahead of [1, 2]) await change(`DROP TABLE ${nameOf(ahead)}`);
      const dump = new Client({ connectionString: log.url });
      await dump.connect();
      try {
        await dump.query('BEGIN; LOCK TABLE caudal_audit.records IN ACCESS SHARE MODE');
        await log.database.transaction(makeMonths);
        expect(await months()).toHaveLength(3);
        await dump.query('COMMIT');
        // As if no process had run for months.
        for (const ahead of [0, 1, 2]) await change(`DROP TABLE ${nameOf(ahead)}`);
        await dump.query('BEGIN; LOCK TABLE caudal_audit.records IN ACCESS SHARE MODE');
        await add(1);
      } finally {
        await dump.end();
      }
      expect(await months()).toEqual([nameOf(0)]);
    });
  });

  test('records are found by each of their parts, the newest first, in pages', async () => {
    await addRecords(
      log.database,
      [
        body(1, { subject: 'ada' }),
        body(2, { subject: 'bob', kind: 'DENIAL' }),
        body(3, { subject: 'ada', method: 'caudal.x.v1.Y/Z' }),
        body(4, { subject: 'bob' }),
      ],
      { durable: false },
    );
    const found = async (query: object) =>
      (await findRecords(log.database, { limit: 10, ...query })).map(({ position }) => position);
    expect(await found({})).toEqual([4, 3, 2, 1]);
    expect(await found({ subject: 'ada' })).toEqual([3, 1]);
    expect(await found({ kind: 'DENIAL' })).toEqual([2]);
    expect(await found({ method: 'caudal.x.v1.Y/Z' })).toEqual([3]);
    expect(await found({ resource: 'w-4', subject: 'bob' })).toEqual([4]);
    expect(await found({ limit: 2 })).toEqual([4, 3]);
    expect(await found({ limit: 2, before: 3 })).toEqual([2, 1]);
    expect(await found({ from: new Date(Date.now() + 60_000) })).toEqual([]);
    expect(await found({ until: new Date(Date.now() - 60_000) })).toEqual([]);
    expect(await found({ from: new Date(Date.now() - 60_000), until: new Date(Date.now() + 60_000) })).toHaveLength(4);
  });
});
