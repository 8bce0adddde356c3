/** A bound on how long something may keep us waiting. */
import { sleep } from '@caudal/kernel/time.ts';

/** Waits for `promise`, but no longer than `ms`: then false, and it goes on unwatched. Its errors pass until then. */
export async function within(ms: number, promise: Promise<unknown>): Promise<boolean> {
  const enough = new AbortController();
  const finished = promise.then(() => true);
  finished.catch(() => {});
  try {
    return await Promise.race([finished, sleep(ms, enough.signal).then(() => false)]);
  } finally {
    enough.abort();
  }
}
