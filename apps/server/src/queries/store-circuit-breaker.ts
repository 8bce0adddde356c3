/**
 * A store of views that is away, and those who would each wait for it: who has waited in vain spares the others the wait.
 *
 * A call that could not reach the store, after a wait in which nobody else has heard from it either, tells that it is
 * away. From then on all calls fail at once, and so do those that wait already. Beside them one look at a time finds out
 * when the store is back. Failures that come at once tell nothing: they keep nobody waiting, and the next call may
 * find the store well. Nor does a query that takes too long, while others are answered.
 *
 * Drivers alone don't do it: MongoDB's lets every call wait 2 s for a server to choose, however long there has been none.
 *
 * For queries, which are read-only, so that it doesn't matter that a call goes on when its caller has been told already.
 */
import { isCode, unavailable } from '@caudal/kernel/errors.ts';
import { sleep } from '@caudal/kernel/time.ts';
import { type Collection, MissingCollection, type ViewStore } from '@caudal/projections/stores/store.ts';
import { logger } from '@caudal/telemetry/log.ts';

export interface FailFastOptions {
  /** Ends what goes on by itself: the looks at a store that is away. */
  signal: AbortSignal;
  /** A failure that was waited for this long counts; 250 ms if absent. */
  patienceMs?: number;
  /** Between two looks; 100 ms if absent. A look itself may wait for the store. */
  lookEveryMs?: number;
}

const log = logger('stores');

/** The store, for queries. */
export function failFast(store: ViewStore, options: FailFastOptions): ViewStore {
  const { signal, patienceMs = 250, lookEveryMs = 100 } = options;
  const waiting = new Set<(error: unknown) => void>();
  /** Why nobody is let through. */
  let away: { error: unknown } | undefined;
  let heardAt = 0;

  function hear(): void {
    heardAt = performance.now();
    if (away) log.info({ store: store.name }, 'the store is back');
    away = undefined;
  }

  /** Looks until the store answers, be it that there is no such thing. */
  async function watch(collection: Collection): Promise<void> {
    while (away && !signal.aborted) {
      await sleep(lookEveryMs, signal);
      await collection.load(['-']).then(hear, (error) => {
        if (!isOutOfReach(error)) hear();
      });
    }
  }

  function goAway(error: unknown, collection: Collection): void {
    if (away) return;
    away = { error };
    log.warn({ store: store.name, err: error }, 'the store is away: queries of it fail at once');
    for (const refuse of waiting) refuse(error);
    void watch(collection);
  }

  function ask<T>(collection: Collection, call: () => Promise<T>): Promise<T> {
    if (away) return Promise.reject(unavailable(store.name, away.error));
    const began = performance.now();
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    waiting.add(reject);
    void call()
      .then(
        (answer) => {
          hear();
          resolve(answer);
        },
        (error: unknown) => {
          if (!isOutOfReach(error)) hear();
          else if (performance.now() - began >= patienceMs && heardAt < began) goAway(error, collection);
          reject(error);
        },
      )
      .finally(() => waiting.delete(reject));
    return promise;
  }

  return {
    ...store,
    collection(name, layout) {
      const collection = store.collection(name, layout);
      const { search } = collection;
      return {
        ...collection,
        load: (ids) => ask(collection, () => collection.load(ids)),
        find: (find) => ask(collection, () => collection.find(find)),
        count: (where) => ask(collection, () => collection.count(where)),
        aggregate: (aggregation) => ask(collection, () => collection.aggregate(aggregation)),
        refresh: () => ask(collection, () => collection.refresh()),
        ...(search && { search: (find) => ask(collection, () => search(find)) }),
      };
    },
  };
}

/** It can't be reached, which is not what a store says of a collection that it does not have. */
function isOutOfReach(error: unknown): boolean {
  return isCode(error, 'UNAVAILABLE') && !(error instanceof MissingCollection);
}
