import { unavailable } from '@caudal/kernel/errors.ts';
import { limitAggregates } from '@caudal/projections/stores/limit-aggregates.ts';
import { MissingCollection, type StoredDocument, tooCostly } from '@caudal/projections/stores/store.ts';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { storeOf } from '../testing/store-of.ts';
import { storeCircuitBreaker } from './store-circuit-breaker.ts';

const layout = { keys: {}, indexes: [] };
/** How long a call waits before the store reports that it is unreachable. */
const waitMs = 80;

/** A store that fails as a test decides: at once, after a wait, or call by call. */
function fakeStore() {
  const state = { away: undefined as 'at once' | 'after a wait' | undefined, asked: 0, missing: false };
  const answer = async (): Promise<StoredDocument[]> => {
    state.asked += 1;
    if (state.away === 'after a wait') await new Promise((resolve) => setTimeout(resolve, waitMs));
    if (state.away) throw unavailable('the store', new Error('refused'));
    if (state.missing) throw new MissingCollection('views');
    return [];
  };
  const number = async () => (await answer()).length;
  return {
    store: storeOf({ load: answer, find: answer, count: number, aggregate: async () => [], refresh: async () => {} }),
    state,
  };
}

describe('a store behind the circuit breaker', () => {
  const outOfReach = { code: 'UNAVAILABLE', reason: 'DEPENDENCY_UNAVAILABLE', metadata: { dependency: 'the store' } };
  let ending: AbortController;
  beforeEach(() => {
    ending = new AbortController();
  });
  afterEach(() => ending.abort());

  function open(slowMs = 40) {
    const { store, state } = fakeStore();
    const views = storeCircuitBreaker(store, { signal: ending.signal, slowMs, probeEveryMs: 5 }).collection(
      'views',
      layout,
    );
    return { views, state };
  }

  /** How long the call took to fail, in milliseconds. */
  async function failed(call: Promise<unknown>): Promise<number> {
    const began = performance.now();
    await expect(call).rejects.toMatchObject(outOfReach);
    return performance.now() - began;
  }

  test('after a slow failure all calls fail at once, those that wait already included', async () => {
    const { views, state } = open();
    expect(await views.load(['a'])).toEqual([]);
    state.away = 'after a wait';
    const first = failed(views.load(['a']));
    await new Promise((resolve) => setTimeout(resolve, waitMs / 2));
    const second = failed(views.find({ where: [], orderBy: [], limit: 1 }));
    expect(await first).toBeGreaterThanOrEqual(waitMs - 5);
    expect(await second).toBeLessThan(waitMs - 5);
    expect(await failed(views.count([]))).toBeLessThan(waitMs / 2);
    const aggregation = { where: [], groupBy: [], compute: [], orderBy: [], limit: 1, maxMs: 1_000 };
    expect(await failed(views.aggregate(aggregation))).toBeLessThan(waitMs / 2);
    for (let call = 0; call < 20; call++) expect(await failed(views.load(['a']))).toBeLessThan(waitMs / 2);
  });

  test('probes detect that the store is back, without a call', async () => {
    const { views, state } = open();
    state.away = 'after a wait';
    await failed(views.load(['a']));
    state.away = undefined;
    const asked = state.asked;
    for (let round = 0; state.asked === asked && round < 400; round++) await new Promise((ok) => setTimeout(ok, 5));
    await new Promise((resolve) => setImmediate(resolve));
    expect(await views.load(['a'])).toEqual([]);
    // The probes have ended.
    const now = state.asked;
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(state.asked).toBe(now);
  });

  test('a missing collection is an answer', async () => {
    const { views, state } = open();
    state.away = 'after a wait';
    await failed(views.load(['a']));
    Object.assign(state, { away: undefined, missing: true });
    const missing = expect.objectContaining({ reason: 'VIEW_NOT_BUILT' });
    for (let round = 0; ; round++) {
      const error = await views.load(['a']).catch((thrown: unknown) => thrown);
      if (round < 400 && (error as { reason: string }).reason === outOfReach.reason) {
        await new Promise((resolve) => setTimeout(resolve, 5));
        continue;
      }
      expect(error).toEqual(missing);
      break;
    }
  });

  test('a query that is too costly does not count as an unreachable store', async () => {
    const costly = async () => {
      await new Promise((resolve) => setTimeout(resolve, waitMs));
      throw tooCostly('the store');
    };
    const store = storeOf({ load: async () => [], aggregate: costly });
    const views = storeCircuitBreaker(store, { signal: ending.signal, slowMs: 1 }).collection('views', layout);
    const aggregation = { where: [], groupBy: [], compute: [], orderBy: [], limit: 1, maxMs: 1_000 };
    await expect(views.aggregate(aggregation)).rejects.toMatchObject({ reason: 'QUERY_TOO_COSTLY' });
    expect(await views.load(['a'])).toEqual([]);
  });

  test('quick failures do not open the circuit', async () => {
    const { views, state } = open(10_000);
    state.away = 'at once';
    for (let call = 1; call <= 5; call++) {
      await failed(views.load(['a']));
      expect(state.asked).toBe(call);
    }
    state.away = undefined;
    expect(await views.load(['a'])).toEqual([]);
  });

  test('a refusal for too many aggregates is no answer of the store, and does not close the circuit', async () => {
    let calls = 0;
    const hangs = async () => {
      calls += 1;
      await new Promise((resolve) => setTimeout(resolve, waitMs));
      throw unavailable('the store');
    };
    const store = storeOf({ load: hangs, count: hangs });
    const limits = { running: 1, waiting: 0 };
    // As stores.ts puts them together.
    const breaker = storeCircuitBreaker(store, { signal: ending.signal, slowMs: 1, probeEveryMs: 60_000 });
    const views = limitAggregates(breaker, limits).collection('views', layout);
    await expect(views.load(['a'])).rejects.toMatchObject(outOfReach);
    await expect(views.load(['a'])).rejects.toMatchObject(outOfReach);
    const before = calls;
    await Promise.allSettled(Array.from({ length: 5 }, () => views.count([])));
    await expect(views.load(['a'])).rejects.toMatchObject(outOfReach);
    // All of them failed without a call.
    expect(calls).toBe(before);
  });

  test('a slow failure does not count while other calls are answered', async () => {
    const { views, state } = open();
    state.away = 'after a wait';
    const slow = failed(views.load(['a']));
    state.away = undefined;
    expect(await views.load(['b'])).toEqual([]);
    state.away = 'at once';
    await slow;
    state.away = undefined;
    expect(await views.load(['c'])).toEqual([]);
  });
});
