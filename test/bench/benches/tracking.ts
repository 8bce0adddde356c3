/** The speed of taking traces in and writing them. */
import { Trace } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { migrations as logMigrations } from '@caudal/eventlog/migrations.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import { byteaArray, timestamptzArray, uuidArray } from '@caudal/postgres/arrays.ts';
import { type Database, openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { migrations } from '@caudal/service-tracking/migrations.ts';
import { openInbox } from '@caudal/service-tracking/queue/postgres-inbox.ts';
import { startWorker } from '@caudal/service-tracking/worker.ts';
import { freshDatabase } from '@caudal/testing/servers.ts';
import { until } from '@caudal/testing/until.ts';
import { figureOf, ratioOf } from '../figures.ts';
import { takeTurns } from '../load.ts';
import type { Bench, Goal } from '../types.ts';

const batch = 1_000;
/** Traces of a parcel in a round. */
const ofParcel = 4;

const goals: Record<string, Goal> = {
  'vs-bare': { kind: 'atLeast', value: 0.5 },
  written: { kind: 'atLeast', value: 10_000 },
};

/** Traces of new parcels, some 150 bytes each. */
function tracesOf(count: number): Uint8Array[] {
  const round = newId();
  const now = Date.now();
  return Array.from({ length: count }, (_, index) =>
    Trace.encode(
      Trace.fromPartial({
        carrier: 'Royal Mail',
        trackingNumber: `${round}${index % (count / ofParcel)}`,
        happenTime: new Date(now - index * 1_000),
        receiveTime: new Date(now),
        status: 2,
        detail: 'Arrived at the sorting centre',
        place: { name: 'Lyon', country: 'FR', position: undefined },
      }),
    ).finish(),
  );
}

/** Accepts them durably, and waits until all are written. Returns traces a second. */
async function throughInbox(database: Database, bodies: Uint8Array[]): Promise<number> {
  const queue = openInbox({ database, maxTraces: 10_000_000 });
  const worker = startWorker({ queue, clock: systemClock, rate: 0, onChanges: () => {}, pollMs: 10 });
  const began = performance.now();
  for (let from = 0; from < bodies.length; from += 4 * batch)
    await Promise.all(
      [0, 1, 2, 3].map((part) => queue.put(bodies.slice(from + part * batch, from + (part + 1) * batch))),
    );
  await until(async () => {
    const [row] = await database.query<{ empty: boolean }>({
      text: 'SELECT NOT EXISTS (SELECT FROM trace_inbox) AS empty',
    });
    return row!.empty;
  }, 300_000);
  const seconds = (performance.now() - began) / 1_000;
  await worker.stop();
  return bodies.length / seconds;
}

/** The same bytes in rows with an id, without an index, an inbox or anything that follows from them. */
async function bare(database: Database, bodies: Uint8Array[]): Promise<number> {
  const began = performance.now();
  for (let from = 0; from < bodies.length; from += batch) {
    const rows = bodies.slice(from, from + batch);
    await database.query({
      name: 'bare',
      text: 'INSERT INTO bare SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::bytea[])',
      values: [uuidArray(rows.map(newId)), timestamptzArray(rows.map(() => began)), byteaArray(rows)],
    });
  }
  return bodies.length / ((performance.now() - began) / 1_000);
}

export const tracking: Bench = {
  name: 'tracking',
  title: 'Taking traces in',
  compares: `Traces of ${ofParcel} a parcel are put into the inbox by four callers, ${batch} a call, and are written by a worker with their parcels; the clock stops when the inbox is empty. Compared with the same bytes in rows of a table without an index, ${batch} a statement by one client: what the server takes of rows as they are.`,
  needs: ['postgres'],

  async run({ quick, say }) {
    const fresh = await freshDatabase();
    await migrate({ url: fresh.url, schema: 'tracking', sets: [logMigrations, migrations] });
    const database = openDatabase({ url: fresh.url, schema: 'tracking' });
    const count = quick ? 8_000 : 100_000;
    try {
      await database.query({ text: 'CREATE TABLE bare (id uuid, happened_at timestamptz, body bytea)' });
      const measured = await takeTurns(
        {
          caudal: async () => throughInbox(database, tracesOf(count)),
          bare: async () => bare(database, tracesOf(count)),
        },
        { rounds: quick ? 1 : 5, say },
      );
      const nameOf = (metric: string) => ({ bench: 'tracking', metric, goal: goals[metric] });
      return [
        figureOf({ ...nameOf('written'), unit: '/s' }, measured.caudal),
        figureOf({ ...nameOf('bare'), unit: '/s' }, measured.bare),
        ratioOf(nameOf('vs-bare'), measured.caudal, measured.bare),
      ];
    } finally {
      await database.close();
      await fresh.drop();
    }
  },
};
