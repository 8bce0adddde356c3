/** Projectors on every store: order, repeats, gaps, poison, races; the fold is the same in all cases. */
import { order, payment, wallet } from '@caudal/contract/entities.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { isTransient, unavailable } from '@caudal/kernel/errors.ts';
import type { EventHandler } from '@caudal/messaging/types.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { seenBy } from '@caudal/testing/seen-by.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { collectionOf, createProjector } from './projector.ts';
import type { Collection, ViewStore } from './stores/store.ts';
import {
  confirmed,
  created,
  type Details,
  deposited,
  details,
  frozen,
  movements,
  poisonous,
  succeeded,
  testLogs,
} from './testing/projections.ts';
import { type TestStore, testStores, throughProxy } from './testing/stores.ts';
import { deleted, type Projection } from './types.ts';

async function viewsIn<V>(collection: Collection, projection: Projection<V>): Promise<Record<string, V>> {
  await collection.refresh();
  const documents = await collection.scan({ limit: 1000 });
  const views = documents.filter(({ view }) => view !== undefined);
  return Object.fromEntries(views.map(({ id, view }) => [id, projection.codec.fromJSON(view)]));
}

const order1: Details = {
  customer: 'ann',
  status: 'confirmed',
  total: 7n,
  paid: true,
  created: new Date('2026-01-01'),
};

