/**
 * Multi-stream projections on every store: the result of a plain fold, despite order, crashes, repeats, races,
 * failures.
 */
import { order, payment } from '@caudal/contract/entities.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { isTransient, unavailable } from '@caudal/kernel/errors.ts';
import { sleep } from '@caudal/kernel/time.ts';
import type { InOrderHandler } from '@caudal/messaging/types.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { createRandom, type Random } from '@caudal/testing/random.ts';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createGeneration, createHandler } from '../generations/generation.ts';
import { collectionOf } from '../projector.ts';
import type { Collection, ViewStore } from '../stores/store.ts';
import { cancelled, delivered, type Ordered, ordered, plainly, requested } from '../testing/gathered.ts';
import { memoryStore } from '../testing/memory-store.ts';
import { confirmed, created, poison, poisonous, testLogs } from '../testing/projections.ts';
import { type TestStore, testStores } from '../testing/stores.ts';
import { gather, type MultiStreamProjection } from './types.ts';

class Crash extends Error {}

/** The store of a process that may die at any call: `at` decides that before and after each call. */
function mortal(store: ViewStore, at: () => void | Promise<void>): ViewStore {
  const around = <A extends unknown[], R>(call: (...args: A) => Promise<R>) => {
    return async (...args: A): Promise<R> => {
      await at();
      const result = await call(...args);
      await at();
      return result;
    };
  };
  return {
    ...store,
    collection(name, layout) {
      const collection = store.collection(name, layout);
      return { ...collection, load: around(collection.load), save: around(collection.save) };
    },
  };
}

async function viewsIn<V>(projection: MultiStreamProjection<V>, collection: Collection): Promise<Record<string, V>> {
  await collection.refresh();
  const documents = (await collection.scan({ limit: 1000 })).filter(({ view }) => view !== undefined);
  return Object.fromEntries(documents.map(({ id, view }) => [id, projection.codec.fromJSON(view)]));
}

/** Events of some orders and payments, in random order. */
async function randomLives(random: Random, count: number) {
  const { append, logs, all } = testLogs();
  const customer = () => random.pick(['ann', 'ben', 'cleo']);
  for (let step = 0; step < count; step++) {
    const id = random.pick(['1', '2', '3', '4', '5']);
    if (random.chance(0.2)) await append(payment, id, requested(customer()));
    else
      await append(
        order,
        id,
        random.pick([
          created(customer(), BigInt(random.int(1, 9))),
          created(customer(), 5n),
          confirmed,
          cancelled,
          delivered,
        ]),
      );
  }
  return { logs, all };
}

/** What survives a process: the position up to which each log is handled. */
type Checkpoints = Map<string, number>;

/**
 * A process that feeds a handler with a log, from the checkpoint, in batches of random size. It dies, begins again,
 * goes back to an earlier position, and moves the checkpoint only sometimes.
 */
async function feedChaotically(options: {
  handler: InOrderHandler;
  events: readonly RecordedEvent[];
  domain: string;
  checkpoints: Checkpoints;
  random: Random;
}): Promise<void> {
  const { handler, events, domain, checkpoints, random } = options;
  let position = checkpoints.get(domain) ?? 0;
  for (let deaths = 0; position < events.length; ) {
    const batch = events.slice(position, position + random.int(1, 7));
    try {
      expect(await handler.handle(batch)).toBeUndefined();
      position = batch.at(-1)!.position;
      if (random.chance(0.5)) checkpoints.set(domain, Math.max(position, checkpoints.get(domain) ?? 0));
      if (random.chance(0.1)) position = random.int(0, checkpoints.get(domain) ?? 0);
    } catch (error) {
      if (!(error instanceof Crash)) throw error;
      deaths += 1;
      if (deaths > 40) throw new Error('it dies too often');
      position = checkpoints.get(domain) ?? 0;
    }
  }
}

async function chaos(seed: number, projection: MultiStreamProjection<Ordered>, stores: [ViewStore, ViewStore]) {
  const random = createRandom(seed, 'lives');
  const { logs, all } = await randomLives(random, random.int(10, 40));
  await createGeneration({ projection, store: stores[0], generation: 1 });
  const checkpoints: Checkpoints = new Map();
  const process = async (store: ViewStore, name: string) => {
    const chance = createRandom(seed, name);
    const dying = mortal(store, async () => {
      if (chance.chance(0.03)) throw new Crash();
      // Lets the other process continue.
      for (let turns = chance.int(0, 6); turns > 3; turns--) await sleep(0);
    });
    const handler = createHandler({ projection, store: dying, generation: 1 }) as InOrderHandler;
    // Each log has its own loop, beside the other, like log feeds in several processes.
    const feeds = [...logs].map(([domain, { events }]) =>
      feedChaotically({ handler, events, domain, checkpoints, random: createRandom(seed, `${name} ${domain}`) }),
    );
    await Promise.all(feeds);
  };
  await Promise.all([process(stores[0], 'one'), process(stores[1], 'another')]);
  const views = await viewsIn(projection, collectionOf({ projection, store: stores[0], generation: 1 }));
  return { views, expected: plainly(all()) };
}

