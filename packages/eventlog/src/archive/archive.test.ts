import { cp } from 'node:fs/promises';
import { zstdCompressSync } from 'node:zlib';
import { openS3Store } from '@caudal/archive-store/s3-store.ts';
import { freshBucket } from '@caudal/archive-store/testing/bucket.ts';
import type { ArchiveStore } from '@caudal/archive-store/types.ts';
import type { CaudalError } from '@caudal/kernel/errors.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { sqlState } from '@caudal/postgres/errors.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { openReader } from '../reader.ts';
import { selectStreamHeads } from '../streams.ts';
import { archiveNow } from '../testing/archive-now.ts';
import { someAppend, someCommand } from '../testing/events.ts';
import { freshLog, setClockAhead } from '../testing/log.ts';
import { folderArchive, oldLog, onlyIn, tablesOfEvents, throughout } from '../testing/old-log.ts';
import { expectWhole } from '../testing/whole-log.ts';
import { openArchive } from './archive.ts';
import { type ListedMonth, listMonths } from './list-months.ts';
import { restoreMonth } from './restore-month.ts';

describeWith(['postgres'], 'a log whose old months have left', () => {
  let target: Awaited<ReturnType<typeof folderArchive>>;
  let old: Awaited<ReturnType<typeof oldLog>>;
  beforeAll(async () => {
    target = await folderArchive();
    old = await oldLog(target.store);
  }, 60_000);
  afterAll(async () => {
    await old.drop();
    await target.remove();
  });

  test('has them in the archive and not in the database', async () => {
    const before = await tablesOfEvents(old.database);
    const moved = await archiveNow(old, target.store);
    expect(moved).toHaveLength(4);
    const after = await tablesOfEvents(old.database);
    expect(before.filter((name) => !after.includes(name))).toEqual(
      moved.map((month) => `events_${month.replace('-', '_')}`),
    );
    expect(await archiveNow(old, target.store)).toEqual([]);
  });

  test('is read as before, in every way', async () => {
    const { log } = old.open();
    for (const limit of [1, 3, 7, 1_000]) {
      const read = [];
      for (let last = 0; ; last = read.at(-1)!.position) {
        const { events, head } = await log.readLog(last, { limit });
        expect(head).toBe(old.events.length);
        expect(events.length).toBe(Math.min(limit, head - last));
        if (events.length === 0) break;
        read.push(...events);
      }
      expect(read).toEqual(old.events);
    }
    const names = [...new Set(old.events.map(({ stream }) => stream))];
    const cursors = names.map((stream) => ({ stream, afterVersion: 0 }));
    const inOrder = names
      .map((name) => Buffer.from(name))
      .sort(Buffer.compare)
      .flatMap((name) => old.events.filter(({ stream }) => stream === name.toString()));
    for (const limit of [1, 4, 17, 1_000])
      expect(await log.readStreams(cursors, { limit })).toEqual(inOrder.slice(0, limit));
    for (const afterVersion of [0, 1, 2, 3, 8, 11])
      expect(await log.readStreams([{ stream: throughout, afterVersion }])).toEqual(
        old.events.filter(({ stream, version }) => stream === throughout && version > afterVersion),
      );
  });

  test('its heads are found', async () => {
    const found = new Map<string, number>();
    for (let at = 0; ; ) {
      const { heads, position } = await old.log.heads(at, { limit: 4 });
      if (heads.length === 0) break;
      for (const { stream, version } of heads) found.set(stream, version);
      expect(position).toBeGreaterThan(at);
      at = position;
    }
    const versions = new Map(old.events.map(({ stream, version }) => [stream, version]));
    expect(found).toEqual(versions);
    expect(
      new Map((await selectStreamHeads(old.database, { limit: 1_000 })).map((h) => [h.stream, h.version])),
    ).toEqual(versions);
  });

  test('is read without an error in the server, but for the first that finds where the archive ends', async () => {
    const errors: unknown[] = [];
    const { database, archive } = old;
    const query: Database['query'] = (statement) =>
      database.query(statement).catch((error: unknown) => {
        errors.push(sqlState(error));
        throw error;
      }) as never;
    const reader = openReader({ database: { ...database, query }, domain: 'orders', archive });
    const cursors = [throughout, onlyIn(0), onlyIn(4)].map((stream) => ({ stream, afterVersion: 0 }));
    expect(await reader.readStreams(cursors)).toHaveLength(11 + 3 + 3);
    const reaching = reader.readStreams(cursors, { livingOnly: true });
    await expect(reaching).rejects.toMatchObject({ streams: new Set([throughout, onlyIn(0)]) });
    expect(await reader.readStreams(cursors.slice(2), { livingOnly: true })).toHaveLength(3);
    expect(errors).toEqual([]);
    for (const _ of [1, 2]) {
      await reader.readLog(0, { limit: 3 });
      await reader.heads(0, { limit: 3 });
    }
    expect(errors).toEqual(['58A01']);
    await reader.stop();
  });

  test('takes appends to streams whose events are all archived, without the archive', async () => {
    const { log } = old.open({ archive: undefined });
    expect(await log.append(someAppend(onlyIn(0), 0, ['x']))).toMatchObject({
      kind: 'conflict',
      version: 3,
      missing: [],
    });
    expect(await log.append(someAppend(onlyIn(0), 'must-exist', []))).toMatchObject({ kind: 'appended', version: 3 });
    expect(await log.append(someAppend(onlyIn(0), 2, ['x']))).toMatchObject({ kind: 'conflict', version: 3 });
    expect(await log.append(someAppend(onlyIn(1), 3, ['x'], someCommand()))).toMatchObject({
      kind: 'appended',
      version: 4,
    });
    expect(await log.append(someAppend(onlyIn(1), 4, ['x']))).toMatchObject({ kind: 'appended', version: 5 });
    expect(await log.append(someAppend('orders.order/nowhere', 'must-exist', ['x']))).toMatchObject({
      kind: 'conflict',
      version: 0,
    });
    expect(await log.readStreams([{ stream: onlyIn(1), afterVersion: 3 }])).toHaveLength(2);
    expect(await log.readStreams([{ stream: onlyIn(0), afterVersion: 3 }])).toEqual([]);
    await expect(log.readStreams([{ stream: onlyIn(0), afterVersion: 2 }])).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      reason: 'ARCHIVE_UNAVAILABLE',
    });
  });

  test('a month can be put back', async () => {
    const { log } = old.open();
    const before = (await log.readLog(0)).events;
    const [{ month }] = (await old.database.query<{ month: string }>({
      text: "SELECT to_char(min(month), 'YYYY-MM') AS month FROM archived_months",
    })) as [{ month: string }];
    const options = {
      ...old,
      plain: { url: old.url, schema: 'orders' },
      domain: 'orders',
      month,
      days: 30,
      signal: new AbortController().signal,
    };
    const isMonth = (listed: ListedMonth) => listed.month === month;
    const { path } = (await listMonths(old.database)).find(isMonth)!;
    expect(await restoreMonth(options)).toBe(11);
    expect(await restoreMonth(options)).toBeUndefined();
    expect((await listMonths(old.database)).find(isMonth)).toMatchObject({ where: 'database', formerPaths: [path] });
    expect((await log.readLog(0)).events).toEqual(before);
    expect(await tablesOfEvents(old.database)).toContain(`events_${month.replace('-', '_')}`);
    expect(await archiveNow(old, target.store)).toEqual([]);
    await old.database.query({ text: "UPDATE restored_months SET until = log_clock() - interval '1 second'" });
    expect(await archiveNow(old, target.store)).toEqual([month]);
    expect((await log.readLog(0)).events).toEqual(before);
  });

  test('whatever makes the functions of months again leaves archived ones alone', async () => {
    const [{ suffix }] = (await old.database.query<{ suffix: string }>({
      text: 'SELECT month_suffix(min(month)) AS suffix FROM archived_months',
    })) as [{ suffix: string }];
    await old.database.query({ text: `DROP FUNCTION log_${suffix}(bigint, int)` });
    await old.database.query({ text: 'SELECT make_partitions(3)' });
    expect(await tablesOfEvents(old.database)).not.toContain(`events_${suffix}`);
    // An outage, to versions that know no archive.
    const read = old.database.query({ text: `SELECT * FROM log_${suffix}(0, 1)` });
    await expect(read).rejects.toMatchObject({ code: 'UNAVAILABLE', cause: { code: '58A01' } });
  });

  test('what was changed in the archive is not believed', async () => {
    const store: ArchiveStore = {
      ...target.store,
      async getRange(...of) {
        const bytes = await target.store.getRange(...of);
        // As if another month were there: whole frames, but not those that were verified.
        return of[0].includes('by-stream.ndjson') ? zstdCompressSync(Buffer.from('{}\n')) : bytes;
      },
    };
    const { log } = old.open({ archive: openArchive(store) });
    await expect(log.readStreams([{ stream: throughout, afterVersion: 0 }])).rejects.toThrow(
      'not those that were written',
    );
    expect((await log.readLog(0)).events.slice(0, 5)).toEqual(old.events.slice(0, 5));
  });

  test('is read from a copy of the archive; while that is not whole, both places are named', async () => {
    const copy = await folderArchive();
    const { log } = old.open({ archive: openArchive(copy.store) });
    const error = (await log.readLog(0).catch((thrown: unknown) => thrown)) as CaudalError;
    expect(error).toMatchObject({ code: 'UNAVAILABLE', reason: 'ARCHIVE_UNAVAILABLE' });
    for (const folder of [target.folder, copy.folder]) expect(error.message).toContain(folder);
    await cp(target.folder, copy.folder, { recursive: true });
    expect((await log.readLog(0)).events.slice(0, 5)).toEqual(old.events.slice(0, 5));
    await copy.remove();
  });
});

