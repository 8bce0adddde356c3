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

/** A queue for each key: work waits for the work for the same key before it, whether that succeeds or not. Callers bound it. */
export function keyedQueue() {
  const tails = new Map<string, Promise<unknown>>();
  return async function inTurn<T>(key: string, work: () => Promise<T>): Promise<T> {
    const result = (tails.get(key) ?? Promise.resolve()).then(work, work);
    tails.set(key, result);
    try {
      return await result;
    } finally {
      if (tails.get(key) === result) tails.delete(key);
    }
  };
}

/** One queue: work waits for all work that was given before. Callers bound it: each waits for its turn. */
export function oneAtATime(): <T>(work: () => Promise<T>) => Promise<T> {
  const inTurn = keyedQueue();
  return (work) => inTurn('', work);
}
