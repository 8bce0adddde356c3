/**
 * Limits how many counts and aggregations run at once. They may read a whole collection, and share connections and
 * processors with reads of single views: without a limit a few reports would take them all.
 */
import { CaudalError } from '@caudal/kernel/errors.ts';
import type { ViewStore } from './store.ts';

export interface AggregateLimits {
  /** At once; 4 if absent. */
  running?: number;
  /** How many more may wait; 64 if absent. */
  waiting?: number;
  /** How long each may wait; 5,000 ms if absent. */
  waitMs?: number;
}

/** The store, whose counts and aggregations beyond the limits fail with RESOURCE_EXHAUSTED TOO_MANY_AGGREGATES. */
export function limitAggregates(store: ViewStore, limits: AggregateLimits = {}): ViewStore {
  const { running: most = 4, waiting = 64, waitMs = 5_000 } = limits;
  const queue: (() => void)[] = [];
  let running = 0;

  const tooMany = () =>
    new CaudalError('RESOURCE_EXHAUSTED', 'TOO_MANY_AGGREGATES', `Too many counts and sums run on ${store.name}.`, {
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
      // A waiting call takes over the place.
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
