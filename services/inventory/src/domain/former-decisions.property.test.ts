/**
 * The decisions of today, with claims, against those of version 0.2, whose state remembered what has ended; and both versions
 * at once on one product, as during a rolling update.
 */
import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import { noReply } from '@caudal/aggregates/no-reply.ts';
import type { Aggregates, Executed } from '@caudal/aggregates/types.ts';
import { stock } from '@caudal/contract/entities.ts';
import { metadataOf } from '@caudal/eventlog/codec.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { type MemoryLog, memoryLog } from '@caudal/testing/memory-log.ts';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type FormerStock, formerStockDecider } from '../testing/former-stock.ts';
import { anyCommand, decideFormerly, decideToday, type StockCommand } from '../testing/stock-commands.ts';
import { type StockEvent, stockDecider } from './stock.ts';
import { createStockItem } from './stock-item.ts';

type Answer = { events: StockEvent[] } | { refused: string };

/** The event as version 0.2 would have written it. */
function formerForm(event: StockEvent): StockEvent {
  if (event.$case !== 'returned') return event;
  return { ...event, value: { ...event.value, committed: undefined, out: undefined } };
}

function answerOf(decide: () => StockEvent[]): Answer {
  try {
    return { events: decide() };
  } catch (error) {
    if (error instanceof CaudalError) return { refused: error.reason };
    throw error;
  }
}

const id = 'P1';
const shared = (tag: string) => ({
  ...{ id, reply: () => undefined, replyCodec: noReply },
  origin: { actor: 'test', causationId: tag, correlationId: '', traceparent: '' },
});

/** A process of today, or of 0.2: it knows no claims, so it records none. */
const today = (aggregates: Aggregates, input: StockCommand, tag: string) =>
  aggregates.execute({
    ...shared(tag),
    decider: stockDecider,
    decide: (state, context) => decideToday(state, context, input),
  });
const formerly = (aggregates: Aggregates, input: StockCommand, tag: string) =>
  aggregates.execute({
    ...shared(tag),
    decider: formerStockDecider,
    decide: (state, context) => decideFormerly(state, context, input),
  });

/** The log as version 0.2 sees it: a function that returns the state at each version so far. */
function formerStates(log: MemoryLog): () => FormerStock[] {
  const states = [formerStockDecider.initial];
  return () => {
    for (const event of log.events.slice(states.length - 1)) {
      const at = new Date(Number(metadataOf(event).occurredMillis));
      states.push(formerStockDecider.evolve(states.at(-1)!, stock.decode(event), at));
    }
    return states;
  };
}

/** When something that the product remembers ends. */
function endsOf(log: MemoryLog): number[] {
  return log.events.flatMap((event) => {
    const at = Number(metadataOf(event).occurredMillis);
    return [7, 30].map((days) => at + days * 86_400_000);
  });
}

/** Time passes: some seconds, or until just before, at or after the end of something that is remembered. */
const pause = fc.oneof(
  { weight: 3, arbitrary: fc.record({ seconds: fc.nat(50) }) },
  { weight: 1, arbitrary: fc.record({ end: fc.nat(20), offset: fc.constantFrom(-1, 0, 1) }) },
);

function later(now: number, log: MemoryLog, passes: typeof pause extends fc.Arbitrary<infer P> ? P : never): number {
  if ('seconds' in passes) return now + passes.seconds * 1_000;
  const ends = endsOf(log).filter((end) => end > now + 1);
  return ends.length === 0 ? now : ends[passes.end % ends.length]! + passes.offset;
}

async function openProduct() {
  const time = { now: Date.UTC(2026, 0, 1) };
  const clock = () => new Date(time.now);
  const log = memoryLog({ domain: 'inventory', clock });
  const open = () => openAggregates({ log: log.connect(), clock, ids: newId });
  await open().execute({
    ...shared('created'),
    decider: stockDecider,
    decide: (state) => createStockItem(state, { productId: id, kind: 'standard', policy: {}, quantity: 12n }),
  });
  return { time, log, open, states: formerStates(log) };
}

test('one after the other, commands get the answers of version 0.2, up to the millisecond in which a claim ends', async () => {
  const steps = fc.array(fc.record({ input: anyCommand, pause, restart: fc.nat(9) }), { maxLength: 60, size: 'max' });
  await fc.assert(
    fc.asyncProperty(steps, async (given) => {
      const { time, log, open, states } = await openProduct();
      let aggregates = open();
      for (const { input, pause: passes, restart } of given) {
        time.now = later(time.now, log, passes);
        if (restart === 0) aggregates = open();
        const before = log.events.length;
        const expected = answerOf(() =>
          decideFormerly(states().at(-1)!, { now: new Date(time.now), version: before }, input),
        );
        const outcome = await today(aggregates, input, '').catch((error: unknown) => error as CaudalError);
        const actual: Answer =
          'reason' in outcome
            ? { refused: outcome.reason }
            : { events: log.events.slice(before).map((event) => formerForm(stock.decode(event))) };
        expect(actual).toEqual(expected);
      }
    }),
    { numRuns: 100 },
  );
});

test('at the same time, processes of both versions give the answers of version 0.2 on the state that they decided on', async () => {
  const call = fc.record({ input: anyCommand, by: fc.nat(2), turns: fc.nat(2) });
  const rounds = fc.array(fc.record({ calls: fc.array(call, { minLength: 1, maxLength: 8 }), pause }), {
    maxLength: 12,
    size: 'max',
  });
  await fc.assert(
    fc.asyncProperty(rounds, async (given) => {
      const { time, log, open, states } = await openProduct();
      const processes = [open(), open(), open()];
      let made = 0;
      for (const { calls, pause: passes } of given) {
        time.now = later(time.now, log, passes);
        const context = { now: new Date(time.now), version: 1 };
        const first = log.events.length;
        const results = await Promise.all(
          calls.map(async ({ input, by, turns }) => {
            for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate);
            const tag = `call-${made++}`;
            const run = by === 2 ? formerly : today;
            const outcome = await run(processes[by]!, input, tag).catch((error: unknown) => error as CaudalError);
            return { input, tag, outcome };
          }),
        );
        const answer = (version: number, input: StockCommand) =>
          answerOf(() => decideFormerly(states()[version]!, context, input));
        for (const { input, tag, outcome } of results) {
          const own = log.events.filter((event) => metadataOf(event).causationId === tag);
          if ('reason' in outcome) {
            const possible = states()
              .slice(first)
              .map((_, n) => answer(first + n, input));
            expect(possible).toContainEqual({ refused: outcome.reason });
            expect(own).toEqual([]);
          } else {
            const version = own.length > 0 ? own[0]!.version - 1 : (outcome as Executed<unknown>).version;
            expect(answer(version, input)).toEqual({ events: own.map((event) => formerForm(stock.decode(event))) });
          }
        }
      }
    }),
    { numRuns: 100 },
  );
});
