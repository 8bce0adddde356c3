/**
 * Random commands about a few tickets, by two processes of today and one of version 0.2, which records no claims. Calls to the
 * log are lost, answered late, or sent twice.
 */
import { setImmediate as tick } from 'node:timers/promises';
import { metadataOf } from '@caudal/eventlog/codec.ts';
import { CaudalError, unavailable } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { openAggregates } from './aggregates.ts';
import { admit, ban, banOnce, formerlyAdmitOnce, gate, lookUp, openGate } from './testing/tickets.ts';
import type { Executed } from './types.ts';

const fate = fc.constantFrom('fine', 'fine', 'fine', 'late', 'never arrives', 'answer lost');
const step = fc.record({
  process: fc.nat(2),
  kind: fc.constantFrom<'admit' | 'ban' | 'ban once' | 'look'>('admit', 'admit', 'ban', 'ban once', 'look'),
  ticket: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
  pause: fc.nat(3),
});

/** Runs each call with the next fate of the list; after the last one all are fine. */
function fated(list: string[]) {
  let next = 0;
  return async (judge: () => void) => {
    const how = list[next++] ?? 'fine';
    await tick();
    if (how === 'late') for (let turns = 0; turns < 4; turns++) await tick();
    if (how === 'never arrives') throw unavailable('PostgreSQL');
    judge();
    if (how === 'answer lost') throw unavailable('PostgreSQL');
  };
}

test('each ticket is admitted once; answers tell what the log has at their version', async () => {
  const fates = fc.array(fate, { maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 50, size: 'max' }),
      fc.tuple(fates, fates, fates),
      async (steps, lists) => {
        const log = memoryLog({ domain: 'test' });
        await openAggregates({ log, clock: systemClock, ids: newId }).execute(openGate);
        const processes = lists.map((list) =>
          openAggregates({ log: log.connect(fated(list)), clock: systemClock, ids: newId }),
        );
        /** What the log says of a ticket at a version. */
        const at = (ticket: string, version: number) =>
          log.events
            .slice(0, version)
            .map((event) => gate.entity.decode(event))
            .findLast(({ value }) => 'ticket' in value && value.ticket === ticket)?.$case;

        const run = async ({ process, kind, ticket }: (typeof steps)[number], tag: string) => {
          const before = log.events.length;
          const aggregates = processes[process]!;
          const origin = { actor: 'caller', causationId: tag, correlationId: '', traceparent: '' };
          const outcome = await (async (): Promise<Executed<unknown>> => {
            if (process === 2) return aggregates.execute({ ...formerlyAdmitOnce(ticket), origin });
            if (kind === 'look') return aggregates.execute({ ...lookUp(ticket), origin });
            const commands = { admit, ban, 'ban once': banOnce };
            return aggregates.execute({ ...commands[kind](ticket), origin });
          })().catch((error: unknown) => error as CaudalError);
          const own = log.events.filter((event) => metadataOf(event).causationId === tag);
          if (outcome instanceof CaudalError) {
            if (outcome.code === 'UNAVAILABLE') return;
            expect(own).toEqual([]);
            const told = { TICKET_ADMITTED: 'admitted', TICKET_BANNED: 'banned' }[outcome.reason];
            const possible = log.events.slice(before).map((_, n) => at(ticket, before + n + 1));
            expect([at(ticket, before), ...possible]).toContain(told);
          } else if (own[0]) {
            expect(own.map(({ version }) => version)).toEqual([outcome.version]);
            if (gate.entity.decode(own[0]).$case === 'admitted')
              expect(at(ticket, outcome.version - 1)).toBeUndefined();
            else if (kind === 'ban once') expect(at(ticket, outcome.version - 1)).not.toBe('banned');
          } else if (kind === 'ban once' && process !== 2) expect(at(ticket, outcome.version)).toBe('banned');
          else expect(outcome.reply).toBe(at(ticket, outcome.version));
        };

        const running: Promise<void>[] = [];
        for (const [n, one] of steps.entries()) {
          for (let turns = 0; turns < one.pause; turns++) await tick();
          running.push(run(one, `tag-${n}`));
        }
        await Promise.all(running);
        const admitted = log.events
          .map((event) => gate.entity.decode(event))
          .flatMap(({ $case, value }) => ($case === 'admitted' ? [value.ticket] : []));
        expect(admitted).toHaveLength(new Set(admitted).size);
      },
    ),
    { numRuns: 200 },
  );
});
