/** Months of traces that have left for the archive are read as before, with what comes late. */
import { openS3Store } from '@caudal/archive-store/s3-store.ts';
import { freshBucket } from '@caudal/archive-store/testing/bucket.ts';
import type { ArchiveStore } from '@caudal/archive-store/types.ts';
import { type Parcel, ParcelStatus, type Trace } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { openArchive } from '@caudal/eventlog/archive/archive.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { refusalOf, testCall } from '@caudal/testing/call.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import type { ServerName } from '@caudal/testing/servers.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { archiveNow, folderArchive, pagesOf, tablesOfTraces, traceOf, write } from '../testing/old-traces.ts';
import { openWorld, type World } from '../testing/world.ts';
import { restoreTraces } from './restore-month.ts';

const two = (n: number) => String(n).padStart(2, '0');
/** Of three months of 2022 and one that stays; several at one time. */
const seeds = ['2022-01', '2022-02', '2022-03', '2026-10'].flatMap((month, m) =>
  Array.from({ length: 6 }, (_, n) => ({ time: `${month}-${two(5 * n + 1)}T00:00:00Z`, detail: `${m} ${n}` })),
);
const long = Array.from({ length: 120 }, (_, n) =>
  traceOf('long', `2022-02-${two(1 + Math.floor(n / 5))}T00:0${n % 5}:00Z`, { detail: `${n}` }),
);
const all = [
  ...['p1', 'p2', 'p3'].flatMap((number) => seeds.map(({ time, detail }) => traceOf(number, time, { detail }))),
  ...long,
  traceOf('event', '2022-01-31T23:59:59.999Z', { eventId: 'E1', detail: 'first' }),
  traceOf('event', '2022-02-01T00:00:00Z', { eventId: 'E2' }),
];
const later = () => new Date(Date.now() + 31 * 86_400_000);
const get = ({ queries }: Pick<World, 'queries'>, trackingNumber: string): Promise<Parcel> =>
  queries.getParcel({ carrier: 'acme', trackingNumber, readMask: undefined }, testCall());

/** Transactions of which the nth fails. */
function failingAt(database: Database, n: number): Database['transaction'] {
  let calls = 0;
  return (work) => {
    calls += 1;
    if (calls === n) throw new Error('killed');
    return database.transaction(work);
  };
}

interface Target {
  store: ArchiveStore;
  remove(): Promise<void>;
}

async function bucket(): Promise<Target> {
  const store = openS3Store(await freshBucket());
  return { store, remove: () => store.close() };
}

