import { setImmediate as tick } from 'node:timers/promises';
import type { Append, EventLog } from '@caudal/eventlog/types.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { openAggregates } from './aggregates.ts';
import { decodeState } from './state-data.ts';
import { admit, ban, banOnce, formerGate, formerlyAdmit, gate, lookUp, openGate } from './testing/tickets.ts';

const stream = 'test.gate/g';
const dayMs = 86_400_000;

describe('claims of a stream', () => {
  let now: number;
  let sent: Append[];
  let log: ReturnType<typeof memoryLog>;
  beforeEach(() => {
    now = Date.UTC(2026, 0, 1);
    sent = [];
    log = memoryLog({
      domain: 'test',
      clock: () => new Date(now),
      async call(judge, appends) {
        await tick();
        sent.push(...appends);
        judge();
      },
    });
  });
  /** Another process. */
  const open = (client: EventLog = log) => openAggregates({ log: client, clock: () => new Date(now), ids: newId });

  test('an id that is unknown counts as absent, and the append checks that; the next command gets its outcome', async () => {
    const [here, there] = [open(), open()];
    await here.execute(openGate);
    await here.execute(admit('a'));
    expect(sent.at(-1)!.claims).toMatchObject([
      { scope: stream, id: 'a', days: 2, expected: 'absent', record: { kind: 1 } },
    ]);
    await expect(there.execute(admit('a'))).rejects.toMatchObject({ reason: 'TICKET_ADMITTED' });
    expect(await there.execute(lookUp('a'))).toMatchObject({ reply: 'admitted', version: 2 });
    expect(log.events).toHaveLength(2);
    expect((await there.load(gate, 'g')).state).toEqual({ admitted: 1 });
  });

  test('a refusal is given only if the id is absent in the log, too', async () => {
    const here = open();
    await here.execute(openGate);
    await expect(here.execute(lookUp('a'))).rejects.toMatchObject({ reason: 'TICKET_UNKNOWN' });
    expect(sent.at(-1)).toMatchObject({ events: [], claims: [{ id: 'a', expected: 'absent' }] });
    await here.execute(admit('a'));
    expect((await here.execute(lookUp('a'))).reply).toBe('admitted');
    // Decided again on what the log has, which is checked as well.
    expect(sent.at(-1)).toMatchObject({ events: [], claims: [{ id: 'a', expected: 0 }] });
  });

  test('a claim that is replaced is known by its new outcome, for as long as that is kept', async () => {
    const here = open();
    await here.execute(openGate);
    await here.execute(admit('a'));
    await here.execute(ban('a'));
    expect((await here.execute(lookUp('a'))).reply).toBe('banned');
    now += 20 * dayMs - 1;
    expect((await here.execute(lookUp('a'))).reply).toBe('banned');
    now += 1;
    await expect(here.execute(lookUp('a'))).rejects.toMatchObject({ reason: 'TICKET_UNKNOWN' });
    await here.execute(admit('a'));
  });

  test('commands see the claims of those in flight before them, and share their call', async () => {
    const here = open();
    await here.execute(openGate);
    const calls = log.calls;
    const results = await Promise.allSettled([
      here.execute(admit('a')),
      here.execute(admit('b')),
      here.execute(admit('a')),
      here.execute(lookUp('b')),
    ]);
    expect(results).toMatchObject([
      { status: 'fulfilled' },
      { status: 'fulfilled' },
      { status: 'rejected', reason: { reason: 'TICKET_ADMITTED' } },
      { status: 'fulfilled', value: { reply: 'admitted' } },
    ]);
    expect(log.calls).toBe(calls + 1);
    // What the stream's version says already is not asked.
    expect(sent.slice(-2).map(({ claims }) => claims)).toEqual([undefined, undefined]);
  });

  test('commands behind one whose id was not absent are decided again', async () => {
    const here = open();
    await here.execute(openGate);
    await open().execute(admit('a'));
    await here.load(gate, 'g');
    const [again, other] = await Promise.allSettled([here.execute(admit('a')), here.execute(admit('b'))]);
    expect(again).toMatchObject({ status: 'rejected', reason: { reason: 'TICKET_ADMITTED' } });
    expect(other).toMatchObject({ status: 'fulfilled', value: { version: 3 } });
  });

  test('an id that is probably known is looked up first, so that nothing behind the command is decided again', async () => {
    const here = open();
    await here.execute(openGate);
    await open().execute(admit('a'));
    await here.load(gate, 'g');
    sent = [];
    let decisions = 0;
    const other = admit('b');
    const [banned, unknown, counted] = await Promise.all([
      here.execute(banOnce('a')),
      here.execute(banOnce('c')),
      here.execute({
        ...other,
        decide(...given) {
          decisions++;
          return other.decide(...given);
        },
      }),
    ]);
    expect([counted, banned, unknown].map(({ version }) => version)).toEqual([3, 4, 5]);
    expect(decisions).toBe(1);
    expect(sent.map(({ events, claims }) => [events.length, claims![0]!.expected])).toEqual([
      [0, 'absent'],
      [0, 'absent'],
      [1, 'absent'],
      [1, 0],
      [1, 'absent'],
    ]);
    expect(log.events.at(-1)!.version).toBe(5);
    expect((await here.execute(banOnce('a'))).version).toBe(5);
  });

  test('a command whose claims keep changing is given up', async () => {
    let answers = 0;
    const changing: EventLog = {
      ...log,
      append(append) {
        if (!append.claims) return log.append(append);
        answers++;
        const claim = { place: 0, kind: 1, generation: answers, outcome: Buffer.from('admitted'), version: 1 };
        return Promise.resolve({ kind: 'claimed', claims: [claim] });
      },
    };
    const here = open(changing);
    await here.execute(openGate);
    await expect(here.execute(lookUp('a'))).rejects.toMatchObject({ reason: 'STREAM_CONTENDED' });
    expect(answers).toBe(21);
  });

  test('a command that is cancelled while the log answers is not decided again', async () => {
    const here = open();
    await here.execute(openGate);
    await open().execute(admit('a'));
    await here.load(gate, 'g');
    const controller = new AbortController();
    const cancelled = here.execute({ ...admit('a'), signal: controller.signal });
    await tick();
    await tick();
    controller.abort();
    await expect(cancelled).rejects.toMatchObject({ reason: 'CALL_CANCELLED' });
  });

  describe('of events of version 0.2, which recorded none', () => {
    test('the events stand for them until they would have ended', async () => {
      await open().execute(formerlyAdmit('a'));
      const here = open();
      await expect(here.execute(admit('a'))).rejects.toMatchObject({ reason: 'TICKET_ADMITTED' });
      // Both versions at the same time.
      await open().execute(formerlyAdmit('b'));
      await expect(here.execute(admit('b'))).rejects.toMatchObject({ reason: 'TICKET_ADMITTED' });
      await here.execute(ban('b'));
      await expect(here.execute(admit('b'))).rejects.toMatchObject({ reason: 'TICKET_BANNED' });
      now += 2 * dayMs;
      await here.execute(admit('a'));
      await expect(here.execute(admit('b'))).rejects.toMatchObject({ reason: 'TICKET_BANNED' });
    });

    test('they take no memory and no space in snapshots once they have ended', async () => {
      await open().execute(formerlyAdmit(...Array.from({ length: 500 }, (_, n) => `t${n}`)));
      const snapshot = async () => {
        const here = open();
        await here.load(gate, 'g');
        await here.drain();
        return log.loadSnapshot(stream);
      };
      expect((await snapshot())!.data.length).toBeGreaterThan(5_000);
      now += 2 * dayMs;
      await open().execute(openGate);
      expect((await snapshot())!.data.length).toBeLessThan(200);
    });

    test('a snapshot of version 0.2 is read, with what it remembers', async () => {
      const former = openAggregates({ log, clock: () => new Date(now), ids: newId });
      await former.execute(formerlyAdmit('a', 'b', 'c', 'd', 'e'));
      await former.load(formerGate, 'g');
      await former.drain();
      const kept = (await log.loadSnapshot(stream))!;
      expect(kept.schemaVersion).toBe(1);
      expect(decodeState(kept.data)).toMatchObject({ admitted: 5 });
      const unread: EventLog = {
        ...log,
        readStreams: async (cursors) => {
          expect(cursors).toEqual([{ stream, afterVersion: 6 }]);
          return [];
        },
      };
      const here = open(unread);
      await expect(here.execute(admit('c'))).rejects.toMatchObject({ reason: 'TICKET_ADMITTED' });
      expect((await here.load(gate, 'g')).state).toEqual({ admitted: 5 });
    });
  });
});
