/** Rebuilds that are interrupted, overtaken or cut off: what they leave, and when it is dropped. */

import { order } from '@caudal/contract/entities.ts';
import { unavailable } from '@caudal/kernel/errors.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { until } from '@caudal/testing/until.ts';
import { expect, test } from '@jest/globals';
import { collectionOf } from '../projector.ts';
import type { Collection, ViewStore } from '../stores/store.ts';
import { created, type Details, details, testLogs } from '../testing/projections.ts';
import { rebuildPlace, storeNames } from '../testing/rebuild.ts';
import { dropExpired, followGenerations } from './follow-generations.ts';
import { changeGenerations, readGenerations } from './generations.ts';
import { ensureBuilt, type RebuildOptions, rebuild } from './rebuild.ts';

for (const name of storeNames) {
  describeWith([name], `interrupted rebuilds on ${name}`, () => {
    const { setUp, collectionNow, stops } = rebuildPlace(name);

    test('what a builder left is dropped when no process can create it again', async () => {
      const made = testLogs();
      await made.append(order, '1', created('ann'));
      const { projection, store, options, released, bound } = setUp(details, made);
      const failing = { ...options, filled: () => Promise.reject(new Error('crash')) };
      await expect(rebuild(failing)).rejects.toThrow('crash');
      await ensureBuilt(options);
      const [left, built] = await collectionNow(projection);
      // Consumers end at once, queue and collection are dropped a minute later.
      expect(left).toMatchObject({ number: 1, fed: false, until: expect.any(Number) });
      expect(Math.abs(left!.until! - Date.now())).toBeLessThan(60_000);
      expect(built).toMatchObject({ number: 2, fed: true });
      expect(released).toEqual([]);
      const record = (await readGenerations(projection, store))!;
      await dropExpired({ projection, store, release: options.release, record, now: left!.until! + 60_000 });
      expect(released).toEqual([bound[0]]);
      expect((await collectionNow(projection)).map(({ number }) => number)).toEqual([2]);
      const stopped = AbortSignal.abort();
      await expect(rebuild({ ...options, signal: stopped })).rejects.toMatchObject({
        code: 'CANCELLED',
        reason: 'CALL_CANCELLED',
      });
    });

    test('a builder that was suspended past its lease drops what it writes afterwards', async () => {
      const made = testLogs();
      await made.append(order, '1', created('ann'));
      const { projection, store, options, released, bound } = setUp(details, made);
      const stalling: RebuildOptions<Details> = {
        ...options,
        async filled() {
          // Minutes pass; another process takes over, and drops what it finds.
          await changeGenerations(projection, store, ({ last, generations }) => ({
            last: last + 1,
            builder: { id: 'another', until: Date.now() + 60_000 },
            generations: generations.filter(({ number }) => number !== last),
          }));
          await collectionOf({ projection, store, generation: 1 }).drop();
        },
      };
      await expect(rebuild(stalling)).rejects.toMatchObject({ reason: 'REBUILD_LOST' });
      expect(released).toEqual([bound[0]]);
      expect(await collectionNow(projection)).toEqual([]);
    });

    test('a record that was lost starts the numbers anew: what has such a name is removed first', async () => {
      const made = testLogs();
      await made.append(order, '1', created('ann'));
      const { projection, store, options, bound, released, views } = setUp(details, made);
      await ensureBuilt(options);
      const leftover = collectionOf({ projection, store, generation: 1 });
      const [document] = await leftover.load(['1']);
      const { guard: _, ...copy } = document!;
      await leftover.save([{ ...copy, id: 'of-the-past', revision: 1, keys: {} }]);
      await changeGenerations(projection, store, () => ({ last: 0, generations: [] }));
      const bind: typeof options.bind = async (handler) => {
        expect(released).toEqual([handler.name]);
        await options.bind(handler);
      };
      await ensureBuilt({ ...options, bind });
      expect(bound).toEqual([bound[0], bound[0]]);
      expect(await views.get('of-the-past')).toBeUndefined();
      expect(await views.get('1')).toBeDefined();
    });

    test('a consumer that is still ending keeps its generation from being dropped', async () => {
      const made = testLogs();
      const { projection, store, options, released } = setUp(details, made);
      await ensureBuilt(options);
      let finish = () => {};
      const finished = new Promise<void>((resolve) => {
        finish = resolve;
      });
      let ending = 0;
      const start = () => ({
        stop: () => {
          ending += 1;
          return finished;
        },
      });
      let looks = 0;
      const watched: ViewStore = {
        ...store,
        collection(collection, layout) {
          const opened = store.collection(collection, layout);
          if (collection !== 'generations') return opened;
          const load: typeof opened.load = (ids) => {
            looks += 1;
            return opened.load(ids);
          };
          return { ...opened, load };
        },
      };
      stops.push(followGenerations({ projection, store: watched, start, release: options.release, everyMs: 10 }));
      await until(async () => looks > 1);
      // As after a long suspension: its time, and the minute after it, are over at once.
      await changeGenerations(projection, store, ({ last }) => ({
        last,
        generations: [{ number: 1, fed: true, from: 0, until: 1 }],
      }));
      await until(async () => ending === 1);
      const before = looks;
      await until(async () => looks > before + 3);
      expect(released).toEqual([]);
      finish();
      await until(async () => released.length === 1);
    });

    test('a builder that loses the lease of the first generation waits for the other; a late one builds none', async () => {
      const made = testLogs();
      await made.append(order, '1', created('ann'));
      const { projection, store, options, bound } = setUp(details, made);
      const taken: RebuildOptions<Details> = {
        ...options,
        async filled() {
          await changeGenerations(projection, store, ({ last, generations }) => ({
            last: last + 1,
            generations: [...generations, { number: last + 1, fed: true, from: Date.now() + 60_000 }],
          }));
        },
      };
      // By the clock of its builder queries read it already.
      await ensureBuilt(taken);
      await ensureBuilt(options);
      expect(bound).toHaveLength(1);
      expect((await collectionNow(projection)).map(({ number }) => number)).toEqual([1, 2]);

      // It is built between the read of the record and the lease.
      const raced = setUp(details, made);
      let looks = 0;
      const racing: ViewStore = {
        ...store,
        collection(named, layout) {
          const collection = store.collection(named, layout);
          const load: Collection['load'] = async (ids) => {
            const found = await collection.load(ids);
            looks += 1;
            if (looks === 1) await ensureBuilt(raced.options);
            return found;
          };
          return named === 'generations' ? { ...collection, load } : collection;
        },
      };
      await ensureBuilt({ ...raced.options, store: racing });
      expect(raced.bound).toHaveLength(1);
      expect((await collectionNow(raced.projection)).map(({ number }) => number)).toEqual([1]);
    });

    test('an error after the switch is announced does not take the switch back', async () => {
      const made = testLogs();
      await made.append(order, '1', created('ann'));
      const { store, options, views } = setUp(details, made);
      await ensureBuilt(options);
      let announced = false;
      const broken = (work: (...all: never[]) => unknown) =>
        ((...all: never[]) => (announced ? Promise.reject(new Error('gone')) : work(...all))) as never;
      const failing: ViewStore = {
        ...store,
        collection(named, layout) {
          const collection = store.collection(named, layout);
          const save: Collection['save'] = async (writes) => {
            const result = await collection.save(writes);
            if (JSON.stringify(writes[0]?.view).match(/"from".*"from"/)) announced = true;
            return result;
          };
          if (named === 'generations') return { ...collection, save };
          return { ...collection, count: broken(collection.count), refresh: broken(collection.refresh) };
        },
      };
      const logs = new Map(
        [...made.logs].map(([domain, log]) => [domain, { ...log, readLog: broken(log.readLog) }] as const),
      );
      const report = await rebuild({ ...options, store: failing, logs });
      expect(announced).toBe(true);
      expect(report).toMatchObject({ generation: 2, replaced: 1, views: undefined });
      await until(async () => (await views.generations.current()).number === 2);
    });

    test('the builder waits for the end of an outage, at each step', async () => {
      const made = testLogs();
      await made.append(order, '1', created('ann'));
      const { options, views } = setUp(details, made);
      const calls: string[] = [];
      /** Fails at first. */
      const shaky = <A extends unknown[]>(step: string, work: (...all: A) => Promise<void>) => {
        return async (...all: A) => {
          calls.push(step);
          if (calls.filter((call) => call === step).length === 1) throw unavailable(step);
          await work(...all);
        };
      };
      await ensureBuilt({
        ...options,
        bind: shaky('bind', options.bind),
        filled: shaky('filled', options.filled),
      });
      expect(calls).toEqual(['bind', 'bind', 'filled', 'filled']);
      expect(await views.get('1')).toMatchObject({ view: { customer: 'ann' } });
    });
  });
}
