/** What a saga and a timer policy make of the events before their beginning (start-positions.ts). */
import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import { fulfilment, stock } from '@caudal/contract/entities.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { startCheckpoint } from '@caudal/messaging/checkpoints.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { seenBy } from '@caudal/testing/seen-by.ts';
import { expect, test } from '@jest/globals';
import { createSagaHandler } from './saga-handler.ts';
import { useDatabase } from './testing/postgres.ts';
import { confirmed, createWorld, delivered, recorded, testClock } from './testing/world.ts';
import { createTimerPolicy } from './timer-policy.ts';

describeWith(['postgres'], 'events before the beginning', () => {
  const db = useDatabase();
  const begin = (handler: string, domain: string, after: number) =>
    db.database.query({
      text: `INSERT INTO checkpoints (name, position) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET position = $2`,
      values: [startCheckpoint(handler, domain), after],
    });

  test('count as seen, and a saga reacts only to those behind it, by log', async () => {
    const { saga } = createWorld({ name: 'late' });
    const { clock } = testClock();
    const log = memoryLog({ domain: 'orders' });
    const aggregates = openAggregates({ log: log.connect(), clock, ids: newId });
    const { signal } = new AbortController();
    const handler = createSagaHandler({ saga, aggregates, database: db.database, clock, signal });
    const facts = (id: string) =>
      log.events
        .filter(({ stream }) => stream === fulfilment.stream(id))
        .map((event) => fulfilment.decode(event).$case);
    await begin(handler.name, 'orders', 5);
    expect(await handler.handle([{ ...confirmed('a', 1), position: 5 }])).toEqual([]);
    expect(facts('a')).toEqual([]);
    expect(await seenBy(handler, [confirmed('a', 1)])).toEqual([1]);
    await handler.handle([
      { ...delivered('b'), position: 5 },
      { ...confirmed('c', 1), position: 6 },
    ]);
    expect([facts('b'), facts('c')]).toEqual([['delivered'], ['started', 'reserved']]);
    // The log has lost its end, and goes on with others: no restart is needed to see them.
    await begin(handler.name, 'orders', 3);
    await handler.handle([{ ...confirmed('d', 1), position: 5 }]);
    expect(facts('d')).toEqual(['started', 'reserved']);
  });

  test('set no timers', async () => {
    const dueAt = new Date('2026-01-01T00:15:00Z');
    const { clock } = testClock();
    const policy = createTimerPolicy({
      name: 'late-policy',
      entity: stock,
      timers: { reserved: ({ value }) => ({ id: value.reservationId, dueAt: value.expireTime }) },
      fire: async () => undefined,
      database: db.database,
      clock,
    });
    const reserved = (version: number, reservationId: string) =>
      recorded(stock, 'P1', version, {
        $case: 'reserved',
        value: { reservationId, quantity: 1n, expireTime: dueAt, available: 4n },
      });
    await begin(policy.name, 'inventory', 7);
    await policy.handle([
      { ...reserved(1, 'old'), position: 7 },
      { ...reserved(2, 'new'), position: 8 },
    ]);
    expect((await db.timers(policy.name)).map(({ id }) => id)).toEqual(['new']);
  });
});