describeWith(['postgres'], 'a month of large events', () => {
  test('is moved and put back in pages that are bounded by bytes', async () => {
    const target = await folderArchive();
    const archive = openArchive(target.store);
    const fresh = await freshLog('orders', { archive });
    await setClockAhead(fresh.database, '-30 months');
    const content = 'x'.repeat(500_000);
    for (let n = 0; n < 40; n++) await fresh.log.append(someAppend('orders.order/large', n, [content]));
    await setClockAhead(fresh.database, '0 months');
    await fresh.log.append(someAppend('orders.order/now', 0, ['x']));
    const pages: number[] = [];
    const query: Database['query'] = async (statement) => {
      const rows = await fresh.database.query<Record<string, unknown>>(statement);
      const bytes = rows.reduce((sum, { data }) => sum + (data instanceof Uint8Array ? data.length : 0), 0);
      if (bytes > 0) pages.push(bytes);
      return rows as never;
    };
    const database = { ...fresh.database, query };
    const [month] = await archiveNow({ database, url: fresh.url }, target.store);
    expect(Math.max(...pages)).toBeLessThan(11_000_000);
    expect(pages.length).toBeGreaterThan(3);
    const progress: number[] = [];
    const restored = await restoreMonth({
      ...{ database, plain: { url: fresh.url, schema: 'orders' }, archive, domain: 'orders', month: month!, days: 30 },
      signal: new AbortController().signal,
      onProgress: ({ done }) => progress.push(done),
    });
    expect(restored).toBe(40);
    // 16 MiB are some 25 events in base64.
    expect(progress.length).toBeGreaterThan(1);
    expect((await fresh.log.readLog(0)).events).toHaveLength(41);
    await fresh.drop();
    await target.remove();
  }, 90_000);
});

