/**
 * Random units and commands of two processes on four streams, with locks when they contend. Calls to the log are lost, answered
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
import { move } from './testing/moves.ts';
import { add, type Balance, purse, tagOf, take } from './testing/purse.ts';
import { fairLocks } from './testing/stream-locks.ts';

type Fate = 'fine' | 'late' | 'never arrives' | 'answer lost' | 'sent again';

const names = ['a', 'b', 'c', 'd'];
const step = fc.record({
  process: fc.nat(1),
  /** One: money is added or taken. More: it moves from the first to the others. */
  purses: fc.oneof(
    fc.subarray(names, { minLength: 1, maxLength: 1 }),
    fc.shuffledSubarray(names, { minLength: 2, maxLength: 4 }),
  ),
  amount: fc.integer({ min: -5, max: 6 }).filter((amount) => amount !== 0),
  repeatable: fc.boolean(),
  /** Twice at the same time, as an impatient client does. */
  twice: fc.boolean(),
  pause: fc.nat(3),
});
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;
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

/** An answer, with the version and the balance of each stream. */
interface Answer {
  versions: number[];
  balances: Balance[];
  repeated: boolean;
}

interface Attempt {
  purses: string[];
  tag: string;
  repeatable: boolean;
  process: number;
  /** The latest acknowledged version of each stream when the command was given. */
  known: number[];
  outcome: Answer | { error: unknown };
}

function balanceAt(log: MemoryLog, name: string, version: number): number {
  return log.events
    .filter((event) => event.stream === purse.entity.stream(name) && event.version <= version)
    .map((event) => purse.entity.decode(event))
    .reduce((state, event) => purse.evolve(state, event, new Date(0)), purse.initial).balance;
}

function openProcesses(log: MemoryLog, here: Fate[], there: Fate[]) {
  const { lockStream } = fairLocks();
  // Every reading of the clock advances it, so that races and locks fit into few steps.
  let now = 0;
  const elapsed = () => {
    now += 1;
    return now;
  };
  return [log.connect(fated(here)), log.connect(fated(there))].map((client) =>
    openAggregates({ log: { ...client, lockStream }, clock: systemClock, ids: newId, elapsed }),
  );
}

type Process = ReturnType<typeof openProcesses>[number];

async function give(process: Process, { purses, amount, repeatable }: Step, tag: string): Promise<Answer> {
  const options = { tag, requestId: repeatable ? tag : undefined };
  const [name] = purses as [string];
  if (purses.length > 1) {
    const { reply, streams, repeated } = await process.executeUnit(move(purses, Math.abs(amount), options));
    const versions = purses.map((one) => streams.find(({ stream }) => stream === purse.entity.stream(one))!.version);
    return { versions, balances: reply, repeated };
  }
  const command = amount > 0 ? add(name, amount, options) : take(name, -amount, options);
  const { reply, version, repeated } = await process.execute(command);
  return { versions: [version], balances: [reply], repeated };
}

/** Runs the steps; a caller that may repeat does so until the outcome is known, each time at the other process. */
async function live(processes: Process[], steps: Step[]): Promise<Attempt[]> {
  const attempts: Attempt[] = [];
  const told: Record<string, number> = { a: 0, b: 0, c: 0, d: 0 };
  async function run(one: Step, tag: string): Promise<void> {
    for (let n = 0; n < 200; n++) {
      const process = (one.process + n) % 2;
      const { purses, repeatable } = one;
      const attempt: Attempt = {
        ...{ purses, tag, repeatable, process },
        known: purses.map((name) => told[name]!),
        outcome: { error: undefined },
      };
      attempts.push(attempt);
      attempt.outcome = await give(processes[process]!, one, tag).catch((error: unknown) => ({ error }));
      if (!('error' in attempt.outcome)) {
        const { versions } = attempt.outcome;
        purses.forEach((name, place) => {
          told[name] = Math.max(told[name]!, versions[place]!);
        });
        return;
      }
      const { error } = attempt.outcome;
      const code = error instanceof CaudalError ? error.code : 'UNKNOWN';
      if (!repeatable || (code !== 'UNAVAILABLE' && code !== 'ABORTED')) return;
    }
    throw new Error('The outcome stayed unknown.');
  }

  const running: Promise<void>[] = [];
  for (const [n, one] of steps.entries()) {
    for (let turns = 0; turns < one.pause; turns++) await tick();
    running.push(run(one, `tag-${n}`));
    if (one.twice && one.repeatable) running.push(run(one, `tag-${n}`));
  }
  await Promise.all(running);
  await Promise.all(processes.map((aggregates) => aggregates.drain()));
  return attempts;
}

