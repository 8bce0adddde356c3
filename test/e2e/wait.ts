/** Waiting for what comes in its own time. */
import { setTimeout as delay } from 'node:timers/promises';

/** Reads again and again, `everyMs` (30 if absent), until `there`. Throws, with what it saw last, after `timeoutMs` (20,000 if absent). */
export async function until<T>(
  what: string,
  read: () => Promise<T>,
  there: (value: T) => boolean,
  timeoutMs = 20_000,
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
