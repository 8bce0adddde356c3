/** Any order of writes, repeats, archiving and putting back, each of which may die anywhere, gives the traces that were written, each once. */
import type { Trace } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { openArchive } from '@caudal/eventlog/archive/archive.ts';
import { uuidOf } from '@caudal/kernel/ids.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { testCall } from '@caudal/testing/call.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { traceId } from '../domain/trace.ts';
import { archiveNow, folderArchive, pagesOf, traceOf, write } from '../testing/old-traces.ts';
import { openWorld } from '../testing/world.ts';
import { traceOf as domainTrace } from '../trace-message.ts';
import { restoreTraces } from './restore-month.ts';

const parcels = ['a', 'b'];
const months = ['2022-01', '2022-02', '2022-03', '2022-04'];

/** Few times, words and ids, so that traces meet: fewer than the 50 of a parcel's row. */
const anyTrace = fc
  .record({
    parcel: fc.constantFrom(...parcels),
    month: fc.constantFrom(...months),
    day: fc.constantFrom('01', '28'),
    detail: fc.constantFrom('x', 'y'),
    eventId: fc.option(fc.constantFrom('E1', 'E2', 'E3'), { nil: '' }),
  })
  .map(({ parcel, month, day, detail, eventId }) => traceOf(parcel, `${month}-${day}T00:00:00Z`, { detail, eventId }));

type Operation =
  | { kind: 'write'; traces: Trace[] }
  | { kind: 'archive'; failAt: number }
  | { kind: 'restore'; month: string; failAt: number };

/** The transaction that fails; most often none gets so far. */
const failAt = fc.integer({ min: 1, max: 8 });
const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('write' as const),
      traces: fc.array(anyTrace, { minLength: 1, maxLength: 6 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('archive' as const), failAt }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('restore' as const), month: fc.constantFrom(...months), failAt }),
  },
);

/** Its transactions fail from the nth on: before they begin, or when all is done but the commit. */
function dying(database: Database, n: number): Database {
  let calls = 0;
  return {
    ...database,
    transaction: (work) =>
      database.transaction(async (tx) => {
        calls += 1;
        if (calls >= n && n % 2 === 0) throw new Error('killed');
        const result = await work(tx);
        if (calls >= n) throw new Error('killed');
        return result;
      }),
  };
}

const idOf = (message: Trace) => uuidOf(traceId(domainTrace(message)));
const unlessKilled = (work: Promise<unknown>) =>
  work.catch((error: Error) => {
    if (error.message !== 'killed') throw error;
  });

describeWith(['postgres'], 'traces that come, leave, and come back', () => {
  test('are what was written, each once', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: 12, maxLength: 20, size: 'max' }), async (operations) => {
        const target = await folderArchive();
        const world = await openWorld();
        try {
          const { database } = world;
          const archive = openArchive(target.store);
          const known = new Map<string, Trace>();
          let days = 0;
          for (const each of operations) {
            // Months wait for a while before they leave once more.
            days += 31;
            const now = new Date(Date.now() + days * 86_400_000);
            const died = each.kind === 'write' ? database : dying(database, each.failAt);
            if (each.kind === 'write') {
              const fresh = new Map(each.traces.toReversed().map((one) => [idOf(one), one]));
              for (const id of known.keys()) fresh.delete(id);
              expect(await write(world, each.traces)).toBe(fresh.size);
              for (const [id, one] of fresh) known.set(id, one);
            } else if (each.kind === 'archive') await unlessKilled(archiveNow(died, target.store, { now }));
            else {
              const signal = new AbortController().signal;
              await unlessKilled(restoreTraces({ database: died, archive, month: each.month, days: 1, signal }));
            }
            const reader = world.open({ archive: openArchive(target.store) });
            for (const parcel of parcels) {
              const own = [...known].filter(([, { trackingNumber }]) => trackingNumber === parcel);
              const sorted = own.sort(
                ([id, a], [otherId, b]) => b.happenTime!.getTime() - a.happenTime!.getTime() || (id < otherId ? 1 : -1),
              );
              if (own.length === 0) continue;
              const read = (await pagesOf(reader, parcel, 5)).flatMap(({ traces }) => traces);
              expect(read).toEqual(sorted.map(([, one]) => one));
              const request = { carrier: 'acme', trackingNumber: parcel, readMask: undefined };
              expect((await reader.queries.getParcel(request, testCall())).traceCount).toBe(own.length);
            }
          }
        } finally {
          await world.drop();
          await target.remove();
        }
      }),
      { numRuns: 6, endOnFailure: true },
    );
  }, 180_000);
});