function tests(servers: ServerName[], open: () => Promise<Target>): void {
  describeWith(servers, `traces whose months have left, with ${servers.join(' and ')}`, () => {
    let target: Target;
    let world: World;
    /** Another process, with the archive. */
    let reader: ReturnType<World['open']>;
    let before: Map<string, Trace[]>;
    const numbers = ['p1', 'p2', 'p3', 'long', 'event'];
    const read = async (number: string, pageSize?: number) =>
      (await pagesOf(reader, number, pageSize)).flatMap(({ traces }) => traces);

    beforeAll(async () => {
      target = await open();
      world = await openWorld();
      reader = world.open({ archive: openArchive(target.store) });
      expect(await write(world, all)).toBe(all.length);
      before = new Map();
      for (const number of numbers) before.set(number, await read(number));
    }, 60_000);
    afterAll(async () => {
      await world?.drop();
      await target?.remove();
    });

    test('are in the archive and not in the database', async () => {
      expect((await get(world, 'p1')).archived).toBe(false);
      expect(await archiveNow(world.database, target.store)).toEqual(['2022-01', '2022-02', '2022-03']);
      expect(await tablesOfTraces(world.database)).toEqual([]);
      expect(await archiveNow(world.database, target.store)).toEqual([]);
      const rows = await world.database.query<{ traces: number; parcels: number }>({
        text: 'SELECT traces, parcels FROM archived_trace_months ORDER BY month',
      });
      expect(rows).toEqual([
        { traces: 19, parcels: 4 },
        { traces: 139, parcels: 5 },
        { traces: 18, parcels: 3 },
      ]);
    });

    test('are listed as before, in pages of any size, and the answer says where they were', async () => {
      for (const number of numbers)
        for (const pageSize of [1, 7, 100]) expect(await read(number, pageSize)).toEqual(before.get(number));
      const pages = await pagesOf(reader, 'p1', 5);
      expect(pages.map(({ archived }) => archived)).toEqual([false, true, true, true, true]);
      expect(await get(reader, 'p1')).toMatchObject({ archived: true, traceCount: 24 });
      expect((await get(reader, 'long')).latestTraces).toHaveLength(50);
    });

    test('a process without the archive says that it has none, where it needs one', async () => {
      expect(await refusalOf(pagesOf(world, 'long'))).toEqual({ code: 'UNAVAILABLE', reason: 'ARCHIVE_UNAVAILABLE' });
      expect(await get(world, 'long')).toMatchObject({ archived: true, traceCount: 120 });
    });

    test('are known when they come once more, also with another time', async () => {
      const few = all.filter(({ trackingNumber }) => trackingNumber !== 'long');
      expect(await write(world, few)).toBe(0);
      expect(await write(world, [traceOf('event', '2022-03-05T00:00:00Z', { eventId: 'E1' })])).toBe(0);
      for (const number of numbers) expect(await read(number)).toEqual(before.get(number));
    });

    test('of a parcel with more than 50, an old one that comes once more is shown once', async () => {
      expect(await write(world, long)).toBe(70);
      expect(await read('long', 9)).toEqual(before.get('long'));
    });

    test('what comes late for such a month is read with the others, and leaves once more', async () => {
      const late = [
        traceOf('p2', '2022-02-07T12:00:00Z', { detail: 'late' }),
        traceOf('p2', '2022-03-31T23:59:59Z', { detail: 'later', status: ParcelStatus.PARCEL_STATUS_DELIVERED }),
        traceOf('new', '2022-02-01T00:00:00Z'),
      ];
      expect(await write(world, late)).toBe(3);
      const merged = [...before.get('p2')!, ...late.slice(0, 2)].sort(
        (a, b) => b.happenTime!.getTime() - a.happenTime!.getTime(),
      );
      const expectMerged = async () => {
        for (const pageSize of [2, 100]) expect(await read('p2', pageSize)).toEqual(merged);
        expect(await read('new')).toEqual(late.slice(2));
        expect(await get(reader, 'p2')).toMatchObject({ traceCount: 26, status: ParcelStatus.PARCEL_STATUS_DELIVERED });
      };
      await expectMerged();
      expect(await archiveNow(world.database, target.store)).toEqual([]);
      expect(await archiveNow(world.database, target.store, { now: later() })).toEqual(['2022-02', '2022-03']);
      expect(await tablesOfTraces(world.database)).toEqual([]);
      await expectMerged();
      expect(await write(world, late)).toBe(0);
    });

    test('are in the database again when they are put back, and leave anew after that time', async () => {
      const { database } = world;
      const archive = openArchive(target.store);
      const restore = (month: string) =>
        restoreTraces({ database, archive, month, days: 40, signal: new AbortController().signal });
      const expected = await read('p2');
      // It dies behind the first frames.
      const dying = { ...database, transaction: failingAt(database, 2) };
      const interrupted = {
        database: dying,
        archive,
        month: '2022-02',
        days: 40,
        signal: new AbortController().signal,
      };
      await expect(restoreTraces(interrupted)).rejects.toThrow('killed');
      expect(await read('p2')).toEqual(expected);
      expect(await restore('2022-02')).toBe(211);
      expect(await restore('2022-02')).toBeUndefined();
      expect(await restore('2021-02')).toBeUndefined();
      expect(await restore('2022-01')).toBe(19);
      expect(await restore('2022-03')).toBe(19);
      const counts = await database.query({ text: `SELECT FROM traces WHERE happened_at < '2023-01-01'` });
      expect(counts).toHaveLength(19 + 139 + 18 + 3);
      // Without the archive.
      expect((await pagesOf(world, 'p2')).flatMap(({ traces }) => traces)).toEqual(expected);
      expect(await get(world, 'p2')).toMatchObject({ archived: false, traceCount: 26 });
      expect(await read('long')).toEqual(before.get('long'));
      expect(await archiveNow(database, target.store, { now: later() })).toEqual([]);
      const after = new Date(Date.now() + 41 * 86_400_000);
      expect(await archiveNow(database, target.store, { now: after })).toEqual(['2022-01', '2022-02', '2022-03']);
      expect(await read('p2', 3)).toEqual(expected);
    });
  });
}

