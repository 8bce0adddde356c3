/** Waiting for a fact, with a bound. */
import { setTimeout as delay } from 'node:timers/promises';

/**
 * Reads again and again, every `everyMs` (30 if absent), until `there`. After `timeoutMs` (45,000 if absent) it throws,
 * with the last value.
 */
export async function until<T>(
  what: string,
  read: () => Promise<T>,
  there: (value: T) => boolean,
  timeoutMs = 45_000,
  everyMs = 30,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await read();
    if (there(value)) return value;
    if (performance.now() > deadline)
      throw new Error(`Not in ${timeoutMs} ms: ${what}. At last: ${JSON.stringify(value)?.slice(0, 2_000)}`);
    await delay(everyMs);
  }
}