describe('a multi-stream projection in random orders', () => {
  test('two processes that die and repeat reach what the logs say, 150 times', async () => {
    for (let seed = 1; seed <= 150; seed++) {
      const store = memoryStore();
      const { views, expected } = await chaos(seed, ordered, [store, store]);
      expect({ seed, views }).toEqual({ seed, views: expected });
    }
  }, 60_000);

  test('after a process dies at any of its calls, another one continues with other batches', async () => {
    const { logs, all } = await randomLives(createRandom(7, 'lives'), 24);
    const events = [...logs.get('orders')!.events];
    const payments = [...logs.get('payments')!.events];
    let died = true;
    for (let last = 1; died; last++) {
      died = false;
      const store = memoryStore();
      await createGeneration({ projection: ordered, store, generation: 1 });
      let calls = 0;
      const dying = mortal(store, () => {
        calls += 1;
        died = calls >= last;
        if (died) throw new Crash();
      });
      const first = createHandler({ projection: ordered, store: dying, generation: 1 }) as InOrderHandler;
      for (let place = 0; place < events.length && !died; place += 5)
        await first.handle(events.slice(place, place + 5)).catch((error) => {
          if (!(error instanceof Crash)) throw error;
        });
      const second = createHandler({ projection: ordered, store, generation: 1 }) as InOrderHandler;
      for (let place = 0; place < events.length; place += 3) await second.handle(events.slice(place, place + 3));
      await second.handle(payments);
      expect({
        last,
        views: await viewsIn(ordered, collectionOf({ projection: ordered, store, generation: 1 })),
      }).toEqual({
        last,
        views: plainly(all()),
      });
    }
  });
});

