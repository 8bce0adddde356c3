/** How far a run of a saga gets: to rest, or to a slow step that continues without its caller. */
import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import { noReply } from '@caudal/aggregates/no-reply.ts';
import { fulfilment } from '@caudal/contract/entities.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { until } from '@caudal/testing/until.ts';
import { expect, test } from '@jest/globals';
import { lead, type Run, toEnd, untilSlow } from './advance.ts';
import { concernOf, observedOf } from './observe.ts';
import { confirmed, createWorld, delivered, stateDecider, testClock } from './testing/world.ts';

const origin = { actor: '', causationId: '', correlationId: '', traceparent: '' };

function setUp() {
  const world = createWorld({ name: 'led' });
  const { clock } = testClock();
  let appends = 0;
  const log = memoryLog({ domain: 'orders' });
  const count = async (judge: () => void) => {
    judge();
    appends += 1;
  };
  const aggregates = openAggregates({ log: log.connect(count), clock, ids: newId });
  const options = { saga: world.saga, aggregates, clock, signal: new AbortController().signal };
  const observed = [confirmed('a'), delivered('a')].map((recorded, n) => {
    const { entity } = world.saga.observes[n]!;
    const { react } = concernOf(world.saga, entity.name, observedOf(entity, recorded))!;
    return { react, origin };
  });
  const elsewhere = openAggregates({ log: log.connect(count), clock, ids: newId });
  return {
    world,
    clock,
    /** `events`: 1 is the confirmation, with 2 the delivery comes, too. */
    run: (patienceMs?: number, events: 1 | 2 = 1): Run =>
      lead(options, { sagaId: 'a', events: observed.slice(0, events), retries: 0, patienceMs }),
    /** Appends that the log has answered. */
    appends: () => appends,
    facts: () => log.events.map((event) => fulfilment.decode(event).$case),
    /** Another worker appends a fact. */
    move: () =>
      elsewhere.execute({
        decider: stateDecider,
        id: 'a',
        decide: () => [{ $case: 'paid', value: {} }],
        reply: () => undefined,
        replyCodec: noReply,
        origin,
      }),
  };
}

test('rests when nothing is due, however long the steps take if it has no patience limit', async () => {
  for (const patienceMs of [undefined, 1_000]) {
    const { run, facts } = setUp();
    const advanced = { dueAt: undefined, retries: 0, version: 2 };
    expect(await untilSlow(run(patienceMs))).toEqual({ kind: 'rested', advanced });
    expect(facts()).toEqual(['started', 'reserved']);
  }
});

test('is slow once a step outlasts the patience and the facts are durable; the rest continues', async () => {
  const { world, run, clock, facts } = setUp();
  const gate = Promise.withResolvers<void>();
  world.hooks.reserve = () => gate.promise;
  const led = await untilSlow(run(10));
  expect(facts()).toEqual(['started']);
  if (led.kind !== 'slow') throw new Error(`it is ${led.kind}`);
  expect(led.meanwhile).toEqual({ dueAt: new Date(clock().getTime() + 60_000), retries: 0, version: 1 });
  gate.resolve();
  expect(await led.rest).toEqual({ dueAt: undefined, retries: 0, version: 2 });
  expect([facts(), world.calls]).toEqual([['started', 'reserved'], ['reserve a']]);
});

test('a bug in a step is thrown, or rejects the rest if the step was slow', async () => {
  const { world, run } = setUp();
  world.hooks.reserve = () => Promise.reject(new Error('a bug'));
  await expect(untilSlow(run(1_000))).rejects.toThrow('a bug');
  const gate = Promise.withResolvers<void>();
  world.hooks.reserve = () => gate.promise;
  const led = await untilSlow(run(10));
  gate.reject(new Error('a bug'));
  await expect(led.kind === 'slow' && led.rest).rejects.toThrow('a bug');
});

test('what was done before a bug in a step is appended, and not done again', async () => {
  const { world, run, facts } = setUp();
  world.hooks.mark = () => Promise.reject(new Error('a bug'));
  await expect(toEnd(run(undefined, 2))).rejects.toThrow('a bug');
  expect(facts()).toEqual(['started', 'delivered', 'reserved', 'committed']);
  world.hooks.mark = undefined;
  await toEnd(run(undefined, 2));
  expect(facts()).toEqual(['started', 'delivered', 'reserved', 'committed', 'orderMarked']);
  expect(world.calls).toEqual(['reserve a', 'commit a', 'mark a', 'mark a']);
});

test('a slow step whose facts are too late ends before the run starts again: it never runs twice at a time', async () => {
  const { world, run, move, appends, facts } = setUp();
  const gate = Promise.withResolvers<void>();
  let running = 0;
  let most = 0;
  world.hooks.reserve = async () => {
    most = Math.max(most, ++running);
    await gate.promise;
    running -= 1;
  };
  const led = untilSlow(run(100));
  await until(() => running === 1);
  await move();
  await until(() => appends() >= 2);
  gate.resolve();
  await led.then((how) => (how.kind === 'slow' ? how.rest : undefined));
  expect([world.calls, most]).toEqual([['reserve a', 'reserve a'], 1]);
  expect(facts()).toEqual(['paid', 'started', 'reserved']);
});

test('driven to its end it ignores what it yields', async () => {
  const { world, run, appends, facts } = setUp();
  world.hooks.reserve = () => until(() => appends() === 1);
  expect(await toEnd(run(0))).toEqual({ dueAt: undefined, retries: 0, version: 2 });
  expect(facts()).toEqual(['started', 'reserved']);
});
