import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import { noReply } from '@caudal/aggregates/no-reply.ts';
import type { Aggregates } from '@caudal/aggregates/types.ts';
import { fulfilment, shipment } from '@caudal/contract/entities.ts';
import { unavailable } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { seenBy } from '@caudal/testing/seen-by.ts';
import { expect, test } from '@jest/globals';
import { readSeen } from './cursor-store.ts';
import { concernOf } from './observe.ts';
import { createSagaHandler } from './saga-handler.ts';
import { useDatabase } from './testing/postgres.ts';
import { confirmed, createWorld, delivered, poison, shipped, stateDecider, testClock } from './testing/world.ts';
import type { StepContext } from './types.ts';

const PATIENCE_MS = 200;

describeWith(['postgres'], 'a saga', () => {
  const db = useDatabase();
  let count = 0;

  /** A saga with a name of its own; `worker()` is one more process that runs it. */
  function setUp({ waitMs = 0 } = {}) {
    const world = createWorld({ name: `p${count++}`, waitMs });
    const { clock, pass } = testClock();
    const log = memoryLog({ domain: 'orders' });
    const ended = new AbortController();
    let loads = 0;
    const worker = () => {
      const opened = openAggregates({ log: log.connect(), clock, ids: newId });
      const aggregates: Aggregates = {
        ...opened,
        load(decider, id) {
          loads += 1;
          return opened.load(decider, id);
        },
      };
      const handler = createSagaHandler({
        saga: world.saga,
        aggregates,
        database: db.database,
        clock,
        signal: ended.signal,
        patienceMs: PATIENCE_MS,
      });
      return { handler, aggregates };
    };
    const { handler, aggregates } = worker();
    return {
      world,
      handler,
      worker,
      clock,
      pass,
      ended,
      aggregates,
      log,
      loads: () => loads,
      facts: (id: string) =>
        log.events
          .filter(({ stream }) => stream === fulfilment.stream(id))
          .map((event) => fulfilment.decode(event).$case),
      timers: () => db.timers(handler.name),
      timer: async () => ({ handler: handler.name, ...(await db.timers(handler.name))[0]! }),
      cursor: async (stream: string) => (await readSeen(db.database, handler.name, [stream])).versions.get(stream) ?? 0,
    };
  }

  test('runs by new events, in any order, and repeats change nothing', async () => {
    const { world, handler, facts, timers } = setUp();
    expect(handler).toMatchObject({ name: 'p0.process', entities: ['orders.order', 'shipping.shipment'] });
    expect(await handler.handle([confirmed('a'), delivered('b')])).toEqual([]);
    expect([facts('a'), facts('b')]).toEqual([['started', 'reserved'], ['delivered']]);
    expect(await handler.handle([confirmed('b'), delivered('a'), confirmed('a')])).toEqual([]);
    const all = { a: facts('a'), b: facts('b'), calls: [...world.calls].sort() };
    expect(all).toEqual({
      a: ['started', 'reserved', 'delivered', 'committed', 'orderMarked'],
      b: ['delivered', 'started', 'reserved', 'committed', 'orderMarked'],
      calls: ['commit a', 'commit b', 'mark a', 'mark b', 'reserve a', 'reserve b'],
    });
    expect(await handler.handle([confirmed('a'), confirmed('b'), delivered('a'), delivered('b')])).toEqual([]);
    expect({ a: facts('a'), b: facts('b'), calls: [...world.calls].sort() }).toEqual(all);
    expect(await timers()).toEqual([]);
  });

  test('reacts to all its events of a batch before it takes a step', async () => {
    const { handler, facts } = setUp();
    await handler.handle([confirmed('a'), delivered('a')]);
    expect(facts('a')).toEqual(['started', 'delivered', 'reserved', 'committed', 'orderMarked']);
  });

  test('reports gaps and handles the events before them', async () => {
    const { handler, facts, cursor } = setUp();
    const unfinished = await handler.handle([confirmed('a', 1), confirmed('a', 3), delivered('a', 2)]);
    expect(unfinished).toEqual([
      { kind: 'gap', stream: 'orders.order/a', seen: 1 },
      { kind: 'gap', stream: 'shipping.shipment/a', seen: 0 },
    ]);
    expect(facts('a')).toEqual(['started', 'reserved']);
    expect([await cursor('orders.order/a'), await cursor('shipping.shipment/a')]).toEqual([1, 0]);
  });

  test('counts events that concern no saga as seen, and returns how far it has seen', async () => {
    const { handler, world } = setUp();
    expect(await handler.handle([shipped('a', 1), shipped('a', 2)])).toEqual([]);
    expect(await seenBy(handler, [delivered('a'), shipped('a', 2)])).toEqual([0, 2]);
    expect(world.calls).toEqual([]);
  });

  test('loads no state for events without a reaction, nor for names that a table only inherits', async () => {
    const { handler, loads, facts, world } = setUp();
    expect(await handler.handle([shipped('a', 1), shipped('b', 1)])).toEqual([]);
    expect(loads()).toBe(0);
    await handler.handle([confirmed('a', 2)]);
    expect([loads(), facts('a')]).toEqual([1, ['started', 'reserved']]);
    const event = { stream: 'orders.order/a', id: 'a', version: 1, at: new Date(0), event: { $case: '', value: {} } };
    for (const $case of ['constructor', 'toString', 'exploded'])
      expect(concernOf(world.saga, 'orders.order', { ...event, event: { $case, value: {} } })).toBeUndefined();
  });

  test('an event that fails holds up its own stream only, even of the same saga', async () => {
    const { handler, facts, cursor } = setUp();
    const bad = poison('a.1', 1);
    const unfinished = await handler.handle([
      confirmed('a'),
      bad,
      delivered('a.1', 2),
      delivered('a.2', 1),
      confirmed('b'),
    ]);
    expect(unfinished).toEqual([{ kind: 'failed', event: bad, error: new Error('no saga can handle this event') }]);
    expect(facts('a')).toEqual(['started', 'reserved', 'delivered', 'committed', 'orderMarked']);
    expect(facts('b')).toEqual(['started', 'reserved']);
    const seen = ['orders.order/a', 'shipping.shipment/a.1', 'shipping.shipment/a.2', 'orders.order/b'].map(cursor);
    expect(await Promise.all(seen)).toEqual([1, 0, 1, 1]);
  });

  test('an event that can not be decoded fails by itself, and a gap behind it is not reported yet', async () => {
    const { handler, cursor } = setUp();
    const unreadable = { ...delivered('a', 2), schemaVersion: 99 };
    const unfinished = await handler.handle([delivered('a', 1), unreadable, delivered('a', 3), delivered('a', 5)]);
    expect(unfinished).toEqual([{ kind: 'failed', event: unreadable, error: expect.any(Error) }]);
    expect(await cursor('shipping.shipment/a')).toBe(1);
  });

  test('a state that a newer version has written to holds up its own streams only, and the handler does not wait', async () => {
    const { handler, log, facts, cursor } = setUp();
    const event = { ...confirmed('a'), type: 'orders.fulfilment.noted.v9', data: Buffer.from([0xfa, 0x3e, 0x00]) };
    await log.append({ stream: fulfilment.stream('a'), expected: 0, events: [event] });
    expect(await handler.handle([confirmed('a'), confirmed('b')])).toEqual([
      {
        kind: 'failed',
        event: expect.objectContaining({ stream: 'orders.order/a' }),
        error: expect.objectContaining({ message: expect.stringContaining("its state can't be read") }),
      },
    ]);
    expect(facts('b')).toEqual(['started', 'reserved']);
    expect([await cursor('orders.order/a'), await cursor('orders.order/b')]).toEqual([0, 1]);
  });

  test('of a stream whose events go to several sagas the first that failed is reported, and nothing after it is seen', async () => {
    const { world, worker, cursor } = setUp();
    // One stream, each event for another saga: versions 2 and 4 fail, in whatever order their sagas run.
    const observation = world.saga.observes[1]!;
    observation.saga = ({ version }) => `x${5 - version}`;
    const events = [delivered('s', 1), poison('s', 2), delivered('s', 3), poison('s', 4), delivered('s', 5)];
    const unfinished = await worker().handler.handle(events);
    expect(unfinished).toEqual([{ kind: 'failed', event: events[1], error: expect.any(Error) }]);
    expect(await cursor(shipment.stream('s'))).toBe(1);
  });

  test('a step that fails with a transient error is acknowledged, and a timer repeats it with growing pauses', async () => {
    const { world, handler, facts, clock, timers, timer, cursor } = setUp();
    world.hooks.reserve = () => {
      throw unavailable('inventory', undefined, 0);
    };
    expect(await handler.handle([confirmed('a'), confirmed('b')])).toEqual([]);
    expect(facts('a')).toEqual(['started']);
    expect([await cursor('orders.order/a'), (await timers()).length]).toEqual([1, 2]);
    let { dueAt, retries }: { dueAt: Date | undefined; retries: number } = await timer();
    for (let attempt = 1; attempt <= 4; attempt++) {
      expect(retries).toBe(attempt);
      const pause = dueAt!.getTime() - clock().getTime();
      expect(pause).toBeGreaterThanOrEqual(100 * 2 ** (attempt - 1));
      expect(pause).toBeLessThanOrEqual(200 * 2 ** (attempt - 1));
      ({ dueAt, retries } = await handler.fire({ ...(await timer()), retries }));
    }
    delete world.hooks.reserve;
    expect(await handler.fire({ ...(await timer()), retries })).toEqual({ dueAt: undefined, retries: 0, version: 2 });
    expect(facts('a')).toEqual(['started', 'reserved']);
    // The next event of a saga repeats its delayed step at once.
    expect(await handler.handle([delivered('b')])).toEqual([]);
    expect(facts('b')).toEqual(['started', 'delivered', 'reserved', 'committed', 'orderMarked']);
    expect((await timers()).map(({ id }) => id)).toEqual(['a']);
  });

  test('waits at least as long as the error asks for, from the failure of the step on', async () => {
    const { world, handler, clock, pass, timer } = setUp();
    world.hooks.reserve = () => {
      pass(15_000);
      throw unavailable('inventory', undefined, 7000);
    };
    await handler.handle([confirmed('a')]);
    expect((await timer()).dueAt.getTime() - clock().getTime()).toBe(7000);
  });

  test('the outcome of a step that is cut short is unknown, whatever it throws', async () => {
    const { world, handler, ended, timer } = setUp();
    world.hooks.reserve = ({ signal }) => {
      ended.abort();
      signal.throwIfAborted();
    };
    expect(await handler.handle([confirmed('a')])).toEqual([]);
    expect(await timer()).toMatchObject({ id: 'a', retries: 1 });
  });

  test('after a run is cut short no other step is begun: it would fail without being tried', async () => {
    const { world, handler, ended, facts, timer } = setUp();
    world.hooks.reserve = () => ended.abort();
    expect(await handler.handle([confirmed('a'), delivered('a')])).toEqual([]);
    expect(world.calls).toEqual(['reserve a']);
    expect(facts('a')).toEqual(['started', 'delivered', 'reserved']);
    expect(await timer()).toMatchObject({ id: 'a', retries: 1 });
  });

  test('a step that is due later waits for its time, and no longer', async () => {
    const { world, handler, facts, pass, clock, timer, timers } = setUp({ waitMs: 60_000 });
    await handler.handle([confirmed('a'), delivered('a')]);
    const dueAt = new Date(clock().getTime() + 60_000);
    expect(await timer()).toMatchObject({ id: 'a', dueAt, retries: 0, version: 3 });
    pass(59_999);
    expect(await handler.fire(await timer())).toEqual({ dueAt, retries: 0, version: 3 });
    expect(world.calls).toEqual(['reserve a']);
    pass(1);
    expect(await handler.fire(await timer())).toEqual({ dueAt: undefined, retries: 0, version: 5 });
    expect(facts('a').slice(3)).toEqual(['committed', 'orderMarked']);
    // After a repeated event nothing is due any more.
    await db.database.query({ text: 'DELETE FROM handler_cursors WHERE handler = $1', values: [handler.name] });
    await handler.handle([delivered('a')]);
    expect(await timers()).toEqual([]);
  });

  test('starts again when another worker has moved the state, and repeats no fact', async () => {
    const { world, handler, worker, facts, timers } = setUp();
    const other = worker().handler;
    world.hooks.reserve = async () => {
      world.hooks.reserve = () => {};
      expect(await other.handle([confirmed('a'), delivered('a')])).toEqual([]);
    };
    expect(await handler.handle([confirmed('a'), delivered('a')])).toEqual([]);
    expect(facts('a')).toEqual(['started', 'delivered', 'reserved', 'committed', 'orderMarked']);
    expect(world.effects).toEqual(new Set(['reserve a', 'commit a', 'mark a']));
    expect(await timers()).toEqual([]);
  });

  test('of two workers at the same events both succeed', async () => {
    const { handler, worker, facts } = setUp();
    const ids = Array.from({ length: 20 }, (_, index) => `o${index}`);
    const events = ids.flatMap((id) => [confirmed(id), delivered(id)]);
    const all = [handler, worker().handler, worker().handler].map((each) => each.handle(events));
    expect(await Promise.all(all)).toEqual([[], [], []]);
    for (const id of ids) expect(facts(id).length).toBe(5);
  });

  test('a state that others keep moving is no failure of the event', async () => {
    const { world, handler, worker, cursor } = setUp();
    const { aggregates } = worker();
    world.hooks.reserve = () =>
      aggregates.execute({
        decider: stateDecider,
        id: 'a',
        decide: () => [{ $case: 'paid', value: {} }],
        reply: () => undefined,
        replyCodec: noReply,
        origin: { actor: '', causationId: '', correlationId: '', traceparent: '' },
      });
    await expect(handler.handle([confirmed('a'), confirmed('b')])).rejects.toMatchObject({ code: 'ABORTED' });
    expect(await cursor('orders.order/a')).toBe(0);
  });

  test('makes the facts durable before a step with afterAppend', async () => {
    const { world, handler, facts } = setUp();
    const before: string[][] = [];
    world.hooks.reserve = () => before.push(facts('a'));
    world.hooks.commit = () => before.push(facts('a'));
    await handler.handle([confirmed('a'), delivered('a')]);
    expect(before).toEqual([[], ['started', 'delivered', 'reserved']]);
  });

  test('a saga that makes no progress is an error, not a loop', async () => {
    const { world, worker, facts, cursor } = setUp();
    world.saga.next = () => ({ name: 'reserve' });
    const unfinished = await worker().handler.handle([confirmed('a'), shipped('b', 1)]);
    expect(unfinished).toEqual([
      {
        kind: 'failed',
        event: expect.objectContaining({ stream: 'orders.order/a' }),
        error: expect.objectContaining({ message: expect.stringContaining('makes no progress') }),
      },
    ]);
    expect(facts('a')).toEqual([]);
    expect([await cursor('orders.order/a'), await cursor('orders.order/b')]).toEqual([0, 1]);
  });

  test('runs many sagas at a time, but none twice', async () => {
    const { world, handler, timers } = setUp();
    const running = new Set<string>();
    let most = 0;
    world.hooks.reserve = async ({ sagaId }) => {
      expect(running.has(sagaId)).toBe(false);
      running.add(sagaId);
      most = Math.max(most, running.size);
      await new Promise((resolve) => setTimeout(resolve, 5));
      running.delete(sagaId);
    };
    const ids = Array.from({ length: 100 }, (_, index) => `o${index}`);
    const fire = (id: string) => handler.fire({ handler: handler.name, id, retries: 0, version: 0 });
    await Promise.all([handler.handle(ids.map((id) => confirmed(id))), ...ids.slice(0, 10).map(fire)]);
    expect(most).toBeGreaterThan(10);
    expect(most).toBeLessThanOrEqual(64);
    expect(world.calls.length).toBe(100);
    expect(await timers()).toEqual([]);
  });

  test('a slow step holds up no batch: the facts of its events are durable, and it continues', async () => {
    const { world, handler, facts, clock, timers, cursor } = setUp();
    const gate = Promise.withResolvers<void>();
    world.hooks.reserve = ({ sagaId }) => sagaId === 'slow' && gate.promise;
    expect(await handler.handle([confirmed('slow'), confirmed('b')])).toEqual([]);
    expect([facts('slow'), facts('b')]).toEqual([['started'], ['started', 'reserved']]);
    expect(await cursor('orders.order/slow')).toBe(1);
    // The timer for the case that this process dies.
    const dueAt = new Date(clock().getTime() + 60_000);
    expect(await timers()).toEqual([{ id: 'slow', dueAt, retries: 0, version: 1 }]);
    expect(await handler.handle([delivered('b')])).toEqual([]);
    gate.resolve();
    await handler.settled();
    expect(facts('slow')).toEqual(['started', 'reserved']);
    expect(await timers()).toEqual([]);
    expect(world.calls.filter((call) => call === 'reserve slow')).toHaveLength(1);
  });

  test('a slow step that fails is due again soon', async () => {
    const { world, handler, clock, timers } = setUp();
    const gate = Promise.withResolvers<void>();
    world.hooks.reserve = async () => {
      await gate.promise;
      throw unavailable('inventory', undefined, 0);
    };
    await handler.handle([confirmed('a')]);
    gate.resolve();
    await handler.settled();
    const [timer, ...others] = await timers();
    expect([timer!.id, timer!.retries, others]).toEqual(['a', 1, []]);
    expect(timer!.dueAt.getTime() - clock().getTime()).toBeLessThanOrEqual(200);
  });

  test('the next event of its saga cuts a slow step short, even if a timer has begun it', async () => {
    for (const begin of ['event', 'timer']) {
      const { world, handler, facts, timers } = setUp();
      const hangs = ({ signal }: StepContext) => {
        delete world.hooks.reserve;
        return new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('cut short'))));
      };
      if (begin === 'event') world.hooks.reserve = hangs;
      else world.hooks.reserve = () => Promise.reject(unavailable('inventory', undefined, 0));
      await handler.handle([confirmed('a')]);
      world.hooks.reserve &&= hangs;
      const firing = begin === 'timer' && handler.fire({ handler: handler.name, id: 'a', retries: 1, version: 1 });
      expect(await handler.handle([delivered('a')])).toEqual([]);
      expect(facts('a')).toEqual(['started', 'delivered', 'reserved', 'committed', 'orderMarked']);
      await Promise.all([firing, handler.settled()]);
      expect((await timers()).filter(({ retries }) => retries === 0)).toEqual([]);
    }
  });

  test('only some runs of a step that hangs are begun; sagas that do not need it continue', async () => {
    const { world, handler, facts, ended, timers } = setUp();
    world.hooks.reserve = ({ signal }) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('cut short'))));
    const ids = Array.from({ length: 300 }, (_, index) => `o${index}`);
    expect(await handler.handle(ids.map((id) => confirmed(id)))).toEqual([]);
    // 64 slow runs, and at most as many that had begun before these counted as slow.
    const begun = world.calls.length;
    expect(begun).toBeGreaterThanOrEqual(64);
    expect(begun).toBeLessThanOrEqual(128);
    expect(await handler.handle([confirmed('late'), delivered('other')])).toEqual([]);
    // Not begun, so not waited for either.
    expect(world.calls).toHaveLength(begun);
    expect([facts('o299'), facts('late'), facts('other')]).toEqual([['started'], ['started'], ['delivered']]);
    // When the handler is stopped, the runs in flight end, and are due again.
    ended.abort();
    await handler.settled();
    expect((await timers()).map(({ retries }) => retries)).toEqual(Array.from({ length: 301 }, () => 1));
  });
});
