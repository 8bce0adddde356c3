/** Bounded concurrency, and work that runs one at a time, per key or in all. */

/**
 * Calls `work` for each item, at most `limit` at a time. Items are taken from the iterable one by one, as calls end.
 * After an error no further call begins; those in flight are awaited, and the first error is thrown.
 */
export async function forEachConcurrent<T>(
  items: Iterable<T>,
  limit: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const left = items[Symbol.iterator]();
  const failures: unknown[] = [];
  let next = left.next();
  const worker = async () => {
    while (!next.done && failures.length === 0) {
      const item = next.value;
      next = left.next();
      try {
        await work(item);
      } catch (error) {
        failures.push(error);
      }
    }
  };
  const workers: Promise<void>[] = [];
  while (workers.length < limit && !next.done) workers.push(worker());
  await Promise.all(workers);
  if (failures.length > 0) throw failures[0];
}

/** A lock per key, granted in the order of the requests. Returns a function that frees it. Callers bound the waits. */
export function keyedLock(): (key: string) => Promise<() => void> {
  const tails = new Map<string, Promise<void>>();
  return async (key) => {
    const before = tails.get(key);
    const { promise: freed, resolve: free } = Promise.withResolvers<void>();
    tails.set(key, freed);
    await before;
    return () => {
      if (tails.get(key) === freed) tails.delete(key);
      free();
    };
  };
}

/** A queue per key: work waits until all earlier work of its key has succeeded or failed. */
export function keyedQueue() {
  const lock = keyedLock();
  return async function inTurn<T>(key: string, work: () => Promise<T>): Promise<T> {
    const free = await lock(key);
    try {
      return await work();
    } finally {
      free();
    }
  };
}

/** One queue: work waits until all earlier work has succeeded or failed. Callers bound the queue's length. */
export function oneAtATime(): <T>(work: () => Promise<T>) => Promise<T> {
  const inTurn = keyedQueue();
  return (work) => inTurn('', work);
}