describeWith(['postgres'], 'a log that version 0.2 may read', () => {
  test('keeps its months', async () => {
    const target = await folderArchive();
    const old = await oldLog(target.store, [30]);
    await old.database.query({ text: 'CREATE VIEW head AS SELECT 1' });
    expect(await archiveNow(old, target.store)).toEqual([]);
    await old.database.query({ text: 'DROP VIEW head' });
    expect(await archiveNow(old, target.store)).toHaveLength(1);
    await old.drop();
    await target.remove();
  });
});

describeWith(['postgres', 's3'], 'a log whose old months are in S3', () => {
  test('is read as before, goes on, and gets a month back', async () => {
    const store = openS3Store(await freshBucket());
    const old = await oldLog(store, [30, 29]);
    expect(await archiveNow(old, store)).toHaveLength(2);
    const { log, database } = old.open({ archive: openArchive(store) });
    const inStream = old.events.filter(({ stream }) => stream === throughout);
    const expectSame = async () => {
      expect((await log.readLog(0)).events).toEqual(old.events);
      expect(await log.readStreams([{ stream: throughout, afterVersion: 0 }])).toEqual(inStream);
    };
    await expectSame();
    const [{ month }] = (await listMonths(database)) as [ListedMonth];
    const plain = { url: old.url, schema: 'orders' };
    const signal = new AbortController().signal;
    expect(
      await restoreMonth({ database, plain, archive: openArchive(store), domain: 'orders', month, days: 1, signal }),
    ).toBe(11);
    await expectSame();
    await old.drop();
    await store.close();
  });
});

describeWith(['postgres'], 'while months leave and come back', () => {
  test('appends and reads go on, also past the end of the month', async () => {
    const target = await folderArchive();
    const old = await oldLog(target.store, [30, 29, 28]);
    const ending = new AbortController();
    const { log: reader } = old.open({ archive: openArchive(target.store) });
    const { log: writer } = old.open({ archive: openArchive(target.store) });
    let [reads, appends] = [0, 0];
    const read = async () => {
      for (; !ending.signal.aborted; reads++) {
        const { events } = await reader.readLog(0);
        expect(events.slice(0, old.events.length)).toEqual(old.events);
        expect(events.map(({ position }) => position)).toEqual(events.map((_, n) => n + 1));
        const stream = await reader.readStreams([{ stream: throughout, afterVersion: 0 }]);
        expect(stream).toEqual(old.events.filter((event) => event.stream === throughout));
      }
    };
    const append = async () => {
      for (; !ending.signal.aborted; appends++) {
        // A stream of old months alone, and a new one.
        const version = 3 + appends;
        expect(await writer.append(someAppend(onlyIn(0), version, ['x']))).toMatchObject({ kind: 'appended' });
        await writer.append(someAppend(`orders.order/new-${appends}`, 0));
      }
    };
    const working = Promise.all([read(), append()]);
    for (let round = 0; round < 2; round++) {
      const moved = await archiveNow(old, target.store, {
        async onStep(step) {
          if (step === 'verify' && round === 0) await setClockAhead(old.database, '1 month');
        },
      });
      expect(moved).toHaveLength(3);
      for (const month of moved)
        await restoreMonth({
          ...{ database: old.database, plain: { url: old.url, schema: 'orders' }, archive: openArchive(target.store) },
          ...{ domain: 'orders', month, days: 30, signal: ending.signal },
        });
      await old.database.query({ text: "UPDATE restored_months SET until = log_clock() - interval '1 second'" });
    }
    ending.abort();
    await working;
    expect(reads).toBeGreaterThan(2);
    expect(appends).toBeGreaterThan(5);
    await expectWhole(old.log, old.database);
    await old.drop();
    await target.remove();
  }, 120_000);
});
