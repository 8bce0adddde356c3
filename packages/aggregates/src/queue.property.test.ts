/**
 * Random commands of two processes on two streams, with locks when they contend. Calls to the log are lost, answered
 * late, or sent twice.
 */
import { setImmediate as tick } from 'node:timers/promises';
import { CaudalError, unavailable } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import { type MemoryLog, memoryLog } from '@caudal/testing/memory-log.ts';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { openAggregates } from './aggregates.ts';
import { add, type Balance, purse, tagOf, take } from './testing/purse.ts';
import { fairLocks } from './testing/stream-locks.ts';
import type { Executed } from './types.ts';

type Fate = 'fine' | 'late' | 'never arrives' | 'answer lost' | 'sent again';

const step = fc.record({
  process: fc.nat(1),
  stream: fc.constantFrom('a', 'b'),
  amount: fc.integer({ min: -5, max: 4 }).filter((amount) => amount !== 0),
  repeatable: fc.boolean(),
  /** Twice at the same time, as an impatient client does. */
  twice: fc.boolean(),
  pause: fc.nat(3),
});
const fates = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.constant<Fate>('fine') },
    { weight: 5, arbitrary: fc.constantFrom<Fate>('late', 'never arrives', 'answer lost', 'sent again') },
  ),
  { maxLength: 60 },
);

/** Runs each call with the next fate of the list; after the last one all are fine. */
function fated(list: Fate[]) {
  let next = 0;
  return async (judge: () => void) => {
    const fate = list[next++] ?? 'fine';
    await tick();
    if (fate === 'late') for (let turns = 0; turns < 4; turns++) await tick();
    if (fate === 'never arrives') throw unavailable('PostgreSQL');
    judge();
    if (fate === 'sent again') judge();
    if (fate === 'answer lost') throw unavailable('PostgreSQL');
  };
}

interface Attempt {
  stream: string;
  tag: string;
  repeatable: boolean;
  /** The latest acknowledged version of the stream when the command was given. */
  known: number;
  outcome: { done: Executed<Balance> } | { error: unknown };
}

/** The balance at a version of the stream. */
function balanceAt(log: MemoryLog, stream: string, version: number): number {
  return log.events
    .filter((event) => event.stream === purse.entity.stream(stream) && event.version <= version)
    .map((event) => purse.entity.decode(event))
    .reduce((state, event) => purse.evolve(state, event, new Date(0)), purse.initial).balance;
}

test('acknowledged commands are in the log once; answers and refusals are based on durable states', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 60 }), fates, fates, async (steps, here, there) => {
      const log = memoryLog({ domain: 'test', call: fated(here) });
      const { lockStream } = fairLocks();
      // Every reading of the clock advances it, so that races and locks fit into few steps.
      let now = 0;
      const elapsed = () => {
        now += 1;
        return now;
      };
      const processes = [log, log.connect(fated(there))].map((client) =>
        openAggregates({ log: { ...client, lockStream }, clock: systemClock, ids: newId, elapsed }),
      );
      const told: Record<string, number> = { a: 0, b: 0 };
      const attempts: Attempt[] = [];

      const run = async ({ process, stream, amount, repeatable }: (typeof steps)[number], tag: string) => {
        const options = { tag, requestId: repeatable ? tag : undefined };
        // A caller that may repeat does so until the outcome is known, each time at the other process.
        for (let attempt = 0; attempt < 100; attempt++) {
          const known = told[stream]!;
          const command = amount > 0 ? add(stream, amount, options) : take(stream, -amount, options);
          const outcome = await processes[(process + attempt) % 2]!.execute(command).then(
            (done) => ({ done }),
            (error: unknown) => ({ error }),
          );
          attempts.push({ stream, tag, repeatable, known, outcome });
          if ('done' in outcome) told[stream] = Math.max(told[stream]!, outcome.done.version);
          const code = 'error' in outcome && outcome.error instanceof CaudalError ? outcome.error.code : 'OK';
          if (!repeatable || (code !== 'UNAVAILABLE' && code !== 'ABORTED')) return;
        }
        throw new Error('The outcome stayed unknown.');
      };

      const running: Promise<void>[] = [];
      for (const [n, one] of steps.entries()) {
        for (let turns = 0; turns < one.pause; turns++) await tick();
        running.push(run(one, `tag-${n}`));
        if (one.twice && one.repeatable) running.push(run(one, `tag-${n}`));
      }
      await Promise.all(running);
      await Promise.all(processes.map((aggregates) => aggregates.drain()));

      const times = (tag: string) => log.events.filter((event) => tagOf(event) === tag).length;
      const acknowledged = new Set<string>();
      for (const { stream, tag, repeatable, known, outcome } of attempts) {
        if ('done' in outcome) {
          const { reply, version } = outcome.done;
          acknowledged.add(tag);
          expect(times(tag)).toBe(1);
          expect(tagOf(log.events.find((event) => event.stream.endsWith(stream) && event.version === version)!)).toBe(
            tag,
          );
          expect(reply).toEqual({ balance: balanceAt(log, stream, version), version });
        } else if (outcome.error instanceof CaudalError && outcome.error.code === 'FAILED_PRECONDITION') {
          const version = Number(outcome.error.metadata.version);
          expect(outcome.error.metadata.balance).toBe(String(balanceAt(log, stream, version)));
          // No command is refused because of a state that was outdated when the command was given.
          expect(version).toBeGreaterThanOrEqual(known);
        } else {
          expect(outcome.error).toMatchObject({ code: 'UNAVAILABLE' });
          expect(times(tag)).toBeLessThanOrEqual(1);
        }
        if (repeatable) expect(times(tag)).toBe(acknowledged.has(tag) ? 1 : times(tag));
      }
      // Repeatable commands were repeated until their outcome was known, so those in the log were acknowledged.
      for (const { tag, repeatable } of attempts) if (repeatable && times(tag) > 0) expect(acknowledged).toContain(tag);
      for (const stream of ['a', 'b'])
        for (let version = 0; version <= log.events.length; version++)
          expect(balanceAt(log, stream, version)).toBeGreaterThanOrEqual(0);
    }),
    { numRuns: 150 },
  );
});