/** Each unit is in the log whole and in one piece, or not at all. */
function checkWhole(log: MemoryLog, attempts: Attempt[]): void {
  for (const { tag, purses } of attempts) {
    const own = log.events.filter((event) => tagOf(event) === tag);
    if (own.length === 0) continue;
    expect(own.map(({ stream }) => stream)).toEqual(purses.map((name) => purse.entity.stream(name)));
    expect(own.at(-1)!.position - own[0]!.position).toBe(purses.length - 1);
  }
}

function checkAnswers(log: MemoryLog, attempts: Attempt[]): void {
  for (const { purses, tag, repeatable, known, outcome } of attempts) {
    const own = log.events.filter((event) => tagOf(event) === tag);
    if (!('error' in outcome)) {
      const { balances, versions, repeated } = outcome;
      expect(own).toHaveLength(purses.length);
      own.forEach(({ version }, place) => {
        const balance = balanceAt(log, purses[place]!, version);
        expect(balances[place]).toEqual({ balance, version });
        // Of a repeat, the log tells one version only; the others are those of now.
        if (repeated) expect(versions[place]).toBeGreaterThanOrEqual(version);
        else expect(versions[place]).toBe(version);
      });
    } else if (outcome.error instanceof CaudalError && outcome.error.code === 'FAILED_PRECONDITION') {
      const version = Number(outcome.error.metadata.version);
      expect(outcome.error.metadata.balance).toBe(String(balanceAt(log, purses[0]!, version)));
      // No command is refused because of a state that was outdated when the command was given.
      expect(version).toBeGreaterThanOrEqual(known[0]!);
    } else {
      expect(outcome.error).toMatchObject({ code: 'UNAVAILABLE' });
    }
    // Repeatable commands were repeated until their outcome was known, so those in the log were acknowledged.
    if (repeatable && own.length > 0)
      expect(attempts.some((other) => other.tag === tag && !('error' in other.outcome))).toBe(true);
  }
}

/**
 * Commands of a process on a stream land in the order in which they were given. Units may join their queues later: when their streams
 * have been read.
 */
function checkOrder(attempts: Attempt[]): void {
  for (const process of [0, 1])
    for (const name of names) {
      const versions = attempts.flatMap(({ outcome, purses, ...attempt }) => {
        const isOwn = attempt.process === process && purses.length === 1 && purses[0] === name;
        return isOwn && !('error' in outcome) && !outcome.repeated ? outcome.versions : [];
      });
      expect(versions).toEqual(versions.toSorted((a, b) => a - b));
    }
}

test('units land whole or not at all; answers are durable; commands keep their order', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 60, size: 'max' }),
      fates,
      fates,
      async (steps, here, there) => {
        const log = memoryLog({ domain: 'test' });
        const processes = openProcesses(log, here, there);
        const first = openAggregates({ log, clock: systemClock, ids: newId });
        await Promise.all(names.map((name) => first.execute(add(name, 10, { tag: 'first' }))));
        const attempts = await live(processes, steps);
        checkWhole(log, attempts);
        checkAnswers(log, attempts);
        checkOrder(attempts);
        for (const name of names)
          for (const { stream, version } of log.events)
            if (stream === purse.entity.stream(name)) expect(balanceAt(log, name, version)).toBeGreaterThanOrEqual(0);
      },
    ),
    { numRuns: 150 },
  );
}, 60_000);
