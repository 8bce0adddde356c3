/** Building and switching generations while events keep coming and queries keep asking. */
import { order, payment, wallet } from '@caudal/contract/entities.ts';
import type { Running } from '@caudal/kernel/lifetime.ts';
import { sleep } from '@caudal/kernel/time.ts';
import type { EventHandler } from '@caudal/messaging/types.ts';
import { describeWith } from '@caudal/testing/servers.ts';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { followGenerations } from './follow-generations.ts';
import { changeGenerations, readGenerations } from './generations.ts';
import { collectionOf } from './projector.ts';
import { ensureBuilt, type RebuildOptions, type RebuildProgress, rebuild } from './rebuild.ts';
import {
  confirmed,
  created,
  type Details,
  deposited,
  details,
  feed,
  movements,
  poisonous,
  succeeded,
  type TestLogs,
  testLogs,
} from './test-projections.ts';
import { type TestStore, testStores } from './test-stores.ts';
import type { Projection } from './types.ts';
import { isRight, verify } from './verify.ts';
import { openViews } from './views.ts';

for (const name of ['mongodb', 'postgres', 'elasticsearch'] as const) {
  describeWith([name], `rebuilding on ${name}`, () => {
    let place: TestStore;
    let version = 0;
    const stops: Running[] = [];
    beforeAll(async () => {
      place = await testStores[name]();
    });
    afterAll(() => place.remove());
    afterEach(async () => {
      await Promise.all(stops.splice(0).map((running) => running.stop()));
    });

    /** A projector role for the projection, and the caller's part of a rebuild. */
    function setUp<V>(declared: Projection<V>, { logs }: TestLogs) {
      version += 1;
      const projection = { ...declared, version };
      const { store } = place;
      const bound: string[] = [];
      const released: string[] = [];
      const positions = new Map<string, ReadonlyMap<string, number>>();
      const options: RebuildOptions<V> = {
        projection,
        store,
        logs,
        bind: async (handler) => void bound.push(handler.name),
        filled: async (handler, seen) => void positions.set(handler, new Map(seen)),
        release: async (handler) => void released.push(handler),
      };
      const follow = (everyMs = 100) => {
        const following = followGenerations({
          projection,
          store,
          everyMs,
          start: (handler) => feed(handler, logs, positions.get(handler.name)),
          release: options.release,
        });
        stops.push(following);
        return following;
      };
      return {
        projection,
        store,
        options,
        follow,
        bound,
        released,
        positions,
        views: openViews({ projection, store, cacheMs: 100 }),
      };
    }

    async function collectionNow<V>(projection: Projection<V>) {
      const record = await readGenerations(projection, place.store);
      return record!.generations;
    }

    test('queries see no gap while a generation takes the place of another', async () => {
      const made = testLogs();
      const { projection, options, follow, views, bound, positions } = setUp(details, made);
      for (let number = 0; number < 100; number++) await made.append(order, `o${number}`, created('ann'), confirmed);
      await ensureBuilt(options);
      follow();

      let writing = true;
      let written = 100;
      const writer = (async () => {
        while (writing) {
          await made.append(order, `o${written}`, created('ann'));
          await made.append(payment, `o${written - 1}`, succeeded);
          written += 1;
          await sleep(40);
        }
      })();
      const counts: number[] = [];
      const generations = new Set<number>();
      let fewest = 0;
      const poller = (async () => {
        while (writing) {
          const { number, collection } = await views.generations.current();
          generations.add(number);
          if (name === 'elasticsearch') await collection.refresh();
          const count = await collection.count([{ key: 'customer', equals: 'ann' }]);
          counts.push(count);
          fewest = Math.min(fewest, count - Math.max(0, ...counts));
          expect((await views.get('o1'))?.view).toMatchObject({ status: 'confirmed' });
          await sleep(20);
        }
      })();
      const steps: RebuildProgress[] = [];
      const report = await rebuild({ ...options, onProgress: (progress) => steps.push(progress) });
      await sleep(300);
      writing = false;
      await Promise.all([writer, poller]);

      expect(report).toMatchObject({ generation: 2, replaced: 1, failed: [] });
      expect(report.verified).toBeGreaterThanOrEqual(100);
      expect([...generations]).toEqual([1, 2]);
      expect(fewest).toBe(0);
      expect(bound).toEqual([1, 2].map((number) => `test-details.v${projection.version}.${number}`));
      expect(positions.get(bound[1]!)!.get('orders')).toBeGreaterThanOrEqual(200);
      expect(new Set(steps.map(({ step }) => step))).toEqual(new Set(['fill', 'verify', 'switch']));
      const verified = await verify({ projection, store: place.store, logs: made.logs });
      expect(verified).toMatchObject({ generation: bound[1], findings: [], failed: [] });
      expect(verified.documents).toBe(written);
      expect(isRight(verified)).toBe(true);
      const [one, two] = await collectionNow(projection);
      expect(one!.until).toBe(two!.from! + 600_000);
    }, 60_000);

    test('the old generation is fed until its time is over, then dropped with its queue', async () => {
      const made = testLogs();
      const { projection, store, options, follow, released, bound } = setUp(details, made);
      await made.append(order, '1', created('ann'));
      await ensureBuilt(options);
      follow();
      await rebuild({ ...options, keepMs: 5_000 });
      await made.append(order, '2', created('ben'));
      const old = collectionOf({ projection, store, generation: 1 });
      await eventually(async () => (await old.load(['2'])).length === 1);
      // As if its time, and the minute after it, were over.
      await changeGenerations(projection, store, (record) => ({
        ...record,
        generations: record.generations.map((generation) =>
          generation.number === 1 ? { ...generation, until: 1 } : generation,
        ),
      }));
      await eventually(async () => (await collectionNow(projection)).length === 1);
      expect(new Set(released)).toEqual(new Set([bound[0]]));
      expect(await old.load(['1']).catch(() => [])).toEqual([]);
    }, 30_000);

    test('a generation is left as it is right before another takes its place', async () => {
      const made = testLogs();
      const [event] = await made.append(order, '1', created('ann'));
      const { projection, store, options } = setUp(details, made);
      await ensureBuilt(options);
      const from = Date.now() + 400;
      await changeGenerations(projection, store, (record) => ({
        last: 2,
        generations: [...record.generations, { number: 2, fed: true, from }],
      }));
      await collectionOf({ projection, store, generation: 2 }).create();
      const handled = new Map<string, number>();
      const start = (handler: EventHandler) => {
        const work = handler.handle([event!]).then(() => handled.set(handler.name.split('.').at(-1)!, Date.now()));
        return { stop: async () => void (await work) };
      };
      stops.push(followGenerations({ projection, store, start, release: options.release, everyMs: 50 }));
      await eventually(async () => handled.size === 2);
      expect(handled.get('1')).toBeGreaterThanOrEqual(from);
      expect(handled.get('2')).toBeLessThan(from);
    });

    test('one builds at a time; who starts meanwhile waits for the first generation', async () => {
      const made = testLogs();
      for (let number = 0; number < 50; number++) await made.append(order, `o${number}`, created('ann'));
      const { options, views, bound } = setUp(details, made);
      let others: Promise<unknown>[] = [];
      const slowly: RebuildOptions<Details> = {
        ...options,
        async bind(handler) {
          await options.bind(handler);
          others = [
            expect(rebuild(options)).rejects.toMatchObject({ code: 'ABORTED', reason: 'REBUILD_RUNNING' }),
            ensureBuilt(options),
          ];
          await others[0];
        },
      };
      await ensureBuilt(slowly);
      await Promise.all(others);
      expect(bound).toHaveLength(1);
      expect(await views.get('o7')).toMatchObject({ view: { customer: 'ann' } });
    });

    test('events that cannot be handled stop a rebuild, but not the first', async () => {
      const made = testLogs();
      await made.append(order, '1', created('ann'), poisonous, confirmed);
      await made.append(order, '2', created('ben'));
      const { projection, options, views, positions, bound } = setUp(details, made);
      await ensureBuilt(options);
      expect((await views.get('1'))?.view.status).toBe('created');
      expect((await views.get('2'))?.view.status).toBe('created');
      // Consumers begin before it, so that it becomes a dead letter.
      expect(positions.get(bound[0]!)!.get('orders')).toBe(1);
      await expect(rebuild(options)).rejects.toMatchObject({
        reason: 'REBUILD_FAILED_EVENTS',
        metadata: { version: '2' },
      });
      expect((await views.generations.current()).number).toBe(1);
      const report = await rebuild({ ...options, acceptFailed: true });
      expect(report).toMatchObject({ generation: 3, failed: [{ stream: 'orders.order/1', version: 2 }] });
      const verified = await verify({ projection, store: place.store, logs: made.logs });
      expect(isRight(verified)).toBe(true);
      expect(verified.failed).toMatchObject([{ stream: 'orders.order/1', version: 2 }]);
    }, 30_000);

    test('what a builder left is dropped by the next', async () => {
      const made = testLogs();
      await made.append(order, '1', created('ann'));
      const { projection, options, released, bound } = setUp(details, made);
      const failing = { ...options, filled: () => Promise.reject(new Error('crash')) };
      await expect(rebuild(failing)).rejects.toThrow('crash');
      await ensureBuilt(options);
      expect(released).toEqual([bound[0]]);
      expect((await collectionNow(projection)).map(({ number }) => number)).toEqual([2]);
      const stopped = AbortSignal.abort();
      await expect(rebuild({ ...options, signal: stopped })).rejects.toMatchObject({ code: 'CANCELLED' });
    });

    test('verifying finds what is missing, differing, behind and extra, in as many passes as memory asks for', async () => {
      const made = testLogs();
      const { projection, store, options } = setUp(details, made);
      for (let number = 0; number < 10; number++) await made.append(order, `o${number}`, created('ann'), confirmed);
      await ensureBuilt(options);
      const collection = collectionOf({ projection, store, generation: 1 });
      const documents = new Map((await collection.load(['o1', 'o2'])).map((document) => [document.id, document]));
      const [one, two] = [documents.get('o1')!, documents.get('o2')!];
      await collection.save([
        { ...one, revision: 2, keys: {}, view: { ...(one.view as object), status: 'invented' } },
        {
          ...two,
          revision: 2,
          keys: {},
          view: { ...(two.view as object), status: 'created' },
          streams: { 'orders.order/o2': 1 },
        },
        { id: 'ghost', revision: 1, keys: {}, view: one.view, streams: { 'orders.order/ghost': 1 } },
      ]);
      await made.append(order, 'o10', created('ben'));
      const report = await verify({ projection, store, logs: made.logs, maxViews: 4, settleMs: 100 });
      expect(report.findings.map(({ kind, id }) => `${id} ${kind}`).sort()).toEqual([
        'ghost extra',
        'o1 differing',
        'o10 missing',
        'o2 behind',
      ]);
      expect(report.counts).toEqual({ missing: 1, differing: 1, behind: 1, extra: 1 });
      expect(report.documents).toBe(11);
    });

    test('histories are built and verified too', async () => {
      const made = testLogs();
      for (const id of ['a', 'b'])
        await made.append(wallet, id, deposited(1n), { $case: 'unfrozen', value: {} }, deposited(2n));
      const { projection, store, options, views } = setUp(movements, made);
      await ensureBuilt(options);
      const found = await views.find({ where: [{ key: 'wallet', equals: 'a' }], limit: 5 });
      expect(found.views.map(({ view }) => view.amount).sort()).toEqual([1n, 2n]);
      expect(await verify({ projection, store, logs: made.logs })).toMatchObject({ documents: 6, findings: [] });
      const collection = collectionOf({ projection, store, generation: 1 });
      const [entry] = await collection.load([found.views[0]!.id]);
      await collection.save([
        { ...entry!, revision: 2, keys: {}, view: { wallet: 'a', amount: '99' } },
        { id: 'ghost', revision: 1, keys: {}, view: { wallet: 'a', amount: '1' }, streams: { 'payments.wallet/a': 1 } },
      ]);
      const report = await verify({ projection, store, logs: made.logs, settleMs: 100 });
      expect(report.findings.map(({ kind, id }) => `${id} ${kind}`).sort()).toEqual(
        [`${entry!.id} differing`, 'ghost extra'].sort(),
      );
    });
  });
}

async function eventually(condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error('it did not happen');
    await sleep(20);
  }
}
