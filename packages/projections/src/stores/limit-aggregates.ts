/**
 * A store that counts and aggregates for a few callers at once. Both may read a whole collection, and share connections and
 * processors with reads of a view: without a limit a handful of reports would take them all.
 */
import { CaudalError } from '@caudal/kernel/errors.ts';
import type { ViewStore } from './store.ts';

export interface AggregateLimits {
  /** At once; 4 if absent. */
  running?: number;
  /** That wait for their turn; 64 if absent. */
  waiting?: number;
  /** How long they wait for it; 5,000 ms if absent. */
  waitMs?: number;
}

/** The store, with TOO_MANY_AGGREGATES (RESOURCE_EXHAUSTED) for those beyond the limits. */
export function limitAggregates(store: ViewStore, limits: AggregateLimits = {}): ViewStore {
  const { running: most = 4, waiting = 64, waitMs = 5_000 } = limits;
  const queue: (() => void)[] = [];
  let running = 0;

  const tooMany = () =>
    new CaudalError('RESOURCE_EXHAUSTED', 'TOO_MANY_AGGREGATES', `Too many sums and counts of ${store.name} at once.`, {
      retryAfterMs: 1_000,
      metadata: { dependency: store.name },
    });

  function turn(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const next = () => {
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(() => {
      queue.splice(queue.indexOf(next), 1);
      reject(tooMany());
    }, waitMs);
    queue.push(next);
    return promise;
  }

  async function inTurn<T>(call: () => Promise<T>): Promise<T> {
    if (running < most) running += 1;
    else if (queue.length < waiting) await turn();
    else throw tooMany();
    try {
      return await call();
    } finally {
      // Who waits takes over the place.
      const next = queue.shift();
      if (next) next();
      else running -= 1;
    }
  }

  return {
    ...store,
    collection(name, layout) {
      const collection = store.collection(name, layout);
      return {
        ...collection,
        count: (where) => inTurn(() => collection.count(where)),
        aggregate: (aggregation) => inTurn(() => collection.aggregate(aggregation)),
      };
    },
  };
}
