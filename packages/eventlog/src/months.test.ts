import { openDatabase, type Transaction } from '@caudal/postgres/database.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { appendBatch } from './append.ts';
import { selectHeads, selectLog, selectStreams } from './read.ts';
import { selectStreamHeads, selectTotals } from './streams.ts';
import { someAppend, someCommand } from './testing/events.ts';
import { freshLog } from './testing/log.ts';
import { expectWhole } from './testing/whole-log.ts';
import type { StreamCursor } from './types.ts';

const pastMonths = 120;
const throughout = 'orders.order/throughout';
/** With this last event, of ten years ago. */
const ancient = 'orders.order/ancient';

describeWith(['postgres'], 'a log of ten years', () => {
  let fresh: Awaited<ReturnType<typeof freshLog>>;
  beforeAll(async () => {
    fresh = await freshLog();
    // Two events a month of one stream, and one of a stream that is only there in that month.
    await fresh.database.query({
      text: `DO $$ DECLARE
          first timestamptz;
          place bigint := 0;
        BEGIN
          FOR n IN REVERSE ${pastMonths}..1 LOOP
            first := (date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC') - n * interval '1 month') AT TIME ZONE 'UTC';
            PERFORM make_partition(first);
            INSERT INTO months VALUES (month_of(first), place);
            INSERT INTO stream_months VALUES ('${throughout}', month_of(first), (${pastMonths} - n) * 2),
              (CASE n WHEN ${pastMonths} THEN '${ancient}' ELSE 'orders.order/month-' || n END, month_of(first), 0);
            INSERT INTO events SELECT place + i, first + i * interval '1 day', (${pastMonths} - n) * 2 + i, 1, gen_random_uuid(),
              '${throughout}', 't', '', '' FROM generate_series(1, 2) AS i;
            INSERT INTO events VALUES (place + 3, first + interval '3 days', 1, 1, gen_random_uuid(),
              CASE n WHEN ${pastMonths} THEN '${ancient}' ELSE 'orders.order/month-' || n END, 't', '', '');
            place := place + 3;
          END LOOP;
        END $$`,
    });
  }, 60_000);
  afterAll(() => fresh.drop());

  /** The partitions of events that this work opens. */
  async function openedBy(work: (tx: Transaction) => Promise<unknown>): Promise<number> {
    const database = openDatabase({ url: fresh.url, schema: 'orders', poolSize: 1 });
    try {
      return await database.transaction(async (tx) => {
        await work(tx);
        const [row] = await tx.query<{ count: number }>({
          text: `SELECT count(DISTINCT c.relname) AS count FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
            WHERE l.pid = pg_backend_pid() AND c.relkind = 'r' AND c.relname LIKE 'events_2%'`,
        });
        return row!.count;
      });
    } finally {
      await database.close();
    }
  }

  test('is read whole, and goes on', async () => {
    const events = await expectWhole(fresh.log, fresh.database);
    expect(events).toHaveLength(3 * pastMonths);
    const { missing } = (await fresh.log.append(someAppend(throughout, 0))) as { missing: unknown[] };
    expect(missing).toEqual(events.filter(({ stream }) => stream === throughout));
    expect(await fresh.log.append(someAppend(ancient, 1, ['x'], someCommand()))).toMatchObject({
      kind: 'appended',
      version: 2,
      position: 3 * pastMonths + 1,
    });
    expect(await fresh.log.append(someAppend(ancient, 2, ['x']))).toMatchObject({ kind: 'appended', version: 3 });
    expect(await fresh.log.append(someAppend('orders.order/month-7', 'must-exist', []))).toMatchObject({ version: 1 });
    expect(await fresh.log.append(someAppend(throughout, 240, ['x']))).toMatchObject({
      kind: 'appended',
      version: 241,
    });
    await expectWhole(fresh.log, fresh.database);
  });

  test('a read opens the months that it needs', async () => {
    const streams = (cursors: StreamCursor[], limit: number) => (tx: Transaction) =>
      selectStreams(tx, cursors, { limit });
    const tail = { stream: throughout, afterVersion: 239 };
    expect(await openedBy(streams([tail], 1_000))).toBeLessThanOrEqual(2);
    expect(await openedBy(streams([{ stream: throughout, afterVersion: 100 }], 3))).toBe(2);
    expect(await openedBy(streams([{ stream: throughout, afterVersion: 0 }], 1_000))).toBeGreaterThanOrEqual(
      pastMonths,
    );
    expect(await openedBy(streams([{ stream: 'orders.order/none', afterVersion: 0 }], 1_000))).toBe(0);
    expect(await openedBy((tx) => selectLog(tx, { afterPosition: 3 * pastMonths - 2, limit: 10 }))).toBeLessThanOrEqual(
      2,
    );
    // The month of the page, and the newest, in which the log ends.
    expect(await openedBy((tx) => selectLog(tx, { afterPosition: 3, limit: 3 }))).toBe(2);
    expect(await openedBy((tx) => selectHeads(tx, { afterPosition: 3, minAgeMs: 0, limit: 3 }))).toBeLessThanOrEqual(3);
  });

  test('an append opens the newest month, and those of the last events of its streams', async () => {
    const append = (stream: string, expected: number) => (tx: Transaction) =>
      appendBatch(tx, [{ append: someAppend(stream, expected, ['x'], someCommand()), reliesOnRefused: false }]);
    const { version } = (await selectStreamHeads(fresh.database, { prefix: throughout, limit: 1 }))[0]!;
    expect(await openedBy(append('orders.order/new', 0))).toBeLessThanOrEqual(2);
    expect(await openedBy(append(throughout, version))).toBeLessThanOrEqual(2);
    expect(await openedBy(append('orders.order/month-9', 1))).toBeLessThanOrEqual(3);
  });

  test('its streams are listed by name, in pages and by the beginning of their names', async () => {
    const { streams } = await selectTotals(fresh.database);
    const all = await selectStreamHeads(fresh.database, { limit: 1_000 });
    expect(all).toHaveLength(streams);
    expect(all.map(({ stream }) => stream)).toEqual(all.map(({ stream }) => stream).sort());
    const pages = [];
    for (let after = ''; ; ) {
      const page = await selectStreamHeads(fresh.database, { after, limit: 50 });
      if (page.length === 0) break;
      pages.push(...page);
      after = page.at(-1)!.stream;
    }
    expect(pages).toEqual(all);
    const prefix = 'orders.order/month-11';
    expect(await selectStreamHeads(fresh.database, { prefix, limit: 1_000 })).toEqual(
      all.filter(({ stream }) => stream.startsWith(prefix)),
    );
  });

  test('a month that lacks its functions gets them by the append that needs them', async () => {
    const { database, log } = fresh.open();
    const [{ suffix }] = (await database.query<{ suffix: string }>({
      text: 'SELECT month_suffix(max(month)) AS suffix FROM months',
    })) as [{ suffix: string }];
    for (const [name, types] of [
      ['tail', 'text[], boolean[]'],
      ['streams', 'text[], int[], int'],
      ['log', 'bigint, int'],
    ])
      await database.query({ text: `DROP FUNCTION ${name}_${suffix}(${types})` });
    expect(await log.append(someAppend('orders.order/after', 0))).toMatchObject({ kind: 'appended' });
    await expectWhole(log, database);
  });

  test('no other isolation level is possible for an append', async () => {
    const append = someAppend('orders.order/isolated', 0);
    for (const level of ['REPEATABLE READ', 'SERIALIZABLE'])
      await expect(
        fresh.database.transaction(async (tx) => {
          await tx.query({ text: `SET TRANSACTION ISOLATION LEVEL ${level}` });
          await appendBatch(tx, [{ append, reliesOnRefused: false }]);
        }),
      ).rejects.toThrow('needs the isolation level READ COMMITTED');
    expect(await fresh.log.readStreams([{ stream: append.stream, afterVersion: 0 }])).toEqual([]);
  });
});
