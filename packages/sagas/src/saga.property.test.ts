/**
 * Events in any order, some of them many times, handled by workers that die at any moment, two at a time, with patience
 * or without, and commands that fail before or after they are done: every saga ends as if each event was delivered
 * once.
 */
import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import type { Aggregates } from '@caudal/aggregates/types.ts';
import { fulfilment } from '@caudal/contract/entities.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { unavailable } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { sleep } from '@caudal/kernel/time.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { seenBy } from '@caudal/testing/seen-by.ts';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { takeDueTimers, writeCursors } from './cursor-store.ts';
import { createSagaHandler } from './saga-handler.ts';
import { useDatabase } from './testing/postgres.ts';
import { confirmed, createWorld, delivered, shipped, testClock } from './testing/world.ts';

class Crash extends Error {}

const WAIT_MS = 60_000;

/** One delivery, or one firing of timers, by a worker that dies after so many calls to log, database or commands. */
interface Turn {
  /** Which events are delivered; none: the timers fire. */
  picks: number[];
  /** Undefined: it does not die. */
  diesAfter: number | undefined;
  /** Begins while the turn before is still running. */
  beside: boolean;
  passMs: number;
}

const turns = fc.array(
  fc.record<Turn>({
    picks: fc.array(fc.nat(), { maxLength: 8 }),
    diesAfter: fc.option(fc.nat(8), { nil: undefined }),
    beside: fc.boolean(),
    passMs: fc.constantFrom(0, 1, 500, 30_000, 90_000),
  }),
  { minLength: 5, maxLength: 40 },
);

/** `failures[n]`: how the n-th command ends. */
const lives = fc.record({
  turns,
  failures: fc.array(fc.constantFrom('none', 'before', 'after'), { maxLength: 30 }),
  /** Without patience every step is slow. */
  patienceMs: fc.constantFrom(0, 1000),
});

describeWith(['postgres'], 'a saga, whatever happens', () => {
  const db = useDatabase();
  let count = 0;

  async function live(turns: Turn[], failures: ('none' | 'before' | 'after')[], patienceMs: number) {
    const ids = ['a', 'b', 'c'];
    const world = createWorld({ name: `life${count++}`, waitMs: WAIT_MS });
    const log = memoryLog({ domain: 'orders' });
    const { clock, pass } = testClock();
    const run = world.saga.run;
    const unreliable: typeof run = async (step, state, context) => {
      const failure = failures.shift();
      if (patienceMs === 0) await sleep(3);
      if (failure === 'before') throw unavailable('inventory', undefined, 0);
      const news = await run(step, state, context);
      if (failure === 'after') throw unavailable('inventory', undefined, 0);
      return news;
    };

    /** A worker; each call of log or database may be its last, before or after it was done. */
    function worker(diesAfter = Number.POSITIVE_INFINITY) {
      let calls = 0;
      const mortal = async <T>(work: () => Promise<T>): Promise<T> => {
        if (calls >= diesAfter) throw new Crash();
        calls += 1;
        const result = await work();
        calls += 1;
        if (calls > diesAfter) throw new Crash();
        return result;
      };
      const living = openAggregates({ log: log.connect(), clock, ids: newId });
      const aggregates: Aggregates = {
        ...living,
        execute: (command) => mortal(() => living.execute(command)),
        load: (decider, id) => mortal(() => living.load(decider, id)),
      };
      const database: Database = { ...db.database, query: (statement) => mortal(() => db.database.query(statement)) };
      const handler = createSagaHandler({
        saga: { ...world.saga, run: unreliable },
        aggregates,
        database,
        clock,
        signal: new AbortController().signal,
        patienceMs,
      });
      const fireDue = async () => {
        const handlers = [handler.name];
        const due = await takeDueTimers(database, { handlers, now: clock(), leaseMs: 60_000, limit: 10 });
        for (const timer of due) {
          const next = await handler.fire(timer);
          await writeCursors(database, handler.name, new Map(), [{ id: timer.id, ...next }]);
        }
      };
      return { handler, fireDue };
    }

    const streams = ids.flatMap((id) => [
      [confirmed(id, 1), shipped(id, 2), confirmed(id, 3)],
      [delivered(id, 1), delivered(id, 2)],
    ]);
    const all = streams.flat();
    const inOrder = (events: RecordedEvent[]) => [...new Set(events)].sort((one, other) => one.version - other.version);

    let before: Promise<unknown> = Promise.resolve();
    for (const { picks, diesAfter, beside, passMs } of turns) {
      pass(passMs);
      if (!beside) await before;
      const { handler, fireDue } = worker(diesAfter);
      const events = inOrder(picks.map((pick) => all[pick % all.length]!));
      const work = (events.length > 0 ? handler.handle(events) : fireDue()).catch((error) => {
        if (!(error instanceof Crash)) throw error;
      });
      before = Promise.all([before, work]);
    }
    await before;

    // Lost events are delivered again by reconciliation, and steps by timers.
    failures.length = 0;
    const { handler, fireDue } = worker();
    expect(await handler.handle(inOrder(all))).toEqual([]);
    await handler.settled();
    for (let round = 0; round < 10 && (await db.timers(handler.name)).length > 0; round++) {
      pass(WAIT_MS);
      await fireDue();
    }
    return {
      facts: ids.map((id) =>
        log.events
          .filter(({ stream }) => stream === fulfilment.stream(id))
          .map((event) => fulfilment.decode(event).$case)
          .sort(),
      ),
      effects: [...world.effects].sort(),
      seen: await seenBy(
        handler,
        streams.map((stream) => stream.at(-1)!),
      ),
      timers: await db.timers(handler.name),
    };
  }

  test('ends as if each event was delivered once', async () => {
    await fc.assert(
      fc.asyncProperty(lives, async ({ turns, failures, patienceMs }) => {
        const { facts, effects, seen, timers } = await live(turns, [...failures], patienceMs);
        const once = ['committed', 'delivered', 'orderMarked', 'reserved', 'started'];
        expect(facts).toEqual([once, once, once]);
        expect(effects).toEqual(
          ['commit', 'mark', 'reserve'].flatMap((step) => ['a', 'b', 'c'].map((id) => `${step} ${id}`)),
        );
        expect(seen).toEqual([3, 2, 3, 2, 3, 2]);
        expect(timers).toEqual([]);
      }),
      { numRuns: 40 },
    );
  }, 60_000);
});
