import { setImmediate as tick } from 'node:timers/promises';
import type { Append, EventLog } from '@caudal/eventlog/types.ts';
import { invalidField, refused, unavailable } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import { type MemoryLog, memoryLog } from '@caudal/testing/memory-log.ts';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { type AggregatesOptions, openAggregates } from './aggregates.ts';
import { noReply } from './no-reply.ts';
import { move } from './testing/moves.ts';
import { add, open, purse, take } from './testing/purse.ts';
import { fairLocks } from './testing/stream-locks.ts';
import { type Gate, type GateEvent, gate } from './testing/tickets.ts';
import type { PartState, Unit } from './types.ts';

const stream = (name: string) => purse.entity.stream(name);

describe('a unit', () => {
  let sent: Append[];
  let log: MemoryLog;
  beforeEach(() => {
    sent = [];
    log = memoryLog({
      domain: 'test',
      async call(judge, appends) {
        await tick();
        sent.push(...appends);
        judge();
      },
    });
  });
  const connect = (client: EventLog = log, options: Partial<AggregatesOptions> = {}) =>
    openAggregates({ log: client, clock: systemClock, ids: newId, ...options });
  const balances = async (...names: string[]) => {
    const reader = connect(log.connect());
    return Promise.all(names.map(async (name) => (await reader.load(purse, name)).state.balance));
  };

  test('lands in one append, and answers with all states and versions', async () => {
    const aggregates = connect();
    await aggregates.execute(add('a', 10));
    expect(await aggregates.executeUnit(move(['a', 'b', 'c'], 3))).toEqual({
      reply: [
        { balance: 4, version: 2 },
        { balance: 3, version: 1 },
        { balance: 3, version: 1 },
      ],
      streams: [
        { stream: stream('a'), version: 2 },
        { stream: stream('b'), version: 1 },
        { stream: stream('c'), version: 1 },
      ],
      repeated: false,
    });
    expect(sent).toHaveLength(2);
    expect(await balances('a', 'b', 'c')).toEqual([4, 3, 3]);
  });

  test('is refused as a whole, once the log has confirmed all states that the refusal is based on', async () => {
    const aggregates = connect();
    await aggregates.execute(add('a', 5));
    await expect(aggregates.executeUnit(move(['a', 'b', 'c'], 3))).rejects.toMatchObject({ reason: 'PURSE_TOO_EMPTY' });
    expect(sent.at(-1)).toMatchObject({
      ...{ stream: stream('a'), expected: 1, events: [] },
      also: [
        { stream: stream('b'), expected: 0, events: [] },
        { stream: stream('c'), expected: 0, events: [] },
      ],
    });
    const other = connect(log.connect());
    await other.execute(add('a', 1));
    // The state here is outdated: the unit is not refused because of it.
    await aggregates.executeUnit(move(['a', 'b', 'c'], 3));
    expect(await balances('a', 'b', 'c')).toEqual([0, 3, 3]);
  });

  test('is decided on commands in flight, and they on it: all share one call', async () => {
    const aggregates = connect();
    await Promise.all(['a', 'b'].map((name) => aggregates.execute(open(name))));
    const calls = log.calls;
    const [, moved, back, taken] = await Promise.all([
      aggregates.execute(add('a', 6)),
      aggregates.executeUnit(move(['a', 'b'], 6)),
      aggregates.executeUnit(move(['b', 'a'], 2)),
      aggregates.execute(take('b', 4)),
    ]);
    expect([moved.reply[1], back.reply[0], taken.reply]).toEqual([
      { balance: 6, version: 2 },
      { balance: 4, version: 3 },
      { balance: 0, version: 4 },
    ]);
    expect(log.calls).toBe(calls + 1);
  });

  test('does not hold up a stream in memory while it reads one that is not', async () => {
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const aggregates = connect({
      ...log,
      async readStreams(cursors, options) {
        if (cursors.some((cursor) => cursor.stream === stream('cold'))) await held;
        return log.readStreams(cursors, options);
      },
    });
    await aggregates.execute(add('hot', 5));
    const unit = aggregates.executeUnit(move(['hot', 'cold'], 5));
    expect((await aggregates.execute(take('hot', 1))).reply).toEqual({ balance: 4, version: 2 });
    await aggregates.execute(add('hot', 1));
    release();
    expect((await unit).reply).toEqual([
      { balance: 0, version: 4 },
      { balance: 5, version: 1 },
    ]);
  });

  test('fails if one of its streams cannot be read; the others go on', async () => {
    const aggregates = connect({
      ...log,
      async readStreams(cursors, options) {
        if (cursors.some((cursor) => cursor.stream === stream('b'))) throw unavailable('PostgreSQL');
        return log.readStreams(cursors, options);
      },
    });
    await aggregates.execute(add('a', 5));
    await expect(aggregates.executeUnit(move(['a', 'b'], 5))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await aggregates.execute(add('a', 5));
    await aggregates.drain();
  });

  test('a repeat gets the first answer, and versions that cover what the first run wrote', async () => {
    const unit = move(['a', 'b'], 3, { requestId: 'x' });
    await connect().execute(add('a', 5));
    const { reply } = await connect().executeUnit(unit);
    const elsewhere = connect(log.connect());
    expect(await elsewhere.executeUnit(unit)).toEqual({
      ...{ reply, repeated: true },
      streams: [
        { stream: stream('a'), version: 2 },
        { stream: stream('b'), version: 1 },
      ],
    });
    await expect(elsewhere.executeUnit(move(['a', 'b'], 1, { requestId: 'x' }))).rejects.toMatchObject({
      reason: 'REQUEST_ID_REUSED',
    });
    expect(await balances('a', 'b')).toEqual([2, 3]);
  });

  test('is decided again if another process has written to any of its streams, with what is behind it', async () => {
    const aggregates = connect();
    await Promise.all(['a', 'b', 'c'].map((name) => aggregates.execute(add(name, 5))));
    await connect(log.connect()).execute(take('b', 1));
    const [moved, behind] = await Promise.all([
      aggregates.executeUnit(move(['a', 'b'], 2)),
      aggregates.executeUnit(move(['b', 'c'], 3)),
    ]);
    expect(moved.reply[1]).toEqual({ balance: 6, version: 3 });
    expect(behind.reply[0]).toEqual({ balance: 3, version: 4 });
    expect(await balances('a', 'b', 'c')).toEqual([3, 3, 8]);
  });

  test('reads idle streams before it joins its queues, once another process has overtaken a unit', async () => {
    const [aggregates, other] = [connect(), connect(log.connect())];
    await Promise.all(['a', 'b'].map((name) => aggregates.execute(add(name, 9))));
    const attempts: number[] = [];
    for (let n = 0; n < 3; n++) {
      await other.execute(add('b', 1));
      const before = sent.length;
      await aggregates.executeUnit(move(['a', 'b'], 1));
      attempts.push(sent.length - before);
    }
    expect(attempts).toEqual([2, 1, 1]);
  });

  test('asks each stream for permission, in order, before anything is decided', async () => {
    const aggregates = connect();
    await Promise.all(['a', 'b'].map((name) => aggregates.execute(open(name))));
    const asked: string[] = [];
    const permit = (name: string, isAllowed: boolean) => (owner: string | undefined) => {
      asked.push(`${name} of ${owner}`);
      if (!isAllowed) throw refused('NOT_OWNER', 'No.');
    };
    const parts = [
      { decider: purse, id: 'a', authorize: permit('a', true) },
      { decider: purse, id: 'b', authorize: permit('b', false) },
    ];
    await expect(aggregates.executeUnit(move(['a', 'b'], 5, { parts }))).rejects.toMatchObject({ reason: 'NOT_OWNER' });
    expect([...new Set(asked)]).toEqual(['a of anna', 'b of anna']);
  });

  test('without permission joins no queue', async () => {
    const aggregates = connect(log, { maxQueue: 1 });
    await Promise.all(['a', 'b'].map((name) => aggregates.execute(open(name))));
    const authorize = () => {
      throw refused('NOT_OWNER', 'No.');
    };
    const parts = [
      { decider: purse, id: 'a', authorize },
      { decider: purse, id: 'b' },
    ];
    const strangers = [1, 2, 3].map(() => aggregates.executeUnit(move(['a', 'b'], 1, { parts })));
    const refusals = expect(Promise.allSettled(strangers)).resolves.toMatchObject(
      strangers.map(() => ({ reason: { reason: 'NOT_OWNER' } })),
    );
    await aggregates.execute(add('b', 1));
    await refusals;
    expect(sent).toHaveLength(3);
  });

  test('can be cancelled until it is decided', async () => {
    const aggregates = connect();
    await aggregates.execute(add('a', 5));
    const early = new AbortController();
    const cancelled = aggregates.executeUnit(move(['a', 'b'], 5, { signal: early.signal }));
    early.abort(invalidField('x', 'is no longer wanted'));
    await expect(cancelled).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    const late = new AbortController();
    const decided = aggregates.executeUnit(
      move(['a', 'b'], 5, {
        signal: late.signal,
        reply() {
          late.abort();
          return [];
        },
      }),
    );
    await decided;
    expect(await balances('a', 'b')).toEqual([0, 5]);
    await aggregates.drain();
  });

  test('counts in the queue of each of its streams, also while it reads', async () => {
    const aggregates = connect(log, { maxQueue: 2 });
    await aggregates.execute(add('a', 5));
    const running = [aggregates.executeUnit(move(['a', 'b'], 1)), aggregates.executeUnit(move(['a', 'c'], 1))];
    await expect(aggregates.executeUnit(move(['d', 'a'], 1))).rejects.toMatchObject({
      ...{ code: 'RESOURCE_EXHAUSTED', reason: 'STREAM_QUEUE_FULL' },
      metadata: { stream: stream('a') },
    });
    await Promise.all(running);
  });

  test('has 1 to 100 streams, each named once', async () => {
    const aggregates = connect();
    const names = Array.from({ length: 101 }, (_, n) => `p${n}`);
    await expect(aggregates.executeUnit(move(names, 1))).rejects.toThrow('has 101 streams: at most 100 are possible');
    await expect(aggregates.executeUnit(move([], 1))).rejects.toThrow('at least one is needed');
    await expect(aggregates.executeUnit(move(['a', 'b', 'a'], 1))).rejects.toThrow('names test.purse/a twice');
    await aggregates.execute(add('p0', 99));
    expect((await aggregates.executeUnit(move(names.slice(0, 100), 1))).streams).toHaveLength(100);
    await aggregates.drain();
  });
});

type Gates = Unit<Gate, GateEvent, undefined, string>;

describe('the claims of a unit', () => {
  const origin = { actor: 'caller', causationId: '', correlationId: '', traceparent: '' };
  /** One ticket at several gates. */
  function admitAtAll(ticket: string, ask: 'claim' | 'lookUp'): Gates {
    const admitOnce = (part: PartState<unknown, string>) =>
      part[ask](ticket) ? [] : [{ $case: 'admitted' as const, value: { ticket } }];
    return {
      parts: ['g', 'h', 'i'].map((id) => ({ decider: gate, id })),
      decide: (parts) => parts.map(admitOnce),
      ...{ reply: () => undefined, replyCodec: noReply, origin },
    };
  }

  test.each(['claim', 'lookUp'] as const)(
    'are those of each stream, also of the same id; those by %s are known after one more append',
    async (ask) => {
      const log = memoryLog({ domain: 'test' });
      const first = openAggregates({ log, clock: systemClock, ids: newId });
      const admit = (id: string, ticket: string) =>
        first.executeUnit({ ...admitAtAll(ticket, 'claim'), parts: [{ decider: gate, id }] });
      for (const id of ['g', 'h', 'i']) await admit(id, 'other');
      await admit('h', 'one');
      const sent: Append[] = [];
      const client = log.connect(async (judge, appends) => {
        sent.push(...appends);
        judge();
      });
      const aggregates = openAggregates({ log: client, clock: systemClock, ids: newId });
      await aggregates.executeUnit(admitAtAll('one', ask));
      await aggregates.executeUnit(admitAtAll('one', ask));
      const admitted = log.events.slice(-2).map((event) => event.stream);
      expect(admitted).toEqual(['test.gate/g', 'test.gate/i']);
      expect(sent.map(({ also = [], events }) => events.length + also.flatMap((part) => part.events).length)).toEqual(
        // The second time all are in the log.
        ask === 'claim' ? [3, 2, 3, 0] : [0, 2, 0, 0],
      );
    },
  );
});

test('two processes with units over the same contended streams do not wait for each other in a circle', async () => {
  const log = memoryLog({ domain: 'test' });
  const { lockStream } = fairLocks();
  const wanted = new Set<string>();
  let now = 0;
  const processes = [0, 1].map((n) => {
    const client = log.connect(async (judge) => {
      for (let turns = 0; turns <= n; turns++) await tick();
      judge();
    });
    const locked: EventLog = {
      ...client,
      lockStream(name) {
        wanted.add(name);
        return lockStream(name);
      },
    };
    return openAggregates({ log: locked, clock: systemClock, ids: newId, elapsed: () => now++, maxContended: 1_000 });
  });
  for (const name of ['a', 'b', 'c']) await processes[0]!.execute(add(name, 1_000));
  const orders = [['a', 'b'], ['b', 'c'], ['c', 'a'], ['b'], ['c', 'b', 'a']];
  const clients = Array.from({ length: 40 }, async (_, client) => {
    const process = processes[client % 2]!;
    for (let n = 0; n < 20; n++) await process.executeUnit(move(orders[(client + n) % orders.length]!, 1));
  });
  await Promise.all(clients);
  expect(wanted.size).toBeGreaterThan(1);
  await Promise.all(processes.map((aggregates) => aggregates.drain()));
  const reader = openAggregates({ log, clock: systemClock, ids: newId });
  const states = await Promise.all(['a', 'b', 'c'].map((name) => reader.load(purse, name)));
  expect(states.reduce((sum, { state }) => sum + state.balance, 0)).toBe(3_000);
});
