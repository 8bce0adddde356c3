/** Archiving and restoring that fail or are killed anywhere: nothing is lost, nothing is there twice, and the next run ends it. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { archiveUnavailable } from '@caudal/archive-store/errors.ts';
import type { ArchiveStore } from '@caudal/archive-store/types.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { archiveNow } from '../testing/archive-now.ts';
import { someAppend } from '../testing/events.ts';
import { folderArchive, oldLog, tablesOfEvents, throughout } from '../testing/old-log.ts';
import type { RecordedEvent } from '../types.ts';
import { openArchive } from './archive.ts';
import { steps } from './archive-months.ts';
import { type ListedMonth, listMonths } from './list-months.ts';
import { restoreMonth } from './restore-month.ts';

const never = new AbortController().signal;
const archiver = fileURLToPath(new URL('../testing/archiver.ts', import.meta.url));

describeWith(['postgres'], 'archiving that is interrupted', () => {
  let target: Awaited<ReturnType<typeof folderArchive>>;
  let old: Awaited<ReturnType<typeof oldLog>>;
  let events: RecordedEvent[];
  beforeEach(async () => {
    target = await folderArchive();
    old = await oldLog(target.store, [30, 29]);
    events = old.events;
  }, 60_000);
  afterEach(async () => {
    await old.drop();
    await target.remove();
  });

  /** As a process that has just started reads it. */
  async function expectSame(): Promise<void> {
    const { log } = old.open({ archive: openArchive(target.store) });
    expect((await log.readLog(0)).events).toEqual(events);
    expect(await log.readStreams([{ stream: throughout, afterVersion: 0 }])).toEqual(
      events.filter(({ stream }) => stream === throughout),
    );
    const version = events.findLast(({ stream }) => stream === throughout)!.version;
    expect(await log.append(someAppend(throughout, version, ['more']))).toMatchObject({ kind: 'appended' });
    events = [...events, ...(await log.readLog(events.length)).events];
    expect(events.at(-1)).toMatchObject({ stream: throughout, version: version + 1 });
  }

  async function expectMoved(): Promise<void> {
    const months = await listMonths(old.database);
    expect(months.map(({ where }) => where)).toEqual(['archive', 'archive', 'database']);
    expect((await tablesOfEvents(old.database)).length).toBeGreaterThan(1);
    expect(months.reduce((sum, month) => sum + month.events, 0)).toBe(events.length);
    await expectSame();
  }

  test('fails before each step, one after the other', async () => {
    for (const failing of steps) {
      const onStep = (step: string) => {
        if (step === failing) throw new Error(`before ${failing}`);
      };
      await expect(archiveNow(old, target.store, { onStep })).rejects.toThrow(`before ${failing}`);
      await expectSame();
    }
    expect(await archiveNow(old, target.store)).toHaveLength(2);
    await expectMoved();
  });

  test('is killed before each step', async () => {
    for (const step of steps) {
      const child = fork(archiver, [old.url, target.folder, step]);
      expect(await once(child, 'message')).toContain('there');
      child.kill('SIGKILL');
      await once(child, 'exit');
      await expectSame();
    }
    expect(await archiveNow(old, target.store)).toHaveLength(2);
    await expectMoved();
  }, 60_000);

  test('is killed at any moment', async () => {
    for (let n = 0, ended = false; !ended; n++) {
      const child = fork(archiver, [old.url, target.folder, '']);
      const killing = setTimeout(() => child.kill('SIGKILL'), 600 + 40 * n);
      child.on('message', () => {
        ended = true;
      });
      await once(child, 'exit');
      clearTimeout(killing);
      await expectSame();
    }
    await expectMoved();
  }, 120_000);

  test('a store that fails, or has not what was written there, costs nothing', async () => {
    const failing = (which: Partial<ArchiveStore>): ArchiveStore => ({ ...target.store, ...which });
    for (const object of [
      'by-position.ndjson',
      'by-position.index',
      'by-stream.ndjson',
      'by-stream.index',
      'manifest',
    ]) {
      const store = failing({
        async put(name, ...of) {
          if (name.includes(object)) throw new Error(`no space for ${object}`);
          return target.store.put(name, ...of);
        },
      });
      await expect(archiveNow(old, store)).rejects.toThrow(`no space for ${object}`);
      await expectSame();
    }
    for (const object of ['by-position.ndjson', 'by-stream.ndjson']) {
      const store = failing({
        async *get(name, signal) {
          for await (const piece of target.store.get(name, signal)) {
            const bytes = Buffer.from(piece);
            if (name.includes(object)) bytes[bytes.length - 12]! ^= 1;
            yield bytes;
          }
        },
      });
      await expect(archiveNow(old, store)).rejects.toThrow();
      await expectSame();
    }
    // Objects that were there when they were verified, and are not when the table would be dropped.
    const store = failing({ list: async () => [] });
    await expect(archiveNow(old, store)).rejects.toThrow('restore that object');
    await expectSame();
    expect(await archiveNow(old, target.store)).toHaveLength(2);
    await expectMoved();
  });

  test('a table that is not whole is not archived', async () => {
    const [{ month }] = (await listMonths(old.database)) as [ListedMonth];
    const table = `events_${month.replace('-', '_')}`;
    await old.database.query({ text: `CREATE TABLE kept AS SELECT * FROM ${table} WHERE position = 4` });
    await old.database.query({ text: `DELETE FROM ${table} WHERE position = 4` });
    await expect(archiveNow(old, target.store)).rejects.toThrow('5 comes after position 3');
    await old.database.query({ text: `INSERT INTO ${table} SELECT * FROM kept` });
    // The other one was moved nevertheless.
    expect(await archiveNow(old, target.store)).toEqual([month]);
    await expectMoved();
  });

  test('what was written whole is verified by the next run, and not written again', async () => {
    const [{ month }] = (await listMonths(old.database)) as [ListedMonth];
    const away: ArchiveStore = {
      ...target.store,
      // biome-ignore lint/correctness/useYield: it fails at once
      async *get() {
        throw archiveUnavailable('the bucket', 'it is away.');
      },
    };
    await expect(archiveNow(old, away)).rejects.toMatchObject({ reason: 'ARCHIVE_UNAVAILABLE' });
    const written: string[] = [];
    const watched: ArchiveStore = {
      ...target.store,
      put(name, ...of) {
        written.push(name);
        return target.store.put(name, ...of);
      },
    };
    expect(await archiveNow(old, watched)).toHaveLength(2);
    expect(written).toHaveLength(5);
    expect(written.filter((name) => name.includes(month))).toEqual([]);
    await expectMoved();
  });

  test('a month whose statements take too long does not stop the others', async () => {
    const [{ month }] = (await listMonths(old.database)) as [ListedMonth];
    const query: Database['query'] = (statement) => {
      const isRead = statement.text.includes('month_by_position') && statement.values?.[0] === `${month}-01`;
      return old.database.query(
        isRead ? { text: 'SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(5)' } : statement,
      ) as never;
    };
    const slow = { database: { ...old.database, query }, url: old.url };
    await expect(archiveNow(slow, target.store)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(await archiveNow(old, target.store)).toEqual([month]);
    await expectMoved();
  });

  test('a month whose streams are not those of its events is not archived', async () => {
    const [{ month }] = (await listMonths(old.database)) as [ListedMonth];
    await old.database.query({
      text: `INSERT INTO stream_months (stream, month, after) VALUES ('orders.order/nothing', $1, 0)`,
      values: [`${month}-01`],
    });
    await expect(archiveNow(old, target.store)).rejects.toThrow(/stream_months has \d+ streams of/);
    await old.database.query({ text: `DELETE FROM stream_months WHERE stream = 'orders.order/nothing'` });
    expect(await archiveNow(old, target.store)).toEqual([month]);
    await expectMoved();
  });

  test('a reader that is still at work in the table delays its dropping, and nothing else', async () => {
    const [{ month }] = (await listMonths(old.database)) as [ListedMonth];
    await old.database.transaction(async (tx) => {
      await tx.query({ text: `SELECT 1 FROM events_${month.replace('-', '_')} LIMIT 1` });
      for (let run = 0; run < 2; run++) {
        expect(await archiveNow({ ...old.open(), url: old.url }, target.store)).toEqual([]);
        await expectSame();
      }
      expect((await listMonths(tx)).map(({ where }) => where)).toEqual(['leaving', 'leaving', 'database']);
    });
    expect(await archiveNow(old, target.store)).toHaveLength(2);
    await expectMoved();
  });

  test('a restore goes on where it was, and the job does not interfere', async () => {
    await archiveNow(old, target.store);
    const [{ month }] = (await listMonths(old.database)) as [ListedMonth];
    const options = {
      ...old,
      plain: { url: old.url, schema: 'orders' },
      domain: 'orders',
      month,
      days: 30,
      signal: never,
    };
    let calls = 0;
    let failAt = 1;
    const database = {
      query: old.database.query,
      transaction: <T>(work: Parameters<typeof old.database.transaction<T>>[0]) => {
        calls += 1;
        if (calls === failAt) throw new Error('killed');
        return old.database.transaction(work);
      },
    };
    for (; ; failAt++) {
      calls = 0;
      const restored = await restoreMonth({ ...options, database }).catch((error: Error) => error.message);
      if (restored !== 'killed') {
        expect(restored).toBe(11);
        break;
      }
      expect(await archiveNow(old, target.store)).toEqual([]);
      await expectSame();
    }
    expect(failAt).toBeGreaterThan(3);
    expect((await listMonths(old.database)).map(({ where }) => where)).toEqual(['database', 'archive', 'database']);
    await expectSame();
  });
});
