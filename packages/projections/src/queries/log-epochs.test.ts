/** Tokens in a process that only answers queries, of a log that has lost its end: see docs/fail-over.md, Consistency tokens. */
import { type EventOf, order } from '@caudal/contract/entities.ts';
import { newEvent } from '@caudal/eventlog/codec.ts';
import type { Epoch } from '@caudal/eventlog/epochs.ts';
import type { LogReader, RecordedEvent } from '@caudal/eventlog/types.ts';
import { unavailable } from '@caudal/kernel/errors.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { expect, test } from '@jest/globals';
import { createGeneration } from '../generations/generation.ts';
import { changeGenerations } from '../generations/generations.ts';
import type { AnyProjection } from '../multi-stream/types.ts';
import { collectionOf } from '../projector.ts';
import { ordered } from '../testing/gathered.ts';
import { memoryStore } from '../testing/memory-store.ts';
import { confirmed, created, type Details, details } from '../testing/projections.ts';
import { ignored, on, type Projection } from '../types.ts';
import { logEpochs } from './log-epochs.ts';
import { readYourWrites } from './read-your-writes.ts';
import { openViews } from './views.ts';

const origin = { actor: 'test', causationId: '', correlationId: '', traceparent: '' };
const stream = order.stream('1');
const epoch = 5;

function recorded(event: EventOf<typeof order>, at: Pick<RecordedEvent, 'version' | 'position' | 'epoch'>) {
  const made = newEvent({ entity: order, event, origin, now: new Date() });
  return { ...made, stream, recordedAt: new Date(), ...at };
}

/** A log of one stream, of whose epochs a process knows what its last answer told. */
function toldLog() {
  let known: Epoch[] = [];
  const state = {
    epochs: [] as Epoch[],
    events: [] as RecordedEvent[],
    asked: 0,
    answer: async () => {},
    /** Takes the end away; others go on. */
    lose(...events: RecordedEvent[]) {
      state.epochs = [{ number: epoch, after: 1 }];
      state.events = [...state.events.filter(({ position }) => position <= 1), ...events];
    },
  };
  const log: LogReader = {
    ...memoryLog({ domain: 'orders' }),
    epochs: () => known,
    async readLog() {
      state.asked += 1;
      await state.answer();
      known = state.epochs;
      return { events: [], head: state.events.at(-1)?.position ?? 0 };
    },
    async readStreams([cursor]) {
      known = state.epochs;
      return state.events.filter(({ version }) => version > cursor!.afterVersion).slice(0, 1);
    },
  };
  return { state, log };
}

async function setUp<V>(projection: AnyProjection<V>, { state, log } = toldLog()) {
  const store = memoryStore();
  await createGeneration({ projection, store, generation: 1 });
  await changeGenerations(projection, store, () => ({ last: 1, generations: [{ number: 1, fed: true, from: 0 }] }));
  const { generations } = openViews<V>({ projection, store });
  const passed = { to: 0 };
  const logs = new Map([
    ['orders', log],
    ['payments', memoryLog({ domain: 'payments' })],
  ]);
  const writes = readYourWrites<V>({
    ...{ projection, store, generations, logs },
    passed: async (_, { position }) => position <= passed.to,
  });
  return {
    ...{ state, log, passed, writes },
    /** Whether queries see the version. */
    see: (version: number, of?: number, timeoutMs = 5_000) =>
      writes.seen([{ stream, version, ...(of && { epoch: of }) }], { timeoutMs }),
    async show(id: string, version: number) {
      const view = { id, revision: 1, streams: { [stream]: version }, view: {}, keys: {} };
      await collectionOf({ projection, store, generation: 1 }).save([view]);
    },
  };
}

const lost = { code: 'FAILED_PRECONDITION', reason: 'WRITE_LOST' };
const late = { code: 'UNAVAILABLE', reason: 'NOT_YET_VISIBLE' };

