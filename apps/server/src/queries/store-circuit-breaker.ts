/**
 * A circuit breaker for queries of a store of views. It is needed because with MongoDB's driver every call waits 2 s
 * for a server, however long the server has been unreachable.
 *
 *   closed  Calls go to the store. A call opens the circuit if the store is unreachable and no other call was answered
 *           while it waited. Quick failures do not open it: they delay no call, and the next one may succeed.
 *   open    All calls fail at once, including those that are waiting. One probe at a time detects when the store is
 *           back.
 *
 * For read-only calls alone: a call that has failed for its caller may still run in the store.
 */
import { isCode, unavailable } from '@caudal/kernel/errors.ts';
import { sleep } from '@caudal/kernel/time.ts';
import { type Collection, MissingCollection, type ViewStore } from '@caudal/projections/stores/store.ts';
import { logger } from '@caudal/telemetry/log.ts';

export interface CircuitBreakerOptions {
  /** Ends the probes. */
  signal: AbortSignal;
  /** A failure after at least this long opens the circuit; 250 ms if absent. */
  slowMs?: number;
  /** Pause between two probes; 100 ms if absent. A probe itself may wait for the store. */
  probeEveryMs?: number;
}

const log = logger('stores');

/** The store behind a circuit breaker. */
export function storeCircuitBreaker(store: ViewStore, options: CircuitBreakerOptions): ViewStore {
  const { signal, slowMs = 250, probeEveryMs = 100 } = options;
  const waiting = new Set<(error: unknown) => void>();
  /** The error that opened the circuit; undefined while it is closed. */
  let open: { error: unknown } | undefined;
  let answeredAt = 0;

  function noteAnswer(): void {
    answeredAt = performance.now();
    if (open) log.info({ store: store.name }, 'the store is back');
    open = undefined;
  }

  /** Probes until the store answers, even with an error such as a missing collection. */
  async function probe(collection: Collection): Promise<void> {
    while (open && !signal.aborted) {
      await sleep(probeEveryMs, signal);
      await collection.load(['-']).then(noteAnswer, (error) => {
        if (!isOutOfReach(error)) noteAnswer();
      });
    }
  }

  function openCircuit(error: unknown, collection: Collection): void {
    if (open) return;
    open = { error };
    log.warn({ store: store.name, err: error }, 'the store is unreachable: its queries fail at once');
    for (const refuse of waiting) refuse(error);
    void probe(collection);
  }

  function ask<T>(collection: Collection, call: () => Promise<T>): Promise<T> {
    if (open) return Promise.reject(unavailable(store.name, open.error));
    const began = performance.now();
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    waiting.add(reject);
    void call()
      .then(
        (answer) => {
          noteAnswer();
          resolve(answer);
        },
        (error: unknown) => {
          if (!isOutOfReach(error)) noteAnswer();
          else if (performance.now() - began >= slowMs && answeredAt < began) openCircuit(error, collection);
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
      const { search, found, loadNearest } = collection;
      return {
        ...collection,
        load: (ids) => ask(collection, () => collection.load(ids)),
        ...(loadNearest && { loadNearest: (ids) => ask(collection, () => loadNearest(ids)) }),
        find: (find) => ask(collection, () => collection.find(find)),
        count: (where) => ask(collection, () => collection.count(where)),
        aggregate: (aggregation) => ask(collection, () => collection.aggregate(aggregation)),
        refresh: () => ask(collection, () => collection.refresh()),
        ...(found && { found: (ids) => ask(collection, () => found(ids)) }),
        ...(search && { search: (find) => ask(collection, () => search(find)) }),
      };
    },
  };
}

/** Whether the store is unreachable. A missing collection is an answer of the store. */
function isOutOfReach(error: unknown): boolean {
  return isCode(error, 'UNAVAILABLE') && !(error instanceof MissingCollection);
}
