import { setImmediate as tick } from 'node:timers/promises';
import type { EventLog, Snapshot, StreamCursor } from '@caudal/eventlog/types.ts';
import { unavailable } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { describe, expect, test } from '@jest/globals';
import { type AggregatesOptions, openAggregates } from './aggregates.ts';
import { openStreamReader } from './stream-reader.ts';
import { add, purse } from './testing/purse.ts';

function aggregatesOver(log: EventLog, options: Partial<AggregatesOptions> = {}) {
  return openAggregates({ log, clock: systemClock, ids: newId, ...options });
}

/** A log that records the reads from it. */
function recording(log: EventLog) {
  const reads: StreamCursor[][] = [];
  let events = 0;
  const over: EventLog = {
    ...log,
    async readStreams(cursors, options) {
      reads.push(cursors);
      const found = await log.readStreams(cursors, options);
      events += found.length;
      return found;
    },
  };
  return {
    log: over,
    reads,
    get events() {
      return events;
    },
  };
}

describe('strong reads', () => {
  test('see what another process has acknowledged, and read only the events after the cached state', async () => {
    const shared = memoryLog({ domain: 'test' });
    const noted = recording(shared);
    const [here, there] = [aggregatesOver(noted.log), aggregatesOver(shared.connect())];
    expect(await here.load(purse, 'a')).toEqual({ state: { balance: 0 }, version: 0 });
    await here.execute(add('a', 1));
    await there.execute(add('a', 2));
    expect(await here.load(purse, 'a')).toMatchObject({ state: { balance: 3 }, version: 2 });
    expect(noted.reads.at(-1)).toEqual([{ stream: 'test.purse/a', afterVersion: 1 }]);
    expect((await here.execute(add('a', 1))).reply).toEqual({ balance: 4, version: 3 });
  });

  test('share a read only if it starts after they were called', async () => {
    const shared = memoryLog({ domain: 'test' });
    const there = aggregatesOver(shared.connect());
    await there.execute(add('a', 1));
    const answering = Promise.withResolvers<void>();
    let reads = 0;
    const aggregates = aggregatesOver({
      ...shared,
      async readStreams(...args) {
        reads += 1;
        const found = await shared.readStreams(...args);
        await answering.promise;
        return found;
      },
    });
    const early = aggregates.load(purse, 'a');
    await tick();
    await there.execute(add('a', 1));
    const late = Array.from({ length: 50 }, () => aggregates.load(purse, 'a'));
    answering.resolve();
    expect((await early).version).toBe(1);
    expect(new Set((await Promise.all(late)).map(({ version }) => version))).toEqual(new Set([2]));
    expect(reads).toBe(2);
  });

  test('do not see what is decided but not durable', async () => {
    const judging = Promise.withResolvers<void>();
    const log = memoryLog({
      domain: 'test',
      async call(judge) {
        await judging.promise;
        judge();
      },
    });
    const aggregates = aggregatesOver(log);
    const added = aggregates.execute(add('a', 1));
    await tick();
    expect((await aggregates.load(purse, 'a')).version).toBe(0);
    judging.resolve();
    await added;
    expect((await aggregates.load(purse, 'a')).version).toBe(1);
  });

  test('fail if the log can not be reached, and work again after', async () => {
    const shared = memoryLog({ domain: 'test' });
    let away = true;
    const aggregates = aggregatesOver({
      ...shared,
      readStreams: (...args) => (away ? Promise.reject(unavailable('PostgreSQL')) : shared.readStreams(...args)),
    });
    await expect(aggregates.load(purse, 'a')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    away = false;
    expect((await aggregates.load(purse, 'a')).version).toBe(0);
  });
});

describe('reading', () => {
  test('cold streams that are needed at the same time are read in few queries', async () => {
    const noted = recording(memoryLog({ domain: 'test' }));
    const aggregates = aggregatesOver(noted.log);
    await Promise.all(Array.from({ length: 100 }, (_, n) => aggregates.execute(add(String(n), 1))));
    expect(noted.reads.length).toBeLessThanOrEqual(2);
  });

  test.each([1, 2, 3, 7, 1000])('every stream gets all of its events, if a query returns at most %i', async (limit) => {
    const log = memoryLog({ domain: 'test' });
    const aggregates = aggregatesOver(log);
    const lengths = { a: 3, b: 0, c: 1, d: 8, e: 2 };
    for (const [id, length] of Object.entries(lengths))
      if (length > 0) await aggregates.execute(add(id, length, { parts: length }));
    const reader = openStreamReader(log, limit);
    const found = await Promise.all(
      Object.keys(lengths).map(async (id) => {
        const stream = purse.entity.stream(id);
        const { events, more } = await reader.read(stream, 0);
        const rest = [];
        if (more) for await (const page of log.readStream(stream, events.at(-1)!.version)) rest.push(...page);
        return [id, [...events, ...rest].filter((event) => event.stream === stream).length];
      }),
    );
    expect(Object.fromEntries(found)).toEqual(lengths);
  });

  test('the least recently used stream is evicted; nothing else changes', async () => {
    const noted = recording(memoryLog({ domain: 'test' }));
    const aggregates = aggregatesOver(noted.log, { cacheSize: 2 });
    for (const id of ['a', 'b', 'a', 'c', 'a', 'b']) {
      await aggregates.execute(add(id, 1));
      await aggregates.drain();
    }
    expect(noted.reads.map(([cursor]) => cursor!.stream.at(-1))).toEqual(['a', 'b', 'c', 'b']);
    expect((await aggregates.load(purse, 'a')).state.balance).toBe(3);
    expect((await aggregates.load(purse, 'b')).state.balance).toBe(2);
  });

  test('streams that have grown take the place of others, and the largest stays', async () => {
    const noted = recording(memoryLog({ domain: 'test' }));
    const decider = { ...purse, bytes: ({ balance }: { balance: number }) => balance };
    const aggregates = aggregatesOver(noted.log, { cacheBytes: 20_000 });
    const addTo = async (id: string, amount: number) => {
      await aggregates.execute(add(id, amount, { decider }));
      await aggregates.drain();
    };
    const readNow = () => noted.reads.splice(0).map(([cursor]) => cursor!.stream.at(-1));
    for (const id of ['a', 'b', 'c', 'd', 'e', 'a', 'b', 'c', 'd', 'e']) await addTo(id, 1);
    expect(readNow()).toEqual(['a', 'b', 'c', 'd', 'e']);
    // More than the cache's bytes: it counts as half of them, which leaves enough for the others.
    await addTo('a', 1_000_000);
    for (const id of ['a', 'e', 'd', 'c', 'b', 'a']) await addTo(id, 1);
    expect(readNow()).toEqual([]);
    await addTo('f', 7_000);
    expect(readNow()).toEqual(['f']);
    for (const id of ['a', 'f', 'e']) await addTo(id, 1);
    expect(readNow()).toEqual(['e']);
  });

  test('a stream is not used with two deciders', async () => {
    const aggregates = aggregatesOver(memoryLog({ domain: 'test' }));
    await aggregates.execute(add('a', 1));
    await expect(aggregates.load({ ...purse }, 'a')).rejects.toThrow('two deciders');
  });
});

describe('snapshots', () => {
  const snapshotting = { ...purse, snapshot: { every: 10, schemaVersion: 1 } };
  /** The clock stands still, so no snapshot waits because of the cost of the one before. */
  const elapsed = () => 0;

  async function filled() {
    const log = memoryLog({ domain: 'test' });
    const aggregates = aggregatesOver(log, { elapsed });
    for (let n = 1; n <= 25; n++) await aggregates.execute(add('a', 1, { decider: snapshotting }));
    await aggregates.drain();
    return log;
  }

  test('are written every `every` events, and events before them are not read', async () => {
    const log = await filled();
    expect((await log.loadSnapshot('test.purse/a'))?.version).toBe(20);
    const noted = recording(log);
    const { state, version } = await aggregatesOver(noted.log).load(snapshotting, 'a');
    expect({ balance: state.balance, version, read: noted.events }).toEqual({ balance: 25, version: 25, read: 5 });
    expect(state.touched).toBeInstanceOf(Date);
  });

  test('are written as rarely as the function of the state says', async () => {
    const log = memoryLog({ domain: 'test' });
    const aggregates = aggregatesOver(log, { elapsed });
    const every = ({ balance }: { balance: number }) => (balance < 10 ? 2 : 1_000);
    const decider = { ...purse, snapshot: { every, schemaVersion: 1 } };
    for (let n = 1; n <= 25; n++) {
      await aggregates.execute(add('a', 1, { decider }));
      await aggregates.drain();
    }
    expect((await log.loadSnapshot('test.purse/a'))?.version).toBe(8);
  });

  test('of another schema version, or unreadable ones, are ignored and written again', async () => {
    for (const spoil of [
      (snapshot: Snapshot) => ({ ...snapshot, schemaVersion: 2 }),
      (snapshot: Snapshot) => ({ ...snapshot, data: Buffer.from('nonsense') }),
    ]) {
      const log = await filled();
      const snapshot = await log.loadSnapshot('test.purse/a');
      await log.saveSnapshot('test.purse/a', spoil(snapshot!));
      const noted = recording(log);
      const aggregates = aggregatesOver(noted.log);
      expect((await aggregates.load(snapshotting, 'a')).state.balance).toBe(25);
      expect(noted.events).toBe(25);
      await aggregates.drain();
      expect(await log.loadSnapshot('test.purse/a')).toMatchObject({ version: 25, schemaVersion: 1 });
    }
  });

  test('of one stream are written by one process, not by each that has it', async () => {
    const log = memoryLog({ domain: 'test' });
    const written: number[] = [];
    const counting = () => {
      const connected = log.connect();
      return {
        ...connected,
        saveSnapshot: async (stream: string, snapshot: Snapshot) => {
          written.push(snapshot.version);
          await connected.saveSnapshot(stream, snapshot);
        },
      };
    };
    const decider = { ...purse, snapshot: { every: 40, schemaVersion: 1 } };
    let now = 0;
    const processes = Array.from({ length: 4 }, () => aggregatesOver(counting(), { elapsed: () => now }));
    const work = async (rounds: number, of = processes) => {
      for (let round = 0; round < rounds; round++) {
        now += 50;
        await Promise.all(of.map((aggregates) => aggregates.execute(add('a', 1, { decider }))));
      }
      for (const aggregates of of) await aggregates.drain();
    };
    // 2,000 events: one process alone writes 50.
    await work(500);
    expect(written.length).toBeGreaterThanOrEqual(40);
    expect(written.length).toBeLessThanOrEqual(55);
    // Whoever is left goes on, also if the last one was written by a process that has ended.
    const before = written.length;
    await work(400, [processes[2]!]);
    expect(written.length - before).toBeGreaterThanOrEqual(9);
  });

  test('that can not be written fail no command', async () => {
    const log = memoryLog({ domain: 'test' });
    const aggregates = aggregatesOver({ ...log, saveSnapshot: () => Promise.reject(unavailable('PostgreSQL')) });
    await aggregates.execute(add('a', 20, { parts: 20, decider: snapshotting }));
    await aggregates.drain();
    expect((await aggregates.execute(add('a', 1, { decider: snapshotting }))).version).toBe(21);
  });
});

describe('loadAt', () => {
  test('gives the state after the last event that happened by then', async () => {
    const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, second));
    let now = at(0);
    const aggregates = aggregatesOver(memoryLog({ domain: 'test' }), { clock: () => now });
    // The fourth event comes from a process whose clock is behind.
    for (const second of [1, 3, 5, 2, 7]) {
      now = at(second);
      await aggregates.execute(add('a', 1));
    }
    const versions = [];
    for (const second of [0, 1, 2, 4, 6, 9]) versions.push((await aggregates.loadAt(purse, 'a', at(second))).version);
    expect(versions).toEqual([0, 1, 4, 4, 4, 5]);
  });
});

test('drain waits for the commands in flight', async () => {
  const aggregates = aggregatesOver(memoryLog({ domain: 'test' }));
  let answered = false;
  const added = aggregates.execute(add('a', 1)).then(() => {
    answered = true;
  });
  await aggregates.drain();
  await tick();
  expect(answered).toBe(true);
  await added;
  await aggregates.drain();
});