test('a write that others have made again is lost, though the view has its version', async () => {
  const { state, show, see, writes } = await setUp<Details>(details);
  state.lose(recorded(confirmed, { version: 2, position: 2, epoch }));
  await show('1', 2);
  await expect(see(2)).rejects.toMatchObject(lost);
  expect(await writes.mayBeLost([{ stream, version: 2 }])).toBe(true);
  await see(2, epoch);
});

test('a write that nobody has made again is lost, too, and not only late', async () => {
  const { state, show, see } = await setUp<Details>(details);
  state.lose();
  await show('1', 1);
  await expect(see(2)).rejects.toMatchObject(lost);
});

test('a view that shows the version itself is asked for a loss first', async () => {
  const { state, writes } = await setUp<Details>(details);
  state.lose();
  expect(await writes.mayBeLost([{ stream, version: 2 }])).toBe(true);
  expect(await writes.mayBeLost([{ stream, version: 2, epoch }])).toBe(false);
});

test('many queries ask a log once, and again only if a token names a later epoch', async () => {
  const { state, log } = toldLog();
  const logs = new Map([['orders', log]]);
  const [epochs, ofAnother] = [logEpochs(logs), logEpochs(logs)];
  const write = { stream, version: 1 };
  await Promise.all(Array.from({ length: 50 }, () => epochs.learn([write, write])));
  await Promise.all([epochs.learn([write]), ofAnother.learn([write])]);
  expect(state.asked).toBe(1);
  state.lose();
  const later = { ...write, epoch };
  await Promise.all([epochs.learn([later]), epochs.learn([later])]);
  await epochs.learn([write]);
  expect(state.asked).toBe(2);
  expect(epochs.of(write)).toBe(epoch);
  // One that no log confirms.
  for (let time = 0; time < 5; time++) await epochs.learn([{ ...write, epoch: 9 }]);
  expect(state.asked).toBe(3);
  expect(epochs.of({ ...write, epoch: 9 })).toBe(9);
});

test('a log that fails, or does not answer, is left aside: what was known before counts', async () => {
  for (const answer of [() => Promise.reject(unavailable('orders')), () => new Promise<void>(() => {})]) {
    const { state, show, see } = await setUp<Details>(details);
    state.answer = answer;
    await show('1', 2);
    await see(2);
    expect(state.asked).toBe(1);
    await see(1);
    expect(state.asked).toBe(1);
  }
});

test.each([
  ['it was seen', 2],
  ['it was waited for', 0],
])('a version that others write again is at another position, also if %s before', async (_, before) => {
  const { state, passed, see } = await setUp(ordered);
  state.events = [
    recorded(created('ann'), { version: 1, position: 1 }),
    recorded(confirmed, { version: 2, position: 2 }),
  ];
  passed.to = before;
  const first = see(2, undefined, before === 0 ? 60 : undefined);
  if (before === 0) await expect(first).rejects.toMatchObject(late);
  else await first;
  state.lose(recorded(confirmed, { version: 2, position: 9, epoch }));
  passed.to = 4;
  await expect(see(2, epoch, 60)).rejects.toMatchObject(late);
  passed.to = 9;
  await see(2, epoch);
});

test('a stream that others begin again may be of another view', async () => {
  const byCustomer: Projection<Details> = {
    ...details,
    follows: [
      on<Details, EventOf<typeof order>>(order, {
        view: ({ event }) => (event.$case === 'created' ? event.value.customerId : undefined),
        evolve: () => ignored,
      }),
    ],
  };
  const { state, show, see } = await setUp<Details>(byCustomer);
  state.events = [recorded(created('ann'), { version: 1, position: 2 })];
  await show('ann', 1);
  await see(1);
  state.lose(recorded(created('bob'), { version: 1, position: 2, epoch }));
  await expect(see(1, epoch, 60)).rejects.toMatchObject(late);
  await show('bob', 1);
  await see(1, epoch);
});
