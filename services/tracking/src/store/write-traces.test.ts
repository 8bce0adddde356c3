/** How many bytes of states a batch has in memory at a time, and in how many statements that is. */
import { ParcelStatus, Trace } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import type { Transaction } from '@caudal/postgres/database.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { openWorld, trace, type World } from '../testing/world.ts';
import { type WriteOptions, writeTraces } from './write-traces.ts';

const receiveTime = new Date('2026-11-01T00:00:00Z');
const numbers = Array.from({ length: 20 }, (_, n) => `large${n}`);

/** As long as the contract allows. */
const large = (number: string, minutes: number) =>
  Trace.encode(
    trace(number, minutes, {
      ...{ receiveTime, detail: '\u{1f4e6}'.repeat(500), status: ParcelStatus.PARCEL_STATUS_IN_TRANSIT },
      place: { name: '\u{1f3e0}'.repeat(200), country: 'DE', position: undefined },
    }),
  ).finish();

describeWith(['postgres'], 'a batch', () => {
  let world: World;
  beforeAll(async () => {
    world = await openWorld();
  }, 60_000);
  afterAll(() => world?.drop());

  /** Writes them, and says what each statement was, with the bytes of the states that it has read and of its longest value. */
  async function write(bodies: Uint8Array[], options?: WriteOptions) {
    const statements: { name: string; read: number; longest: number }[] = [];
    const written = await world.database.transaction((tx) => {
      const counting: Transaction = {
        ...tx,
        async query<T>(query: Parameters<Transaction['query']>[0]) {
          const rows = await tx.query<T & { state?: string | null }>(query);
          const read = rows.reduce((sum, { state }) => sum + Buffer.byteLength(state ?? ''), 0);
          const lengths = (query.values ?? []).map((value) => (Buffer.isBuffer(value) ? value.length : 0));
          statements.push({ name: query.name ?? '', read, longest: Math.max(0, ...lengths) });
          return rows;
        },
      };
      return writeTraces(counting, bodies, options);
    });
    return { written, statements };
  }

  test('of parcels with long histories is written in slices', async () => {
    const stateBytes = 512 * 1_024;
    for (const number of numbers) await write(Array.from({ length: 50 }, (_, n) => large(number, n)));
    const { written, statements } = await write(
      numbers.map((number) => large(number, 60)),
      { stateBytes },
    );
    expect(written.rows).toHaveLength(numbers.length);
    const reads = statements.filter(({ read }) => read > 0);
    expect(Math.max(...reads.map(({ read }) => read))).toBeLessThanOrEqual(stateBytes);
    expect(reads.reduce((sum, { read }) => sum + read, 0)).toBeGreaterThan(numbers.length * 140_000);
    // A new state is as long as the one before.
    expect(Math.max(...statements.map(({ longest }) => longest))).toBeLessThan(stateBytes * 1.1);
    const rows = await world.database.query({
      text: `SELECT DISTINCT traces, revision, (state::json ->> 'latestAt')::bigint::text AS at FROM parcels`,
    });
    expect(rows).toEqual([{ traces: 51, revision: 2, at: `${Date.UTC(2026, 9, 1, 1)}` }]);
  });

  test('of parcels with few traces is one slice, whose states come with the lock', async () => {
    const few = (minutes: number) =>
      Array.from({ length: 100 }, (_, n) => Trace.encode(trace(`few${n}`, minutes, { receiveTime })).finish());
    await write(few(0));
    const { statements } = await write(few(1));
    expect(statements.map(({ name }) => name)).toEqual([
      'tracking-on-disk',
      'tracking-partitions',
      'tracking-lock',
      'tracking-insert',
      'tracking-parcels',
    ]);
  });
});