for (const name of ['mongodb', 'postgres', 'elasticsearch'] as const) {
  describeWith([name], `gatherers on ${name}`, () => {
    let place: TestStore;
    let version = 0;
    beforeAll(async () => {
      place = await testStores[name]();
    });
    afterAll(() => place.remove());

    async function fresh<V>(declared: MultiStreamProjection<V>, store = place.store) {
      version += 1;
      const projection = { ...declared, version };
      await createGeneration({ projection, store: place.store, generation: 1 });
      const written: string[] = [];
      const onWritten = async (_: number, views: { id: string; revision: number }[]) =>
        void written.push(...views.map(({ id, revision }) => `${id}@${revision}`));
      const handler = createHandler({ projection, store, generation: 1, onWritten }) as InOrderHandler;
      const collection = collectionOf({ projection, store: place.store, generation: 1 });
      const facts = place.store.collection(`${handler.name}.facts`, { keys: {}, indexes: [] });
      return { projection, handler, collection, facts, written, views: () => viewsIn(projection, collection) };
    }

    test('gathers from streams and logs, keeps a position for each log, and drops repeats', async () => {
      const { handler, collection, facts, written, views } = await fresh(ordered);
      const { append } = testLogs();
      const orders = [
        ...(await append(order, '1', created('ann', 7n))),
        ...(await append(order, '2', created('ann', 5n), confirmed)),
      ];
      const payments = await append(payment, '1', requested('ann'));
      expect(await handler.handle(orders)).toBeUndefined();
      expect(await handler.handle(payments)).toBeUndefined();
      expect(await handler.handle([...orders, ...payments])).toBeUndefined();
      expect(await views()).toEqual({ ann: { customer: 'ann', orders: 2, total: 12n, payments: 1 } });
      expect(await collection.load(['ann'])).toMatchObject([{ revision: 2, streams: { orders: 2, payments: 1 } }]);
      expect((await facts.load(['orders.order/2'])).map(({ streams, view }) => ({ streams, view }))).toEqual([
        { streams: { 'orders.order/2': 2 }, view: { customer: 'ann', total: '5' } },
      ]);
      expect(written).toEqual(['ann@1', 'ann@2', 'ann@2']);

      // The order is moved from one view to another, taken back, and ended: its facts end, too.
      const more = [
        ...(await append(order, '1', created('ben', 9n))),
        ...(await append(order, '2', cancelled)),
        ...(await append(order, '3', created('cleo'), cancelled)),
      ];
      expect(await handler.handle(more)).toBeUndefined();
      const after = {
        ann: { customer: 'ann', orders: 0, total: 0n, payments: 1 },
        ben: { customer: 'ben', orders: 1, total: 9n, payments: 0 },
      };
      expect(await views()).toEqual(after);
      const kept = await facts.load(['orders.order/1', 'orders.order/2', 'orders.order/3']);
      expect(kept.map(({ id, view }) => [id, view]).sort()).toEqual([
        ['orders.order/1', { customer: 'ben', total: '9' }],
        ['orders.order/2', undefined],
        ['orders.order/3', undefined],
      ]);
      expect(await handler.handle([...orders, ...payments, ...more])).toBeUndefined();
      expect(await views()).toEqual(after);
    });

    test('an event that fails ends the batch: events before it are done, nothing of it or after it', async () => {
      const { handler, views } = await fresh(ordered);
      const { append, all } = testLogs();
      await append(order, '1', created('ann', 7n), poisonous);
      await append(order, '2', created('ben', 5n));
      const failed = await handler.handle(all());
      expect(failed).toEqual({ event: all()[1], error: new Error(poison) });
      expect(Object.keys(await views())).toEqual(['ann']);
      expect(await handler.handle(all().slice(2))).toBeUndefined();
      expect(Object.keys(await views())).toEqual(['ann', 'ben']);
      const undecodable = { ...all()[2]!, version: 2, position: 4, schemaVersion: 99 };
      expect(await handler.handle([undecodable])).toMatchObject({ event: undecodable });
    });

    test('an event of two views that fails for one of them changes neither', async () => {
      const moving: MultiStreamProjection<Ordered> = {
        ...ordered,
        gathers: [
          {
            ...ordered.gathers[0]!,
            evolve(view, event, id) {
              if (event.facts && id === 'ben') throw new Error('no room');
              return ordered.gathers[0]!.evolve(view, event, id);
            },
          },
        ],
      };
      const { handler, views } = await fresh(moving);
      const { append, all } = testLogs();
      await append(order, '1', created('ann', 7n), created('ben', 7n));
      expect(await handler.handle(all())).toMatchObject({ event: all()[1], error: new Error('no room') });
      expect(await views()).toEqual({ ann: { customer: 'ann', orders: 1, total: 7n, payments: 0 } });
    });

    test('a view that the store refuses, or that can not be encoded, fails the event that caused it', async () => {
      const refused = { mongodb: 'x'.repeat(17_000_000), postgres: 'a\u0000b', elasticsearch: 'x'.repeat(40_000) }[
        name
      ];
      const notes: MultiStreamProjection<string> = {
        ...ordered,
        codec: {
          toJSON(text) {
            if (text === 'unspeakable') throw new Error('unspeakable');
            return { text };
          },
          fromJSON: (json) => (json as { text: string }).text,
        },
        gathers: [
          gather<string, Parameters<typeof order.encode>[0]>(order, {
            views: ({ id }) => [id === 'other' ? 'other' : 'shared'],
            evolve: (_, { event }) => (event.$case === 'created' ? event.value.customerId : event.$case),
          }),
        ],
        keys: { text: { type: 'keyword', of: (text) => text } },
        indexes: [],
      };
      for (const [bad, error] of [
        [created(refused), /error/i],
        [created('unspeakable'), /^Error: unspeakable$/],
      ] as const) {
        const { handler, views } = await fresh(notes);
        const { append, all } = testLogs();
        await append(order, '1', created('good'));
        await append(order, '2', bad);
        await append(order, 'other', created('fine'));
        const failed = await handler.handle(all());
        expect(failed?.event.eventId).toBe(all()[1]!.eventId);
        expect(String(failed?.error)).toMatch(error);
        expect(isTransient(failed?.error)).toBe(false);
        expect(await handler.handle(all().slice(2))).toBeUndefined();
        expect(await views()).toEqual({ shared: 'good', other: 'fine' });
      }
    });

    test('an id that no store accepts fails its event, and holds nothing up', async () => {
      const byCustomer = (id: string): MultiStreamProjection<Ordered> => ({
        ...ordered,
        gathers: [{ ...ordered.gathers[0]!, views: ({ version: of }) => (of === 2 ? [id] : ['ann']) }],
      });
      for (const id of ['a\0b', '', 'x'.repeat(513), '\ud800']) {
        const { handler } = await fresh(byCustomer(id));
        const { append } = testLogs();
        const events = await append(order, '1', created('ann', 7n), confirmed);
        expect(await handler.handle(events)).toMatchObject({ event: events[1], error: expect.any(Error) });
      }
    });

    test('an unreachable store fails the batch as a whole, and it may be delivered again', async () => {
      let away = false;
      const shaky = mortal(place.store, () => {
        if (away) throw unavailable('the store');
      });
      const { handler, views } = await fresh(ordered, shaky);
      const { append, all } = testLogs();
      await append(order, '1', created('ann', 7n));
      away = true;
      await expect(handler.handle(all())).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      away = false;
      expect(await handler.handle(all())).toBeUndefined();
      expect(await views()).toMatchObject({ ann: { orders: 1 } });
    });

    test('two processes that die, repeat and race reach what the logs say', async () => {
      for (const seed of [1001, 1002, 1003]) {
        version += 1;
        const stores: [ViewStore, ViewStore] = [place.store, place.another()];
        const { views, expected } = await chaos(seed, { ...ordered, version }, stores);
        expect({ seed, views }).toEqual({ seed, views: expected });
      }
    }, 60_000);
  });
}
