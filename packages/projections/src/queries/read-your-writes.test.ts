/** Reading one's own writes: what queries with a token wait for, and which calls that costs. */
import { order, payment, wallet } from '@caudal/contract/entities.ts';
import type { LogReader } from '@caudal/eventlog/types.ts';
import { unavailable } from '@caudal/kernel/errors.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { until } from '@caudal/testing/until.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createHandler } from '../generations/generation.ts';
import { changeGenerations, type Generation } from '../generations/generations.ts';
import { isMultiStream } from '../multi-stream/types.ts';
import { collectionOf } from '../projector.ts';
import type { Collection, ViewStore } from '../stores/store.ts';
import { cancelled, ordered } from '../testing/gathered.ts';
import {
  confirmed,
  created,
  type Details,
  deposited,
  details,
  movements,
  succeeded,
  testLogs,
} from '../testing/projections.ts';
import { type TestStore, testStores } from '../testing/stores.ts';
import { deleted, type Projection } from '../types.ts';
import { type ReadYourWritesOptions, readYourWrites } from './read-your-writes.ts';
import { openViews } from './views.ts';

const late = { code: 'UNAVAILABLE', reason: 'NOT_YET_VISIBLE', retryAfterMs: expect.any(Number) };
/** Only an event tells its view. */
const byContent: Projection<Details> = {
  ...details,
  follows: [{ ...details.follows[0]!, view: ({ id, event }) => (event ? id : undefined) }],
};
/** An order that is confirmed is no longer listed. */
const ending: Projection<Details> = {
  ...details,
  follows: details.follows.map((follow) => ({
    ...follow,
    evolve: (view, event) => (event.event.$case === 'confirmed' ? deleted : follow.evolve(view, event)),
  })),
};

