/** For the tests of rebuilding: a store of their own, a projector role, and the caller's part of a rebuild. */
import type { Running } from '@caudal/kernel/lifetime.ts';
import { afterAll, afterEach, beforeAll } from '@jest/globals';
import { followGenerations } from '../generations/follow-generations.ts';
import { readGenerations } from '../generations/generations.ts';
import type { RebuildOptions } from '../generations/rebuild.ts';
import type { AnyProjection } from '../multi-stream/types.ts';
import { openViews } from '../queries/views.ts';
import { feed, type TestLogs } from './projections.ts';
import { type TestStore, testStores } from './stores.ts';

export const storeNames = ['mongodb', 'postgres', 'elasticsearch'] as const;

/** For one `describe`; everything that it opens is closed after it. */
export function rebuildPlace(name: (typeof storeNames)[number]) {
  let place: TestStore;
  let version = 0;
  /** Stopped after each test. */
  const stops: Running[] = [];
  beforeAll(async () => {
    place = await testStores[name]();
  });
  afterAll(() => place.remove());
  afterEach(async () => {
    await Promise.all(stops.splice(0).map((running) => running.stop()));
  });

  /** A version of the projection that is this test's own. */
  function setUp<V>(declared: AnyProjection<V>, { logs }: TestLogs, parking?: RebuildOptions<V>['parking']) {
    version += 1;
    const projection = { ...declared, version };
    const { store } = place;
    const bound: string[] = [];
    /** Without the releases before a generation is made. */
    const released: string[] = [];
    const positions = new Map<string, ReadonlyMap<string, number>>();
    const options: RebuildOptions<V> = {
      projection,
      store,
      logs,
      bind: async (handler) => void bound.push(handler.name),
      parking,
      filled: async (handler, seen) => void positions.set(handler, new Map(seen)),
      release: async (handler) => {
        if (bound.includes(handler)) released.push(handler);
      },
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

  async function collectionNow(projection: { name: string; version: number }) {
    const record = await readGenerations(projection, place.store);
    return record!.generations;
  }

  return { setUp, collectionNow, stops };
}
