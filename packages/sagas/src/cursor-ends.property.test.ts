/**
 * Events of several streams, delivered in any order, lost, delivered again and late; some fail for a while, and are redriven;
 * between that cursors end: each event is handled exactly once, and in the end no cursor is left.
 */
import { type EventOf, order } from '@caudal/contract/entities.ts';
import { newEvent } from '@caudal/eventlog/codec.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { sweepCheckpoint } from '@caudal/messaging/checkpoints.ts';
import { redrive } from '@caudal/messaging/dead-letters/redrive.ts';
import { settler } from '@caudal/messaging/subscription/settle.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { seenBy } from '@caudal/testing/seen-by.ts';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { endCursors } from './cursor-ends.ts';
import { useDatabase } from './testing/postgres.ts';
import { testClock } from './testing/world.ts';
import { createTimerPolicy } from './timer-policy.ts';

type Doing =
  | { kind: 'append'; stream: number; count: number }
  | { kind: 'deliver'; picks: number[] }
  | { kind: 'break'; pick: number }
  | { kind: 'sweep' | 'end' | 'redrive' };

const doings = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('append' as const),
        stream: fc.nat(3),
        count: fc.integer({ min: 1, max: 45 }),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({ kind: fc.constant('deliver' as const), picks: fc.array(fc.nat(), { maxLength: 6 }) }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('break' as const), pick: fc.nat() }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('sweep' as const, 'redrive' as const) }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('end' as const) }) },
  ),
  { minLength: 10, maxLength: 40 },
);

const later = () => new Date(Date.now() + 48 * 3_600_000);

describeWith(['postgres'], 'ends of cursors, whatever happens', () => {
  const db = useDatabase();
  let lives = 0;

  async function live(plan: Doing[]): Promise<void> {
    const log = memoryLog({ domain: 'orders' });
    const logs = new Map([['orders', log.connect()]]);
    const { signal } = new AbortController();
    const broken = new Set<string>();
    const handled = new Map<string, number>();
    const keyOf = ({ stream, version }: { stream: string; version: number }) => `${stream}@${version}`;
    const handler = createTimerPolicy<EventOf<typeof order>>({
      name: `ends${lives++}`,
      entity: order,
      timers: {
        shipped(_event, observed) {
          const key = keyOf(observed);
          if (broken.has(key)) throw new Error('broken');
          handled.set(key, (handled.get(key) ?? 0) + 1);
          return { id: observed.id, dueAt: undefined };
        },
      },
      fire: async () => undefined,
      database: db.database,
      clock: testClock().clock,
    });
    const retry = { times: 0, firstMs: 1, maxMs: 1 };
    const settle = settler({ handler, logs, database: db.database, retry, pause: retry, signal });

    async function sweep(): Promise<void> {
      const name = sweepCheckpoint(handler.name, 'orders');
      const [row] = await db.database.query<{ position: number }>({
        text: 'SELECT position FROM checkpoints WHERE name = $1',
        values: [name],
      });
      const { heads, position } = await logs.get('orders')!.heads(row?.position ?? 0, { minAgeMs: 0 });
      const ends = heads.map((head) => log.events[head.position - 1]!);
      const seen = await seenBy(handler, ends);
      const behind = ends.filter(({ version }, index) => seen[index]! < version);
      if (behind.length > 0) await settle(behind);
      await db.database.query({
        text: `INSERT INTO checkpoints (name, position) VALUES ($1, $2)
          ON CONFLICT (name) DO UPDATE SET position = excluded.position`,
        values: [name, position],
      });
    }
    const end = () => endCursors({ database: db.database, handler, logs, now: later(), signal });
    async function redriveAll(): Promise<void> {
      for await (const _ of redrive({ handler, logs, database: db.database }));
    }

    async function append(stream: number, count: number): Promise<void> {
      const origin = { actor: '', causationId: '', correlationId: '', traceparent: '' };
      const event = { $case: 'shipped', value: { customerId: 'c' } } as const;
      const events = Array.from({ length: count }, () => newEvent({ entity: order, event, origin, now: new Date() }));
      await logs.get('orders')!.append({ stream: order.stream(`${stream}`), expected: 'any', events });
    }

    for (const doing of plan) {
      if (doing.kind === 'append') await append(doing.stream, doing.count);
      else if (doing.kind === 'deliver') {
        const picked = doing.picks.map((pick) => log.events[pick % log.events.length]).filter((event) => event);
        const batch = picked as RecordedEvent[];
        if (batch.length > 0) await settle([...batch].sort((one, other) => one.version - other.version));
      } else if (doing.kind === 'break') {
        const event = log.events[doing.pick % Math.max(1, log.events.length)];
        // What was handled does not break.
        if (event && !handled.has(keyOf(event))) broken.add(keyOf(event));
      } else if (doing.kind === 'sweep') await sweep();
      else if (doing.kind === 'end') await end();
      else {
        broken.clear();
        await redriveAll();
      }
    }
    broken.clear();
    await redriveAll();
    // Cursors that late duplicates have made again end when the floor moves on.
    await append(9, 1);
    await sweep();
    expect(handled).toEqual(new Map(log.events.map((event) => [keyOf(event), 1])));
    for (let round = 0; round < 3; round++) await end();
    const left = 'SELECT stream FROM handler_cursors WHERE handler = $1';
    expect(await db.database.query({ text: left, values: [handler.name] })).toEqual([]);
    // Late duplicates of everything.
    for (const event of log.events) await settle([event]);
    expect(new Set(handled.values())).toEqual(new Set([1]));
  }

  test('each event is handled once, and no cursor is left', async () => {
    await fc.assert(fc.asyncProperty(doings, live), { numRuns: 25 });
  }, 300_000);
});
