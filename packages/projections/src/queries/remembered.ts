/** What a process remembers for a while about streams, so that it need not ask again. */

export interface Remembered<T> {
  get(key: string): T | undefined;
  set(key: string, value: T): void;
}

/** Keeps the `max` values that were set last, each for `forMs` (for ever if absent). */
export function remembered<T>({ max, forMs = Infinity }: { max: number; forMs?: number }): Remembered<T> {
  const entries = new Map<string, { value: T; until: number }>();
  return {
    get(key) {
      const entry = entries.get(key);
      return entry && entry.until > performance.now() ? entry.value : undefined;
    },
    set(key, value) {
      entries.delete(key);
      entries.set(key, { value, until: performance.now() + forMs });
      if (entries.size > max) entries.delete(entries.keys().next().value!);
    },
  };
}