for (const name of ['mongodb', 'postgres', 'elasticsearch'] as const) {
  describeWith([name], `projectors on ${name}`, () => {
    let place: TestStore;
    let generation = 0;
    beforeAll(async () => {
      place = await testStores[name]();
    });
    afterAll(() => place.remove());

    async function fresh<V>(
      projection: Projection<V>,
    ): Promise<{ projector: EventHandler; another: EventHandler; collection: Collection }> {
      generation += 1;
      const collection = collectionOf({ projection, store: place.store, generation });
      await collection.create();
      const projector = createProjector({ projection, store: place.store, generation });
      return { projector, another: createProjector({ projection, store: place.another(), generation }), collection };
    }

    async function history(): Promise<{ orders: RecordedEvent[]; payments: RecordedEvent[] }> {
      const { append } = testLogs();
      return {
        orders: await append(order, '1', created('ann', 7n), confirmed),
        payments: await append(payment, '1', { $case: 'voided', value: { orderId: '' } }, succeeded),
      };
    }

    test('folds the streams of a view in any order, and drops repeats', async () => {
      const { projector, collection } = await fresh(details);
      const { orders, payments } = await history();
      expect(await projector.handle(payments)).toEqual([]);
      expect(await projector.handle([...payments, ...orders])).toEqual([]);
      expect(await projector.handle([...orders, ...payments])).toEqual([]);
      expect(await viewsIn(collection, details)).toEqual({ 1: order1 });
      expect(await collection.load(['1'])).toMatchObject([
        { revision: 2, streams: { 'orders.order/1': 2, 'payments.payment/1': 2 } },
      ]);
      expect(await seenBy(projector, [orders[1]!, payments[1]!, (await history()).orders[0]!])).toEqual([2, 2, 2]);
    });

    test('reports a gap, with the version that it has seen, and applies nothing behind it', async () => {
      const { projector, collection } = await fresh(details);
      const { append } = testLogs();
      const events = await append(
        order,
        '1',
        created('ann'),
        confirmed,
        { $case: 'shipped', value: {} } as never,
        confirmed,
      );
      const others = await append(payment, '1', succeeded);
      expect(await projector.handle([events[0]!, events[2]!, events[3]!, ...others])).toEqual([
        { kind: 'gap', stream: 'orders.order/1', seen: 1 },
      ]);
      expect(await viewsIn(collection, details)).toMatchObject({ 1: { status: 'created', paid: true } });
      expect(await projector.handle(events.slice(1))).toEqual([]);
      expect(await viewsIn(collection, details)).toMatchObject({ 1: { status: 'confirmed' } });
    });

    test('an event that cannot be folded fails alone: earlier events and other streams do not', async () => {
      const { projector, collection } = await fresh(details);
      const { append } = testLogs();
      const bad = await append(order, '1', created('ann'), poisonous, confirmed);
      const paid = await append(payment, '1', succeeded);
      const good = await append(order, '2', created('ben'), confirmed);
      const undecodable = {
        ...(await append(order, '3', created('cleo')))[0]!,
        type: 'orders.order.created.v1',
        schemaVersion: 99,
      };
      const unfinished = await projector.handle([...bad, ...good, ...paid, undecodable]);
      expect(unfinished).toHaveLength(2);
      expect(unfinished).toEqual(
        expect.arrayContaining([
          { kind: 'failed', event: bad[1], error: new Error('poison') },
          { kind: 'failed', event: undecodable, error: expect.any(Error) },
        ]),
      );
      expect(await viewsIn(collection, details)).toMatchObject({
        1: { status: 'created', paid: true },
        2: { status: 'confirmed' },
      });
      expect(await seenBy(projector, [bad[2]!, undecodable])).toEqual([1, 0]);
    });

    test('a view that the store refuses fails the event that caused it', async () => {
      const refused: Record<typeof name, string> = {
        mongodb: 'x'.repeat(17_000_000),
        postgres: 'a\u0000b',
        elasticsearch: 'x'.repeat(40_000),
      };
      const { projector, collection } = await fresh(details);
      const { append } = testLogs();
      const paid = await append(payment, '1', succeeded);
      const bad = await append(order, '1', confirmed, created(refused[name]), confirmed);
      const good = await append(order, '2', created('ben'));
      const unfinished = await projector.handle([...bad, ...paid, ...good]);
      expect(unfinished.map((one) => one.kind === 'failed' && one.event)).toEqual([bad[1]]);
      expect(unfinished.every((one) => one.kind === 'failed' && !isTransient(one.error))).toBe(true);
      expect(await viewsIn(collection, details)).toMatchObject({
        1: { status: 'confirmed', paid: true },
        2: { customer: 'ben' },
      });
    });

    test('an event without a view counts as seen, and a view that ends keeps its versions', async () => {
      const { append } = testLogs();
      const [first, second, third] = await append(order, '1', created('ann'), confirmed, created('ben'));
      const [elsewhere] = await append(order, 'skipped', created('ann'));
      const ending: Projection<Details> = {
        ...details,
        name: 'test-ending',
        follows: [
          {
            ...details.follows[0]!,
            view: ({ id }) => (id === 'skipped' ? undefined : id),
            evolve: (view, event) =>
              event.event.$case === 'confirmed' ? deleted : details.follows[0]!.evolve(view, event),
          },
        ],
      };
      const { projector, collection } = await fresh(ending);
      expect(await projector.handle([first!, second!, elsewhere!])).toEqual([]);
      expect(await viewsIn(collection, ending)).toEqual({});
      expect(await seenBy(projector, [second!, elsewhere!])).toEqual([2, 1]);
      expect(await projector.handle([first!, second!, third!])).toEqual([]);
      expect(await viewsIn(collection, ending)).toMatchObject({ 1: { customer: 'ben' } });
    });

    test('a history has a document for each event, and a cursor that is written last', async () => {
      const { projector, another, collection } = await fresh(movements);
      const { append } = testLogs();
      const events = await append(
        wallet,
        'w',
        deposited(1n),
        { $case: 'unfrozen', value: {} },
        deposited(2n),
        frozen,
        deposited(3n),
      );
      expect(await projector.handle([events[0]!, events[2]!])).toEqual([
        { kind: 'gap', stream: 'payments.wallet/w', seen: 1 },
      ]);
      const results = await Promise.all([projector, another].map(({ handle }) => handle(events)));
      for (const unfinished of results) expect(unfinished).toMatchObject([{ kind: 'failed', event: events[3] }]);
      const amounts = Object.values(await viewsIn(collection, movements)).map(({ amount }) => amount);
      expect(amounts.sort()).toEqual([1n, 2n]);
      expect(await seenBy(projector, [events[4]!])).toEqual([3]);
      expect(await collection.count([])).toBe(2);
    });

    test('a view that begins is not read first, and an existing one is kept all the same', async () => {
      const { collection } = await fresh(details);
      const loads: string[] = [];
      const watched: ViewStore = {
        ...place.store,
        collection: (named, layout) => {
          const native = place.store.collection(named, layout);
          const load: Collection['load'] = async (ids) => {
            loads.push(...ids);
            return native.load(ids);
          };
          return { ...native, load };
        },
      };
      const { orders, payments } = await history();
      const projector = createProjector({ projection: details, store: watched, generation });
      expect(await projector.handle(orders.slice(0, 1))).toEqual([]);
      expect(loads.splice(0)).toEqual([]);
      // Repeats, and events of an existing view: both show only when the view is read.
      expect(await projector.handle(orders)).toEqual([]);
      expect(await projector.handle(payments)).toEqual([]);
      expect(loads).toEqual(['1', '1']);
      expect(await viewsIn(collection, details)).toEqual({ 1: order1 });

      // An event that was seen is not tried again, though it would fail now.
      const [first, ...others] = details.follows;
      const evolve = () => {
        throw new Error('poison');
      };
      const broken = { ...details, follows: [{ ...first!, evolve }, ...others] };
      const [begun, later] = orders;
      const again = createProjector({ projection: broken, store: watched, generation });
      expect(await again.handle([begun!])).toEqual([]);
      expect(await again.handle([begun!, { ...later!, version: 4 }])).toEqual([
        { kind: 'gap', stream: 'orders.order/1', seen: 2 },
      ]);
      expect(await viewsIn(collection, details)).toEqual({ 1: order1 });
    });

    test('onWritten is called for every write, also of another writer, and if its answer was lost', async () => {
      const { projector, collection } = await fresh(details);
      const { orders, payments } = await history();
      let answered = true;
      const unsure: ViewStore = {
        ...place.store,
        collection: (named, layout) => {
          const native = place.store.collection(named, layout);
          const save: Collection['save'] = async (writes) => {
            const result = await native.save(writes);
            if (!answered) throw unavailable('the store');
            return result;
          };
          return { ...native, save };
        },
      };
      const told: unknown[] = [];
      const onWritten = async (_: number, views: { id: string; revision: number }[]) =>
        void told.push(...views.map(({ id, revision }) => `${id}@${revision}`));
      const telling = createProjector({ projection: details, store: unsure, generation, onWritten });

      await telling.handle(orders.slice(0, 1));
      expect(told.splice(0)).toEqual(['1@1']);
      answered = false;
      await expect(telling.handle(orders.slice(1))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      answered = true;
      expect(told).toEqual([]);
      expect(await telling.handle(orders.slice(1))).toEqual([]);
      expect(told.splice(0)).toEqual(['1@2']);
      // As a rebuild writes, which does not call it.
      await projector.handle(payments);
      expect(await telling.handle(payments)).toEqual([]);
      expect(told).toEqual(['1@3']);
      expect((await collection.load(['1']))[0]!.revision).toBe(3);
    });

    test('two projectors that race on the same views, with repeats and out of order, reach what the log says', async () => {
      const ids = ['1', '2', '3'];
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.record({ id: fc.constantFrom(...ids), kind: fc.constantFrom('created', 'confirmed', 'paid') }), {
            minLength: 5,
            maxLength: 30,
          }),
          fc.infiniteStream(fc.nat(1_000_000)),
          async (steps, randoms) => {
            const { projector, another, collection } = await fresh(details);
            const { append, all } = testLogs();
            for (const { id, kind } of steps) {
              if (kind === 'paid') await append(payment, id, succeeded);
              else await append(order, id, kind === 'created' ? created(`c${id}`) : confirmed);
            }
            const random = () => (randoms.next().value as number) / 1_000_000;
            /** Handles everything in batches of random size, some twice, some late, until nothing is unfinished. */
            const chaotically = async ({ handle }: EventHandler) => {
              const waiting = [...all(), ...all().filter(() => random() < 0.3)].sort(() => random() - 0.5);
              while (waiting.length > 0) await handle(waiting.splice(0, 1 + Math.floor(random() * 8)));
              expect(await handle(all())).toEqual([]);
            };
            await Promise.all([projector, another].map(chaotically));
            const reference = await fresh(details);
            await reference.projector.handle(all());
            expect(await viewsIn(collection, details)).toEqual(await viewsIn(reference.collection, details));
            expect(await seenBy(projector, all())).toEqual(
              all().map(({ stream }) => all().filter((event) => event.stream === stream).length),
            );
          },
        ),
        { numRuns: 3 },
      );
    });

    test('a store that cannot be reached, or a generation that is gone, fails no event', async () => {
      const { reached, proxy } = await throughProxy(name);
      try {
        const { orders } = await history();
        const projector = createProjector({ projection: details, store: reached.store, generation: 1 });
        if (name !== 'mongodb')
          await expect(projector.handle(orders)).rejects.toMatchObject({ reason: 'VIEW_NOT_BUILT' });
        await collectionOf({ projection: details, store: reached.store, generation: 1 }).create();
        proxy.refuse(true);
        proxy.cut();
        const error = await projector.handle(orders).catch((thrown) => thrown);
        expect(error).toMatchObject({ code: 'UNAVAILABLE' });
        expect(isTransient(error)).toBe(true);
        proxy.refuse(false);
      } finally {
        await reached.remove();
        await proxy.close();
      }
    });
  });
}
