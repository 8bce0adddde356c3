/** Leaves time to others while many pages are worked on. */
import { sleep } from '@caudal/kernel/time.ts';

const maxPauseMs = 20;

/** The pages as they come. A page is some milliseconds of work: as much time is left to others after it, also in the database. */
export async function* paced<T>(pages: AsyncIterable<T>, signal: AbortSignal): AsyncIterable<T> {
  let began = performance.now();
  for await (const page of pages) {
    signal.throwIfAborted();
    yield page;
    await sleep(Math.min(maxPauseMs, performance.now() - began), signal);
    began = performance.now();
  }
}