for (const name of ['mongodb', 'postgres', 'elasticsearch'] as const) {
  /** Only there a write is not found at once. */
  const delays = name === 'elasticsearch';

  describeWith([name], `queries with a token on ${name}`, () => {
    let place: TestStore;
    let version = 0;
    beforeAll(async () => {
      place = await testStores[name]();
    });
    afterAll(() => place.remove());

    /** A projection with one generation; counts the calls that waiting queries make. */
    async function setUp<V>(declared: ReadYourWritesOptions<V>['projection']) {
      version += 1;
      const projection = { ...declared, version };
      const made = testLogs();
      const calls = { log: 0, load: 0, found: 0, refresh: 0, passed: 0 };
      /** Replaces calls of the collections that queries read. */
      const replaced: Partial<Collection> = {};
      const counting = (collection: Collection): Collection => ({
        ...collection,
        load(ids) {
          calls.load += 1;
          return (replaced.load ?? collection.load)(ids);
        },
        refresh() {
          calls.refresh += 1;
          return (replaced.refresh ?? collection.refresh)();
        },
        ...(collection.found && {
          found(ids: string[]) {
            calls.found += 1;
            return collection.found!(ids);
          },
        }),
      });
      const store: ViewStore = {
        ...place.store,
        collection(of, layout) {
          const collection = place.store.collection(of, layout);
          return of === 'generations' ? collection : counting(collection);
        },
      };
      const logs = new Map<string, LogReader>(
        [...made.logs].map(([domain, log]) => {
          const readStreams: LogReader['readStreams'] = (...args) => {
            calls.log += 1;
            return log.readStreams(...args);
          };
          return [domain, { ...log, readStreams }];
        }),
      );
      const generation = async (number: number) => {
        const of = { projection, store: place.store, generation: number };
        await collectionOf(of).create();
        if (isMultiStream(projection)) await createGenerationFacts(number);
        return { handler: createHandler(of), collection: collectionOf(of) };
      };
      const createGenerationFacts = (number: number) =>
        place.store.collection(`${projection.name}.v${version}.${number}.facts`, { keys: {}, indexes: [] }).create();
      const record = (...generations: Generation[]) =>
        changeGenerations(projection, place.store, () => ({ last: generations.length, generations }));
      const first = await generation(1);
      await record({ number: 1, fed: true, from: 0 });
      const { generations, ...views } = openViews<V>({ projection, store, cacheMs: 100 });
      let passedTo = 0;
      const open = (options: Partial<ReadYourWritesOptions<V>> = {}) =>
        readYourWrites<V>({
          projection,
          store,
          generations,
          logs,
          async passed(_, { position }) {
            calls.passed += 1;
            return position <= passedTo;
          },
          ...options,
        });
      const cost = async (work: () => Promise<unknown>) => {
        const before = { ...calls };
        await work();
        return Object.fromEntries(
          Object.entries(calls).map(([call, count]) => [call, count - before[call as keyof typeof calls]]),
        );
      };
      return {
        ...made,
        ...first,
        projection,
        replaced,
        views,
        open,
        calls,
        cost,
        generation,
        record,
        pass: (position: number) => {
          passedTo = position;
        },
      };
    }

    const free = { log: 0, load: 0, found: 0, refresh: 0, passed: 0 };
    /** One call finds that queries see the write. */
    const oneLook = { ...free, ...(delays ? { found: 1 } : { load: 1 }) };
    const of1 = [{ stream: 'orders.order/1', version: 1 }];

    test('a token that is reached costs no read of the log and no refresh, and the second time nothing', async () => {
      const { open, cost, handler, collection, append } = await setUp(details);
      await handler.handle(await append(order, '1', created('ann')));
      await handler.handle(await append(payment, '2', succeeded));
      await collection.refresh();
      const writes = open();
      const token = [...of1, { stream: 'payments.payment/2', version: 1 }];
      expect(await cost(() => writes.seen(token))).toEqual(oneLook);
      expect(await cost(() => writes.seen(token))).toEqual(free);
      expect(await cost(() => writes.seen([{ stream: 'inventory.stock/x', version: 5 }]))).toEqual(free);
      // In another process.
      const other = open();
      expect(await cost(() => Promise.all([other.seen(token), other.seen(of1)]))).toEqual(oneLook);
    });

    test('a view that has ended has seen its streams; so has the cursor of a history', async () => {
      const ended = await setUp(ending);
      await ended.handler.handle(await ended.append(order, '1', created('ann'), confirmed));
      await ended.collection.refresh();
      const token = [{ stream: 'orders.order/1', version: 2 }];
      expect(await ended.cost(() => ended.open().seen(token))).toEqual(oneLook);

      const history = await setUp(movements);
      await history.handler.handle(await history.append(wallet, 'w', deposited(5n)));
      await history.collection.refresh();
      const ofWallet = [{ stream: 'payments.wallet/w', version: 1 }];
      expect(await history.cost(() => history.open().seen(ofWallet))).toEqual(oneLook);
    });

    test('many queries that wait for writes cost one refresh after these are there', async () => {
      const { open, calls, handler, append, views } = await setUp(details);
      const events = await append(order, '1', created('ann'));
      const others = await append(order, '2', created('ann'));
      const writes = open();
      const waiting = Array.from({ length: 60 }, (_, number) =>
        writes.seen([{ stream: `orders.order/${1 + (number % 2)}`, version: 1 }]),
      );
      await until(() => calls.load >= 4);
      expect(calls.refresh).toBe(0);
      await handler.handle([...events, ...others]);
      await Promise.all(waiting);
      expect(calls).toMatchObject({ log: 0, refresh: delays ? 1 : 0, found: delays ? 1 : 0 });
      // Rounds, not calls of each query.
      expect(calls.load).toBeLessThan(60);
      const found = await views.find({ where: [{ key: 'customer', equals: 'ann' }], limit: 5 });
      expect(found.views).toHaveLength(2);
    });

    test('a token of a write that is not there waits, then sees it, or answers that it does not yet', async () => {
      const { open, handler, append, views } = await setUp(details);
      const writes = open();
      const orders = await append(order, '1', created('ann'), confirmed);
      const paid = await append(payment, '1', succeeded);
      await handler.handle(orders.slice(0, 1));
      await writes.seen(of1);
      const second = [{ stream: 'orders.order/1', version: 2 }];
      await expect(writes.seen(second, { timeoutMs: 80 })).rejects.toMatchObject(late);
      const madeUp = [{ stream: 'orders.order/made-up', version: 2 }];
      await expect(writes.seen(madeUp, { timeoutMs: 20 })).rejects.toMatchObject(late);
      const waiting = writes.seen([...second, { stream: 'payments.payment/1', version: 1 }]);
      await handler.handle(paid);
      await handler.handle(orders);
      await waiting;
      expect((await views.find({ where: [{ key: 'customer', equals: 'ann' }], limit: 2 })).views).toMatchObject([
        { id: '1', view: { status: 'confirmed', paid: true }, streams: { 'orders.order/1': 2 } },
      ]);
      const signal = AbortSignal.abort();
      await expect(writes.seen(madeUp, { signal })).rejects.toMatchObject({ reason: 'CALL_CANCELLED' });
    });

    test('a projection that finds the view in an event reads each stream once', async () => {
      const { open, cost, handler, collection, append } = await setUp(byContent);
      await handler.handle(await append(order, '1', created('ann'), confirmed));
      await collection.refresh();
      const writes = open();
      expect(await cost(() => Promise.all([writes.seen(of1), writes.seen(of1)]))).toEqual({ ...oneLook, log: 1 });
      const second = [{ stream: 'orders.order/1', version: 2 }];
      expect(await cost(() => writes.seen(second))).toEqual(oneLook);
      const broken = new Map([['orders', { readStreams: () => Promise.reject(unavailable('orders')) } as never]]);
      await expect(open({ logs: broken }).seen(of1)).rejects.toMatchObject({ reason: 'DEPENDENCY_UNAVAILABLE' });
      const silent = new Map([['orders', { readStreams: () => new Promise(() => {}) } as never]]);
      await expect(open({ logs: silent }).seen(of1, { timeoutMs: 20 })).rejects.toMatchObject(late);
    });

    test('what another generation has seen does not count', async () => {
      const { open, cost, handler, collection, append, generation, record, views } = await setUp(details);
      const events = await append(order, '1', created('ann'));
      await handler.handle(events);
      await collection.refresh();
      const writes = open();
      await writes.seen(of1);
      const next = await generation(2);
      await record({ number: 1, fed: true, from: 0, until: 9e15 }, { number: 2, fed: true, from: 1 });
      await until(async () => (await views.find({ limit: 1 })).views.length === 0);
      await expect(writes.seen(of1, { timeoutMs: 50 })).rejects.toMatchObject(late);
      const waiting = writes.seen(of1);
      await next.handler.handle(events);
      await waiting;
      expect(await cost(() => writes.seen(of1))).toEqual(free);
      expect((await views.find({ limit: 5 })).views).toHaveLength(1);
    });

    test('a store that does not answer holds up no query beyond its time; errors reach those that wait', async () => {
      const { open, replaced, handler, append } = await setUp(details);
      await handler.handle(await append(order, '1', created('ann')));
      replaced.load = () => new Promise(() => {});
      replaced.refresh = () => new Promise(() => {});
      await expect(open().seen(of1, { timeoutMs: 20 })).rejects.toMatchObject(late);
      replaced.load = () => Promise.reject(unavailable(name));
      const unseen = [{ stream: 'orders.order/2', version: 1 }];
      await expect(open().seen(unseen)).rejects.toMatchObject({ reason: 'DEPENDENCY_UNAVAILABLE' });
      delete replaced.load;
      if (!delays) return;
      replaced.refresh = () => Promise.reject(unavailable(name));
      await handler.handle(await append(order, '2', created('ann')));
      await expect(open().seen(unseen)).rejects.toMatchObject({ reason: 'DEPENDENCY_UNAVAILABLE' });
    });

    test('of a view that gathers: facts that have seen the write, else the checkpoint, tell', async () => {
      const { open, cost, handler, append, pass, logs } = await setUp(ordered);
      await handler.handle(await append(order, '1', created('ann', 5n)));
      await handler.handle(await append(order, '1', confirmed));
      await handler.handle(await append(order, '2', created('ann', 5n), cancelled));
      const writes = open();
      const refreshed = { refresh: delays ? 1 : 0 };
      expect(await cost(() => writes.seen(of1))).toEqual({ ...free, ...refreshed, load: 1 });
      expect(await cost(() => writes.seen(of1))).toEqual(free);
      const ended = [{ stream: 'orders.order/2', version: 2 }];
      expect(await cost(() => writes.seen(ended))).toEqual({ ...free, ...refreshed, load: 1 });
      // It has changed no facts: its position is read once.
      const unchanged = [{ stream: 'orders.order/1', version: 2 }];
      await expect(writes.seen(unchanged, { timeoutMs: 60 })).rejects.toMatchObject(late);
      pass(logs.get('orders')!.events.length);
      expect(await cost(() => writes.seen(unchanged))).toEqual({ ...free, ...refreshed, load: 1, passed: 1 });
      expect(await cost(() => writes.seen(unchanged))).toEqual(free);
    });
  });
}
