/** The log and its model in memory get the same appends: they must give the same results. */
import { newId } from '@caudal/kernel/ids.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { someCommand, someEvent, summary } from './testing/events.ts';
import { freshLog } from './testing/log.ts';
import type { Append, AppendResult, Claim, EventLog, StreamAppend } from './types.ts';

/** A part, without its names. */
interface Part {
  stream: number;
  /** The version that is expected, as its difference from the present one; 'must-exist', 'any'. */
  expected: number | 'must-exist' | 'any';
  events: number;
}

interface Asked {
  id: number;
  expected: Claim['expected'];
  kind: number | undefined;
}

interface Unit {
  parts: Part[];
  claims: Asked[];
  command: { key: number; content: number; isStored: boolean } | undefined;
}

interface Step {
  /** How far the clock moves on before it. */
  days: number;
  /** Appends that are made together. */
  units: Unit[];
}

const expected = fc.oneof(
  { weight: 6, arbitrary: fc.constant<Part['expected']>(0) },
  { weight: 1, arbitrary: fc.constantFrom<Part['expected']>(-1, 1, 'must-exist', 'any') },
);
const part: fc.Arbitrary<Part> = fc.record({ stream: fc.nat(3), expected, events: fc.constantFrom(1, 1, 2, 0) });
const asked: fc.Arbitrary<Asked> = fc.record({
  id: fc.nat(3),
  expected: fc.constantFrom<Claim['expected']>('absent', 'absent', 'any', 0, 1),
  kind: fc.option(fc.constantFrom(1, 2), { nil: undefined }),
});
const unit: fc.Arbitrary<Unit> = fc.record({
  parts: fc.uniqueArray(part, { minLength: 1, maxLength: 3, selector: ({ stream }) => stream }),
  claims: fc.uniqueArray(asked, { maxLength: 2, selector: ({ id }) => id }),
  command: fc.option(fc.record({ key: fc.nat(3), content: fc.nat({ max: 1 }), isStored: fc.boolean() }), {
    nil: undefined,
    freq: 3,
  }),
});
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({ days: fc.constantFrom(0, 0, 0, 0, 3, 8), units: fc.array(unit, { minLength: 1, maxLength: 4 }) }),
  { minLength: 4, maxLength: 10 },
);

describeWith(['postgres'], 'the log and its model', () => {
  let fresh: Awaited<ReturnType<typeof freshLog>>;
  let now = Date.now();
  let runs = 0;
  beforeAll(async () => {
    fresh = await freshLog('orders', { clock: () => new Date(now) });
  });
  afterAll(() => fresh.drop());

  async function moveClock(days: number): Promise<void> {
    now += days * 86_400_000 + 1;
    await fresh.database.query({
      text: `CREATE OR REPLACE FUNCTION log_clock() RETURNS timestamptz LANGUAGE sql VOLATILE AS
        $$ SELECT '${new Date(now).toISOString()}'::timestamptz $$`,
    });
  }

  /** An id of this time. */
  function timedId(): string {
    const time = now.toString(16).padStart(12, '0');
    return `${time.slice(0, 8)}-${time.slice(8)}${newId().slice(13)}`;
  }

  /** What both must agree on. Of several appends in a call only the kinds: versions are those after the call. */
  function comparable(result: AppendResult, isAlone: boolean): unknown {
    if (result.kind === 'appended') return [result.kind, result.version, result.also];
    if (result.kind !== 'conflict') return result;
    if (!isAlone) return result.kind;
    return [result, ...(result.also ?? [])].map(({ version, missing }) => [version, summary(missing)]);
  }

  test('give the same results, and hold the same events', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (plan) => {
        const run = runs++;
        const model = memoryLog({ domain: 'orders', clock: () => new Date(now) });
        const versions = new Map<string, number>();
        await moveClock(0);
        const ids = [timedId(), timedId(), `R-${run}`, newId()];
        const keys = [0, 1, 2, 3].map(() => newId());
        let events = 0;

        const toAppend = ({ parts, claims, command }: Unit, ahead: Map<string, number>): Append => {
          const [first, ...also] = parts.map((one): StreamAppend => {
            const stream = `orders.order/${run}-${one.stream}`;
            const version = (versions.get(stream) ?? 0) + (ahead.get(stream) ?? 0);
            ahead.set(stream, (ahead.get(stream) ?? 0) + one.events);
            return {
              stream,
              expected: typeof one.expected === 'number' ? Math.max(0, version + one.expected) : one.expected,
              events: Array.from({ length: one.events }, () => someEvent(`${events++}`)),
            };
          });
          return {
            ...first!,
            ...(also.length > 0 && { also }),
            claims: claims.map(({ id, expected: generation, kind }) => ({
              ...{ scope: `${run}`, id: ids[id]!, days: 7, expected: generation },
              ...(kind !== undefined && { record: { kind, outcome: Buffer.from(`${kind}`) } }),
            })),
            ...(command && {
              command: {
                ...{ key: keys[command.key]!, hash: someCommand(`${command.content}`).hash, madeAt: now },
                ...(command.isStored && { reply: Buffer.from(`reply ${command.content}`) }),
              },
            }),
          };
        };

        const started = now;
        for (const { days, units } of plan) {
          // Commands of the model are never forgotten, those of the log after 30 days.
          if (days > 0 && now + days * 86_400_000 < started + 25 * 86_400_000) await moveClock(days);
          const ahead = new Map<string, number>();
          const appends = units.map((one) => toAppend(one, ahead));
          for (const append of appends) if (append.command) append.command.madeAt = started;
          const together = (log: EventLog) => Promise.all(appends.map((append) => log.append(append)));
          const [real, modelled] = [await together(fresh.log), await together(model)];
          const isAlone = appends.length === 1;
          expect(real.map((result) => comparable(result, isAlone))).toEqual(
            modelled.map((result) => comparable(result, isAlone)),
          );
          for (const { stream } of appends.flatMap((append) => [append, ...(append.also ?? [])]))
            versions.set(stream, (await model.readStreams([{ stream, afterVersion: 0 }])).length);
        }
        const cursors = [0, 1, 2, 3].map((n) => ({ stream: `orders.order/${run}-${n}`, afterVersion: 0 }));
        expect(summary(await fresh.log.readStreams(cursors))).toEqual(summary(await model.readStreams(cursors)));
      }),
      { numRuns: 60, endOnFailure: true },
    );
  }, 120_000);
});
