/** Archiving that fails, is killed, or meets writers: nothing is lost, nothing is there twice, and the next run ends it. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { archiveUnavailable } from '@caudal/archive-store/errors.ts';
import type { ArchiveStore } from '@caudal/archive-store/types.ts';
import type { Trace } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { openArchive } from '@caudal/eventlog/archive/archive.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { until } from '@caudal/testing/until.ts';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { archiveNow, folderArchive, pagesOf, tablesOfTraces, traceOf, write } from '../testing/old-traces.ts';
import { openWorld, type World } from '../testing/world.ts';
import { steps } from './archive-months.ts';

const archiver = fileURLToPath(new URL('../testing/trace-archiver.ts', import.meta.url));
const months = ['2022-01', '2022-02'];

describeWith(['postgres'], 'archiving traces', () => {
  let target: Awaited<ReturnType<typeof folderArchive>>;
  let world: World;
  let before: Trace[];
  beforeEach(async () => {
    target = await folderArchive();
    world = await openWorld();
    const times = months.flatMap((month) => Array.from({ length: 9 }, (_, n) => `${month}-0${n + 1}T00:00:00Z`));
    await write(
      world,
      ['a', 'b'].flatMap((number) => times.map((time) => traceOf(number, time))),
    );
    before = (await pagesOf(world, 'a')).flatMap(({ traces }) => traces);
  }, 60_000);
  afterEach(async () => {
    await world.drop();
    await target.remove();
  });

  /** As a process reads it that has just started. A repeat is known. */
  async function expectSame(): Promise<void> {
    const reader = world.open({ archive: openArchive(target.store) });
    expect((await pagesOf(reader, 'a', 5)).flatMap(({ traces }) => traces)).toEqual(before);
    expect(await write(world, before)).toBe(0);
  }

  async function expectMoved(): Promise<void> {
    const rows = await world.database.query<{ traces: number; part: number }>({
      text: 'SELECT traces, part FROM archived_trace_months ORDER BY month',
    });
    expect(rows).toEqual(months.map(() => ({ traces: 18, part: 1 })));
    await expectSame();
  }

  /** Waits for locks as the job does, but not as long. */
  function hasty(): Database {
    const transaction: Database['transaction'] = (work) =>
      world.database.transaction((tx) => {
        const query: typeof tx.query = ({ text, ...rest }) =>
          tx.query({ text: text.replace(/^(SET LOCAL lock_timeout =) 1000$/, '$1 20'), ...rest });
        return work({ ...tx, query });
      });
    return { ...world.database, transaction };
  }

  test('fails before each step, one after the other', async () => {
    for (const failing of steps) {
      const onStep = (step: string) => {
        if (step === failing) throw new Error(`before ${failing}`);
      };
      await expect(archiveNow(world.database, target.store, { onStep })).rejects.toThrow(`before ${failing}`);
      await expectSame();
    }
    expect(await archiveNow(world.database, target.store)).toEqual([]);
    await expectMoved();
    expect((await tablesOfTraces(world.database)).filter((name) => name.includes('part'))).toEqual([]);
  });

  test('is killed before each step', async () => {
    for (const step of steps) {
      const child = fork(archiver, [world.url, target.folder, step]);
      expect(await once(child, 'message')).toContain('there');
      child.kill('SIGKILL');
      await once(child, 'exit');
      await expectSame();
    }
    expect(await archiveNow(world.database, target.store)).toEqual(['2022-02']);
    await expectMoved();
    expect((await tablesOfTraces(world.database)).filter((name) => name.includes('part'))).toEqual([]);
  }, 60_000);

  test('a store that is away, or has not what was written there, costs nothing', async () => {
    const failing = (which: Partial<ArchiveStore>): ArchiveStore => ({ ...target.store, ...which });
    for (const object of ['by-parcel.ndjson', 'by-parcel.index', 'manifest']) {
      const full = failing({
        async put(name, ...of) {
          if (name.includes(object)) throw new Error(`no space for ${object}`);
          return target.store.put(name, ...of);
        },
      });
      await expect(archiveNow(world.database, full)).rejects.toThrow(`no space for ${object}`);
      await expectSame();
    }
    const away = failing({
      // biome-ignore lint/correctness/useYield: it fails at once
      async *get() {
        throw archiveUnavailable('the bucket', 'it is away.');
      },
    });
    await expect(archiveNow(world.database, away)).rejects.toMatchObject({ reason: 'ARCHIVE_UNAVAILABLE' });
    const damaged = failing({
      async *get(name, signal) {
        for await (const piece of target.store.get(name, signal)) {
          const bytes = Buffer.from(piece);
          bytes[bytes.length - 12]! ^= 1;
          yield bytes;
        }
      },
    });
    await expect(archiveNow(world.database, damaged)).rejects.toThrow();
    expect(await world.database.query({ text: 'SELECT FROM archived_trace_months' })).toEqual([]);
    // Objects that were there when they were verified, and are not when the table would be dropped.
    const gone = failing({ list: async () => [] });
    await expect(archiveNow(world.database, gone)).rejects.toThrow('restore that object');
    expect(await tablesOfTraces(world.database)).toEqual(['traces_2022_01_part_1', 'traces_2022_02_part_1']);
    await expectSame();
    await archiveNow(world.database, target.store);
    await expectMoved();
  });

  test('while something uses the traces for long, such as a dump, the run fails, and writes nothing into the archive', async () => {
    await world.open().database.transaction(async (tx) => {
      await tx.query({ text: 'LOCK TABLE traces IN ACCESS SHARE MODE' });
      await expect(archiveNow(hasty(), target.store)).rejects.toThrow();
      expect(await target.store.list('', new AbortController().signal)).toEqual([]);
    });
    expect(await archiveNow(world.database, target.store)).toEqual(months);
    await expectMoved();
  }, 30_000);

  test('a month whose partition is used for long fails the run, and the others leave', async () => {
    const hold = Promise.withResolvers<void>();
    let held: Promise<void> | undefined;
    const onStep = async (step: string, month: string) => {
      if (step !== 'switch' || month !== '2022-01') return;
      const { promise, resolve } = Promise.withResolvers<void>();
      held = world.open().database.transaction(async (tx) => {
        await tx.query({ text: 'LOCK TABLE traces_2022_01 IN ROW EXCLUSIVE MODE' });
        resolve();
        await hold.promise;
      });
      await promise;
    };
    await expect(archiveNow(hasty(), target.store, { onStep })).rejects.toThrow();
    expect(await tablesOfTraces(world.database)).toEqual(['traces_2022_01']);
    hold.resolve();
    await held;
    expect(await archiveNow(world.database, target.store)).toEqual(['2022-01']);
    await expectMoved();
  }, 30_000);

  test('a table whose objects are in another archive keeps no month from leaving', async () => {
    const onStep = (step: string, month: string) => {
      if (step === (month === '2022-01' ? 'drop' : 'export')) throw new Error('away');
    };
    await expect(archiveNow(world.database, target.store, { onStep })).rejects.toThrow('away');
    const other = await folderArchive();
    try {
      await expect(archiveNow(world.database, other.store)).rejects.toMatchObject({ reason: 'ARCHIVE_UNAVAILABLE' });
      expect(await tablesOfTraces(world.database)).toEqual(['traces_2022_01_part_1']);
    } finally {
      await other.remove();
    }
  });

  test('a trace that comes while its month is exported keeps it for the next run', async () => {
    const late = traceOf('a', '2022-02-10T00:00:00Z');
    const onStep = async (step: string, month: string) => {
      if (step === 'switch' && month === '2022-02') await write(world, [late]);
    };
    expect(await archiveNow(world.database, target.store, { onStep })).toEqual(['2022-01']);
    before = [late, ...before];
    await expectSame();
    expect(await archiveNow(world.database, target.store)).toEqual(['2022-02']);
    await expectSame();
  });

  test('the switch waits for a writer that has begun, and sees what it has written', async () => {
    const late = traceOf('a', '2022-02-10T00:00:00Z');
    const other = world.open();
    let writing: Promise<void> | undefined;
    const isWaiting = async () => {
      const text = `SELECT FROM pg_locks WHERE relation = 'traces_2022_02'::regclass AND mode = 'ShareLock' AND NOT granted`;
      return (await world.database.query({ text })).length > 0;
    };
    const onStep = async (step: string, month: string) => {
      if (step !== 'switch' || month !== '2022-02') return;
      const { promise: written, resolve } = Promise.withResolvers<void>();
      writing = other.database.transaction(async (tx) => {
        const database = { ...other.database, transaction: <T>(work: (of: typeof tx) => Promise<T>) => work(tx) };
        await write({ database }, [late]);
        resolve();
        await until(isWaiting);
      });
      await written;
    };
    expect(await archiveNow(world.database, target.store, { onStep })).toEqual(['2022-01']);
    await writing;
    before = [late, ...before];
    await expectSame();
  });

  test('a writer that comes while a month is switched finds it in the archive', async () => {
    const other = world.open();
    const watching = world.open();
    let writing: Promise<number> | undefined;
    const isKeptOut = async () => {
      const text = `SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
        WHERE l.locktype = 'advisory' AND NOT l.granted AND d.datname = current_database()`;
      return (await watching.database.query({ text })).length > 0;
    };
    const database = {
      ...world.database,
      transaction: <T>(work: Parameters<typeof world.database.transaction<T>>[0]) =>
        world.database.transaction<T>(async (tx) => {
          const result = await work({
            async query(statement) {
              if (!writing && statement.text.startsWith('INSERT INTO archived_trace_months')) {
                writing = write(other, before);
                await until(isKeptOut);
              }
              return tx.query(statement);
            },
          });
          return result;
        }),
    };
    expect(await archiveNow(database, target.store)).toEqual(months);
    expect(await writing).toBe(0);
    await expectMoved();
  });
});
