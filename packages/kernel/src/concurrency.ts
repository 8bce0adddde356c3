/** Many things at once, but never more than so many; and one after the other, per key or at all. */

/**
 * Calls `work` for each item, at most `limit` at a time. After an error it begins no other, waits for those in flight, and
 * throws the first. Items are taken one by one, as places become free.
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

/** A lock for each key, held by one at a time, in the order in which it was asked for; returns how to free it. Callers bound it. */
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

/** A queue for each key: work waits for the work for the same key before it, whether that succeeds or not. */
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

/** One queue: work waits for all work that was given before. Callers bound it: each waits for its turn. */
export function oneAtATime(): <T>(work: () => Promise<T>) => Promise<T> {
  const inTurn = keyedQueue();
  return (work) => inTurn('', work);
}
