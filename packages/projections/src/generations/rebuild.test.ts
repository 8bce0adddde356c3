/** Building and switching generations while events arrive and queries run. */

import { order, payment } from '@caudal/contract/entities.ts';
import { sleep } from '@caudal/kernel/time.ts';
import type { EventHandler } from '@caudal/messaging/types.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { until } from '@caudal/testing/until.ts';
import { expect, test } from '@jest/globals';
import { collectionOf } from '../projector.ts';
import type { Collection, ViewStore } from '../stores/store.ts';
import { confirmed, created, type Details, details, poisonous, succeeded, testLogs } from '../testing/projections.ts';
import { rebuildPlace, storeNames } from '../testing/rebuild.ts';
import { isRight } from '../verify/report.ts';
import { verify } from '../verify/verify.ts';
import { followGenerations } from './follow-generations.ts';
import { changeGenerations } from './generations.ts';
import { ensureBuilt, type RebuildOptions, type RebuildProgress, rebuild } from './rebuild.ts';

for (const name of storeNames) {
  describeWith([name], `rebuilding on ${name}`, () => {
    const { setUp, collectionNow, stops } = rebuildPlace(name);

    test('queries see no gap while a generation replaces another', async () => {
      const made = testLogs();
      const { projection, options, follow, views, bound, positions } = setUp(details, made);
      for (let number = 0; number < 100; number++) await made.append(order, `o${number}`, created('ann'), confirmed);
      await ensureBuilt(options);
      follow();

      // The writer continues while the builder catches up, but leaves it time, however slow the machine is.
      let writing = true;
      let written = 100;
      const writer = (async () => {
        while (writing) {
          const began = performance.now();
          await made.append(order, `o${written}`, created('ann'));
          await made.append(payment, `o${written - 1}`, succeeded);
          written += 1;
          await sleep(Math.max(40, 2 * (performance.now() - began)));
        }
      })();
      /** What each query found: the generation, and how many orders it had. */
      const looks: { number: number; count: number }[] = [];
      const look = async () => {
        const { number, collection } = await views.generations.current();
        if (name === 'elasticsearch') await collection.refresh();
        looks.push({ number, count: await collection.count([{ key: 'customer', equals: 'ann' }]) });
        expect((await views.get('o1'))?.view).toMatchObject({ status: 'confirmed' });
      };
      const poller = (async () => {
        while (writing) {
          const began = performance.now();
          await look();
          await sleep(Math.max(20, 2 * (performance.now() - began)));
        }
      })();
      const steps: RebuildProgress[] = [];
      const report = await rebuild({ ...options, onProgress: (progress) => steps.push(progress) });
      await until(async () => looks.at(-1)!.number === 2);
      writing = false;
      await Promise.all([writer, poller]);

      expect(report).toMatchObject({ generation: 2, replaced: 1, failed: [] });
      expect(report.verified).toBeGreaterThanOrEqual(100);
      expect([...new Set(looks.map(({ number }) => number))]).toEqual([1, 2]);
      const counts = looks.map(({ count }) => count);
      expect(counts).toEqual(counts.toSorted((a, b) => a - b));
      // Otherwise the test would have shown nothing.
      expect(counts.at(-1)).toBeGreaterThan(counts[0]!);
      expect(bound).toEqual([1, 2].map((number) => `test-details.v${projection.version}.${number}`));
      expect(positions.get(bound[1]!)!.get('orders')).toBeGreaterThanOrEqual(200);
      expect(new Set(steps.map(({ step }) => step))).toEqual(new Set(['fill', 'verify', 'switch']));
      const verified = await verify({ projection, store: options.store, logs: made.logs, settleMs: 30_000 });
      expect(verified).toMatchObject({ generation: bound[1], findings: [], failed: [] });
      expect(verified.documents).toBe(written);
      expect(isRight(verified)).toBe(true);
      const [one, two] = await collectionNow(projection);
      expect(one!.until).toBe(two!.from! + 600_000);
    }, 120_000);

    test('the old generation is fed until its time is over, then dropped with its queue', async () => {
      const made = testLogs();
      const { projection, store, options, follow, released, bound } = setUp(details, made);
      await made.append(order, '1', created('ann'));
      await ensureBuilt(options);
      follow();
      await rebuild({ ...options, keepMs: 5_000 });
      await made.append(order, '2', created('ben'));
      const old = collectionOf({ projection, store, generation: 1 });
      await until(async () => (await old.load(['2'])).length === 1);
      // As if its time, and the minute after it, were over.
      await changeGenerations(projection, store, (record) => ({
        ...record,
        generations: record.generations.map((generation) =>
          generation.number === 1 ? { ...generation, until: 1 } : generation,
        ),
      }));
      await until(async () => (await collectionNow(projection)).length === 1);
      expect(new Set(released)).toEqual(new Set([bound[0]]));
      expect(await old.load(['1']).catch(() => [])).toEqual([]);
    }, 30_000);

    test('consumers of a generation pause right before another replaces it', async () => {
      const made = testLogs();
      const [event] = await made.append(order, '1', created('ann'));
      const { projection, store, options } = setUp(details, made);
      await ensureBuilt(options);
      await collectionOf({ projection, store, generation: 2 }).create();
      // A clock that stands still: however slow the machine is, this much of the pause is left.
      const holdMs = 490;
      const from = Date.now() + 60_000;
      const clock = () => new Date(from - holdMs);
      await changeGenerations(projection, store, (record) => ({
        last: 2,
        generations: [...record.generations, { number: 2, fed: true, from }],
      }));
      const begun = new Map<string, number>();
      const handled = new Map<string, number>();
      const start = (handler: EventHandler) => {
        const which = handler.name.split('.').at(-1)!;
        begun.set(which, performance.now());
        const work = handler.handle([event!]).then(() => handled.set(which, performance.now()));
        return { stop: async () => void (await work) };
      };
      stops.push(followGenerations({ projection, store, start, release: options.release, everyMs: 50, clock }));
      await until(async () => handled.size === 2);
      expect([...handled.keys()]).toEqual(['2', '1']);
      // A timer may be a millisecond early.
      expect(handled.get('1')! - begun.get('1')!).toBeGreaterThanOrEqual(holdMs - 2);
    });

    test('only one process builds at a time; one that starts then waits for the first generation', async () => {
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
      // Consumers begin before this event, so that it becomes a dead letter.
      expect(positions.get(bound[0]!)!.get('orders')).toBe(1);
      await expect(rebuild(options)).rejects.toMatchObject({
        reason: 'REBUILD_FAILED_EVENTS',
        metadata: { version: '2' },
      });
      expect((await views.generations.current()).number).toBe(1);
      const report = await rebuild({ ...options, acceptFailed: true });
      expect(report).toMatchObject({ generation: 3, failed: [{ stream: 'orders.order/1', version: 2 }] });
      const verified = await verify({ projection, store: options.store, logs: made.logs });
      expect(isRight(verified)).toBe(true);
      expect(verified.failed).toMatchObject([{ stream: 'orders.order/1', version: 2 }]);
    }, 30_000);

    test('so does one that arrives after the logs were read, before the switch is announced', async () => {
      const made = testLogs();
      await made.append(order, '1', created('ann'));
      const { options, views } = setUp(details, made);
      await ensureBuilt(options);
      const filled: typeof options.filled = async (...args) => {
        await made.append(order, '1', poisonous);
        await options.filled(...args);
      };
      await expect(rebuild({ ...options, filled })).rejects.toMatchObject({ reason: 'REBUILD_FAILED_EVENTS' });
      expect((await views.generations.current()).number).toBe(1);
    }, 30_000);

    test('the switch is announced ahead, and events until then can be searched for at once', async () => {
      const made = testLogs();
      await made.append(order, '1', created('ann'));
      const { options, views } = setUp(details, made);
      await ensureBuilt(options);
      let attempts = 0;
      let announcedAt = Infinity;
      const refreshes: number[] = [];
      const watched: ViewStore = {
        ...options.store,
        collection(named, layout) {
          const collection = options.store.collection(named, layout);
          const save: Collection['save'] = async (writes) => {
            const announces = named === 'generations' && /"from".*"from"/.test(JSON.stringify(writes[0]?.view));
            if (!announces || announcedAt < Infinity) return collection.save(writes);
            // The first attempt takes long, and another process changes the record during it.
            attempts += 1;
            if (attempts === 1) {
              await sleep(400);
              return { lost: [writes[0]!.id], refused: [] };
            }
            announcedAt = Date.now();
            const result = await collection.save(writes);
            await made.append(order, '2', created('ben'));
            return result;
          };
          const refresh = () => {
            refreshes.push(Date.now());
            return collection.refresh();
          };
          return { ...collection, save, refresh };
        },
      };
      await rebuild({ ...options, store: watched });
      const { from } = (await collectionNow(options.projection))[1]!;
      expect(from! - announcedAt).toBeGreaterThan(2_400);
      expect(refreshes.filter((at) => at >= announcedAt && at < from!)).not.toEqual([]);
      expect(await views.get('2')).toMatchObject({ view: { customer: 'ben' } });
    }, 30_000);
  });
}
