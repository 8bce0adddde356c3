/** Views of a log that has lost its end: see docs/fail-over.md, Views. */
import { type EventOf, order } from '@caudal/contract/entities.ts';
import { newEvent } from '@caudal/eventlog/codec.ts';
import { presentOf } from '@caudal/eventlog/epochs.ts';
import { loseEnd } from '@caudal/eventlog/testing/fail-over.ts';
import { freshLog } from '@caudal/eventlog/testing/log.ts';
import type { EventLog, LogReader } from '@caudal/eventlog/types.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import { position } from '@caudal/postgres/checkpoint.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { migrations } from '@caudal/postgres/migrations.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { until } from '@caudal/testing/until.ts';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { readYourWrites } from '../queries/read-your-writes.ts';
import { openViews } from '../queries/views.ts';
import { confirmed, created, type Details, details } from '../testing/projections.ts';
import { type TestStore, testStores } from '../testing/stores.ts';
import { verify } from '../verify/verify.ts';
import { createHandler } from './generation.ts';
import { currentGenerations, readGenerations } from './generations.ts';
import { watchLosses } from './losses.ts';
import { ensureBuilt, type RebuildOptions, rebuild } from './rebuild.ts';

type OrderEvent = EventOf<typeof order>;
const origin = { actor: 'test', causationId: '', correlationId: '', traceparent: '' };

async function append(log: EventLog, expected: number, ...events: OrderEvent[]): Promise<void> {
  const made = events.map((event) => newEvent({ entity: order, event, origin, now: new Date() }));
  expect(await log.append({ stream: order.stream('1'), expected, events: made })).toMatchObject({ kind: 'appended' });
}

for (const name of ['mongodb', 'postgres', 'elasticsearch'] as const) {
  describeWith(['postgres', name], `views in ${name} of a log that has lost its end`, () => {
    let place: TestStore;
    let fresh: Awaited<ReturnType<typeof freshLog>>;
    beforeAll(async () => {
      place = await testStores[name]();
    });
    beforeEach(async () => {
      fresh = await freshLog();
      await migrate({ url: fresh.url, schema: 'orders', sets: [migrations] });
    });
    afterEach(() => fresh.drop());
    afterAll(() => place.remove());

    test('are found, also if others have written to the same versions since, and are built anew, once', async () => {
      const { store } = place;
      const projection = details;
      const logs = new Map<string, LogReader>([
        ['orders', fresh.log],
        ['payments', memoryLog({ domain: 'payments' })],
      ]);
      const options: RebuildOptions<Details> = {
        ...{ projection, store, logs },
        bind: async () => {},
        filled: async () => {},
        release: async () => {},
      };
      await ensureBuilt(options);
      const handler = createHandler({ projection, store, generation: 1 });
      const handleAll = async () => handler.handle((await fresh.log.readLog(0)).events);
      await append(fresh.log, 0, created('ada'));
      await append(fresh.log, 1, { $case: 'rejected', value: { reason: 'lost', customerId: 'ada' } });
      await handleAll();
      const views = openViews({ projection, store, cacheMs: 100 });
      expect((await views.get('1'))?.view.status).toBe('rejected');

      await loseEnd(fresh.database, 1);
      await fresh.log.readLog(0);
      await append(fresh.log, 1, confirmed, confirmed);
      await append(fresh.log, 3, { $case: 'cancelled', value: { customerId: 'ada' } });
      // Version 2 is dropped as a repeat, the others are taken.
      await handleAll();
      expect((await views.get('1'))?.streams).toEqual({ 'orders.order/1': 4 });
      const generations = currentGenerations({ projection, store, clock: systemClock });
      const { number: epoch } = presentOf(fresh.log.epochs!());
      // In a process that reads the log for nothing else.
      const { log: ofQueries } = fresh.open();
      const logsOfQueries = new Map<string, LogReader>([...logs, ['orders', ofQueries]]);
      const seen = (write: { version: number; epoch?: number }) =>
        readYourWrites({ projection, store, generations, logs: logsOfQueries }).seen(
          [{ stream: 'orders.order/1', ...write }],
          { timeoutMs: 200 },
        );
      const lost = { code: 'FAILED_PRECONDITION', reason: 'WRITE_LOST' };
      // Others have written to its version since; it was kept; nobody has.
      await expect(seen({ version: 2 })).rejects.toMatchObject(lost);
      await seen({ version: 1 });
      await expect(seen({ version: 9 })).rejects.toMatchObject(lost);
      // Tokens of the present epoch.
      await seen({ version: 2, epoch });
      await expect(seen({ version: 9, epoch })).rejects.toMatchObject({ reason: 'NOT_YET_VISIBLE' });
      const wrong = await verify({ projection, store, logs, settleMs: 0 });
      expect(wrong.findings).toMatchObject([
        { kind: 'differing', detail: 'has events that the log of orders has lost' },
      ]);

      let rebuilds = 0;
      const watching = () =>
        watchLosses({
          ...{ projection, store, logs, database: fresh.database, everyMs: 50, againAfterMs: 100 },
          rebuild: () => {
            rebuilds++;
            return rebuild({ ...options, keepMs: 1_000 });
          },
        });
      const first = watching();
      const { number } = presentOf(fresh.log.epochs!());
      const isSearched = async () => (await position(fresh.database, 'losses:test-details.v1:orders')) === number;
      await until(isSearched, 60_000);
      await first.stop();
      expect(rebuilds).toBe(1);
      expect((await readGenerations(projection, store))!.last).toBe(2);
      const right = await verify({ projection, store, logs, settleMs: 0 });
      expect(right.findings).toEqual([]);

      const second = watching();
      await new Promise((resolve) => setTimeout(resolve, 500));
      await second.stop();
      expect(rebuilds).toBe(1);
    }, 120_000);
  });
}
