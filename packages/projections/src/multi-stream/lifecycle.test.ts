/**
 * The life of a multi-stream projection on every store: built, fed from the logs, rebuilt, verified, queried with
 * tokens.
 */
import { order, payment } from '@caudal/contract/entities.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import type { Running } from '@caudal/kernel/lifetime.ts';
import { sleep } from '@caudal/kernel/time.ts';
import { feedCheckpoint } from '@caudal/messaging/checkpoints.ts';
import { countParked } from '@caudal/messaging/dead-letters/parked.ts';
import { deleteHandlerState } from '@caudal/messaging/delete-handler-state.ts';
import { migrations as messagingMigrations } from '@caudal/messaging/migrations.ts';
import { hasPassed, logFeed } from '@caudal/messaging/subscription/log-feed.ts';
import { openParking } from '@caudal/messaging/subscription/parking.ts';
import { runSubscription } from '@caudal/messaging/subscription/subscription.ts';
import { acquire, advance, release } from '@caudal/postgres/checkpoint.ts';
import { type Database, openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { migrations } from '@caudal/postgres/migrations.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { createRandom } from '@caudal/testing/random.ts';
import { type FreshDatabase, freshDatabase } from '@caudal/testing/servers.ts';
import { until } from '@caudal/testing/until.ts';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { followGenerations } from '../generations/follow-generations.ts';
import { createGeneration, dropGeneration } from '../generations/generation.ts';
import { changeGenerations } from '../generations/generations.ts';
import { ensureBuilt, type RebuildOptions, rebuild } from '../generations/rebuild.ts';
import { collectionOf } from '../projector.ts';
import { readYourWrites } from '../queries/read-your-writes.ts';
import { openViews } from '../queries/views.ts';
import { cancelled, delivered, type Ordered, ordered, plainly, requested } from '../testing/gathered.ts';
import { confirmed, created, poisonous, type TestLogs, testLogs } from '../testing/projections.ts';
import { storeNames } from '../testing/rebuild.ts';
import { type TestStore, testStores } from '../testing/stores.ts';
import { isRight } from '../verify/report.ts';
import { verify } from '../verify/verify.ts';
import type { MultiStreamProjection } from './types.ts';

/** The same projection with its fault fixed: it ignores what the other can't handle. */
const mended = (projection: MultiStreamProjection<Ordered>): MultiStreamProjection<Ordered> => ({
  ...projection,
  gathers: projection.gathers.map((one, index) =>
    index > 0 ? one : { ...one, views: (event) => one.views(event).filter((id) => id !== 'poisoned') },
  ),
});

for (const name of storeNames) {
  describeWith([name, 'postgres'], `multi-stream projections on ${name}`, () => {
    let place: TestStore;
    let fresh: FreshDatabase;
    let database: Database;
    let version = 0;
    const stops: Running[] = [];

    beforeAll(async () => {
      place = await testStores[name]();
      fresh = await freshDatabase();
      await migrate({ url: fresh.url, schema: 'context', sets: [migrations, messagingMigrations] });
      database = openDatabase({ url: fresh.url, schema: 'context' });
    });
    afterEach(async () => {
      await Promise.all(stops.splice(0).map((running) => running.stop()));
    });
    afterAll(async () => {
      await place.remove();
      await database.close();
      await fresh.drop();
    });

    async function filled(handler: string, positions: ReadonlyMap<string, number>): Promise<void> {
      for (const [domain, position] of positions) {
        const named = { name: feedCheckpoint(handler, domain), ttlMs: 5_000 };
        const lease = (await acquire(database, { ...named, holder: 'filled' }))!;
        await advance(database, { ...named, epoch: lease.epoch, position });
        await release(database, { ...named, epoch: lease.epoch });
      }
    }

    /** A version of the projection for this test only, as a projector role and a query role use it. */
    function setUp({ logs }: TestLogs) {
      version += 1;
      const projection = { ...ordered, version };
      const { store } = place;
      const options: RebuildOptions<Ordered> = {
        projection,
        store,
        logs,
        bind: async () => {},
        filled,
        parking: (handler) => openParking({ handler, database }),
        release: (handler) => deleteHandlerState(database, handler),
      };
      let holders = 0;
      const follow = (followed = projection) => {
        const holder = `process ${++holders}`;
        const following = followGenerations({
          projection: followed,
          store,
          everyMs: 100,
          start: (handler) =>
            runSubscription({
              handler,
              feed: logFeed({ handler, logs, database, holder, maxBatch: 8, prompt: true, ttlMs: 1_000 }),
              logs,
              database,
              retry: { times: 1, firstMs: 1, maxMs: 1 },
            }),
          release: options.release,
        });
        stops.push(following);
        return following;
      };
      const views = openViews<Ordered>({ projection, store, cacheMs: 100 });
      const handlerOf = (generation: number) => `test-ordered.v${version}.${generation}`;
      const { generations } = views;
      const passed = (handler: string, event: Parameters<typeof hasPassed>[2]) => hasPassed(database, handler, event);
      const writes = readYourWrites<Ordered>({ projection, store, generations, logs, passed });
      const seen = ({ stream, version: of }: Pick<RecordedEvent, 'stream' | 'version'>, timeoutMs = 10_000) =>
        writes.seen([{ stream, version: of }], { timeoutMs });
      return { projection, store, options, follow, views, handlerOf, seen };
    }

    /** The current views. */
    async function viewsNow({ views, projection }: Pick<ReturnType<typeof setUp>, 'views' | 'projection'>) {
      const { collection } = await views.generations.current();
      await collection.refresh();
      const documents = (await collection.scan({ limit: 1000 })).filter(({ view }) => view !== undefined);
      return Object.fromEntries(documents.map(({ id, view }) => [id, projection.codec.fromJSON(view)]));
    }

    test('are exact while processes change, writers write and a rebuild takes place', async () => {
      const made = testLogs();
      const place = setUp(made);
      const { projection, store, options, follow, seen } = place;
      const random = createRandom(11, name);
      const customer = () => random.pick(['ann', 'ben', 'cleo', 'dora']);
      const step = async () => {
        const id = String(random.int(1, 12));
        if (random.chance(0.2)) return made.append(payment, id, requested(customer()));
        const amount = BigInt(random.int(1, 99));
        const event = random.pick([
          created(customer(), amount),
          created(customer(), amount),
          confirmed,
          cancelled,
          delivered,
        ]);
        return made.append(order, id, event);
      };
      for (let count = 0; count < 60; count++) await step();
      await ensureBuilt(options);
      follow();
      const second = follow();

      let writing = true;
      const writer = (async () => {
        while (writing) {
          await step();
          await sleep(10);
        }
      })();
      const report = await rebuild(options);
      // Whichever of them feeds: one stops, another one takes over.
      await second.stop();
      follow();
      const after = made.all().length;
      await until(async () => made.all().length > after + 20);
      writing = false;
      await writer;
      for (const log of made.logs.values()) await seen(log.events.at(-1)!);

      expect(report).toMatchObject({ generation: 2, replaced: 1, failedCount: 0 });
      expect(report.verified).toBeGreaterThan(0);
      expect(await viewsNow(place)).toEqual(plainly(made.all()));
      for (const maxViews of [undefined, 2]) {
        const verified = await verify({ projection, store, logs: made.logs, maxViews });
        expect(verified).toMatchObject({ findings: [], failed: [] });
        expect(isRight(verified)).toBe(true);
        expect(verified.documents).toBeGreaterThanOrEqual(4);
      }
      await dropGeneration({ projection, store, generation: 1 });
      if (name !== 'mongodb') {
        const gone = store.collection(`test-ordered.v${projection.version}.1.facts`, { keys: {}, indexes: [] });
        await expect(gone.load(['x'])).rejects.toMatchObject({ reason: 'VIEW_NOT_BUILT' });
      }
    }, 60_000);

    test("a query waits until its token's event has passed, and no longer than its time-out", async () => {
      const made = testLogs();
      const { options, follow, seen, views } = setUp(made);
      await made.append(order, '1', created('ann', 7n));
      await ensureBuilt(options);
      const [event] = await made.append(order, '2', created('ann', 5n));
      const began = performance.now();
      await expect(seen(event!, 300)).rejects.toMatchObject({ code: 'UNAVAILABLE', reason: 'NOT_YET_VISIBLE' });
      expect(performance.now() - began).toBeLessThan(5_000);
      const waiting = seen(event!);
      follow();
      await waiting;
      expect((await views.get('ann'))?.view).toMatchObject({ orders: 2, total: 12n });
      expect((await views.find({ where: [{ key: 'orders', equals: 2 }], limit: 5 })).views).toHaveLength(1);
      // It waits for a version that does not exist, but not for a stream that the projection does not follow.
      await expect(seen({ stream: 'orders.order/2', version: 9 }, 100)).rejects.toMatchObject({
        reason: 'NOT_YET_VISIBLE',
      });
      await seen({ stream: 'payments.wallet/2', version: 9 }, 100);
      // A parked stream is not seen, however far the checkpoint is.
      await made.append(order, '1', poisonous);
      const [next] = await made.append(order, '2', confirmed);
      await seen(next!);
      await expect(seen({ stream: 'orders.order/1', version: 2 }, 100)).rejects.toMatchObject({
        reason: 'NOT_YET_VISIBLE',
      });
    }, 30_000);

    test('a stream that fails is parked, the rest is exact; a rebuild after the fix has everything', async () => {
      const made = testLogs();
      const place = setUp(made);
      const { projection, store, options, follow, seen, handlerOf } = place;
      const parkedFrom = new Map<string, number>();
      const withoutParked = ({ stream, version: of }: RecordedEvent) => of >= (parkedFrom.get(stream) ?? Infinity);
      await made.append(order, '1', created('ann', 1n), poisonous, cancelled);
      await made.append(order, '2', created('ann', 2n));
      parkedFrom.set('orders.order/1', 2);
      // The first generation accepts failures.
      await ensureBuilt(options);
      expect(await countParked(database, handlerOf(1))).toBe(1);
      expect(await viewsNow(place)).toEqual(plainly(made.all(), withoutParked));

      follow();
      await made.append(order, '3', created('ben', 3n), poisonous);
      await made.append(order, '1', created('ben', 1n));
      await made.append(order, '3', cancelled);
      parkedFrom.set('orders.order/3', 2);
      const [last] = await made.append(order, '2', created('cleo', 9n));
      await seen(last!);
      expect(await countParked(database, handlerOf(1))).toBe(2);
      expect(await viewsNow(place)).toEqual(plainly(made.all(), withoutParked));
      const right = await verify({ projection, store, logs: made.logs });
      expect(right).toMatchObject({ findings: [], failedCount: 2 });

      await expect(rebuild(options)).rejects.toMatchObject({ reason: 'REBUILD_FAILED_EVENTS' });
      // Fixed, but not built anew: verifying reports what is not in the views.
      const wrong = await verify({ projection: mended(projection), store, logs: made.logs, settleMs: 0 });
      expect(wrong.counts.differing + wrong.counts.behind).toBeGreaterThan(0);
      const report = await rebuild({ ...options, projection: mended(projection) });
      expect(report).toMatchObject({ generation: 3, replaced: 1, failedCount: 0 });
      await until(async () => (await place.views.generations.current()).number === 3);
      expect(await viewsNow(place)).toEqual(plainly(made.all()));
      expect(await countParked(database, handlerOf(3))).toBe(0);
    }, 60_000);

    test('verifying finds what is missing, differing, behind and extra, in as many passes as memory needs', async () => {
      const made = testLogs();
      for (let number = 0; number < 10; number++) await made.append(order, `${number}`, created(`c${number}`, 5n));
      for (let number = 0; number < 10; number++) await made.append(order, `${number}`, confirmed);
      const options = setUp(made);
      await ensureBuilt(options.options);
      const collection = collectionOf({ ...options, generation: 1 });
      const documents = new Map((await collection.load(['c1', 'c2', 'c3'])).map((one) => [one.id, one]));
      const [one, two, three] = ['c1', 'c2', 'c3'].map((id) => documents.get(id)!);
      await collection.save([
        { ...one!, revision: 2, keys: {}, view: { ...(one!.view as object), total: '6' } },
        { ...two!, revision: 2, keys: {}, streams: { orders: 4 } },
        { id: 'ghost', revision: 1, keys: {}, view: three!.view, streams: { orders: 1 } },
      ]);
      await made.append(order, '3', created('c3', 6n));
      await made.append(order, 'new', created('new', 6n));
      for (const maxViews of [3, 100]) {
        const report = await verify({ ...options, logs: made.logs, maxViews, settleMs: 50 });
        expect(report.findings.map(({ kind, id }) => `${id} ${kind}`).sort()).toEqual([
          'c1 differing',
          'c2 differing',
          'c3 behind',
          'ghost extra',
          'new missing',
        ]);
        expect(report.documents).toBe(11);
      }
    });

    test('the facts of a generation are dropped with it', async () => {
      const made = testLogs();
      const { projection, store, options, handlerOf, follow } = setUp(made);
      await made.append(order, '1', created('ann', 1n), poisonous);
      await ensureBuilt(options);
      await createGeneration({ projection, store, generation: 2 });
      await changeGenerations(projection, store, ({ generations }) => ({
        last: 2,
        generations: [
          { ...generations[0]!, until: 1 },
          { number: 2, fed: true, from: 1 },
        ],
      }));
      follow();
      const facts = store.collection(`${handlerOf(1)}.facts`, { keys: {}, indexes: [] });
      await until(async () => (await facts.load(['orders.order/1']).catch(() => [])).length === 0);
      await until(async () => (await countParked(database, handlerOf(1))) === 0);
    }, 30_000);
  });
}