tests(['postgres'], folderArchive);
tests(['postgres', 's3'], bucket);

describeWith(['postgres'], 'traces in very many months', () => {
  test('are listed some months at a time, and a month that has none leaves without a trace', async () => {
    const target = await folderArchive();
    const world = await openWorld();
    try {
      const months = Array.from({ length: 30 }, (_, n) => `${2019 + Math.floor(n / 12)}-${two(1 + (n % 12))}`);
      await write(
        world,
        months.map((month) => traceOf('old', `${month}-15T00:00:00Z`)),
      );
      await world.database.query({ text: `SELECT make_trace_partitions('{2018-05-01}')` });
      expect(await archiveNow(world.database, target.store)).toEqual(months);
      const reader = world.open({ archive: openArchive(target.store) });
      const pages = await pagesOf(reader, 'old', 100);
      expect(pages.map(({ traces }) => traces.length)).toEqual([24, 6]);
      expect(
        pages.flatMap(({ traces }) => traces.map(({ happenTime }) => happenTime!.toISOString().slice(0, 7))),
      ).toEqual(months.toReversed());
      const left = await world.database.query({ text: `SELECT WHERE to_regclass('traces_2018_05') IS NOT NULL` });
      expect(left).toEqual([]);
    } finally {
      await world.drop();
      await target.remove();
    }
  }, 60_000);

  test('and of very many parts are listed to their end', async () => {
    const target = await folderArchive();
    const world = await openWorld();
    try {
      const parts = { '2022-04': 13, '2022-03': 12 };
      for (let n = 0; n < 13; n++) {
        const due = Object.entries(parts).filter(([, of]) => n < of);
        await write(
          world,
          due.map(([month]) => traceOf('late', `${month}-${two(1 + n)}T00:00:00Z`)),
        );
        expect(await archiveNow(world.database, target.store, { now: later() })).toHaveLength(due.length);
      }
      const reader = world.open({ archive: openArchive(target.store) });
      const pages = await pagesOf(reader, 'late', 100);
      expect(pages.map(({ traces }) => traces.length)).toEqual([13, 12]);
    } finally {
      await world.drop();
      await target.remove();
    }
  }, 60_000);

  test('are all listed after a restore, also if one was said again with a time in another month', async () => {
    const target = await folderArchive();
    const world = await openWorld();
    try {
      const { database } = world;
      const traces = Array.from({ length: 80 }, (_, n) =>
        traceOf('twice', `2022-03-${two(1 + Math.floor(n / 3))}T00:0${n % 3}:00Z`, { eventId: `E${n}` }),
      );
      await write(world, traces);
      expect(await archiveNow(database, target.store)).toEqual(['2022-03']);
      // It is not among the latest 50, and on one page with the one that it repeats.
      expect(await write(world, [traceOf('twice', '2022-04-01T00:00:00Z', { eventId: 'E25' })])).toBe(1);
      const archive = openArchive(target.store);
      await restoreTraces({ database, archive, month: '2022-03', days: 40, signal: new AbortController().signal });
      const listed = (await pagesOf(world, 'twice', 60)).flatMap((page) => page.traces);
      expect(listed.map(({ eventId }) => eventId)).toEqual(['E25', ...traces.map((one) => one.eventId).toReversed()]);
    } finally {
      await world.drop();
      await target.remove();
    }
  }, 60_000);
});
