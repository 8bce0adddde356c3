/**
 * One refresh for all that wait for one. A caller gets a refresh that begins after its call: the next one, which all
 * share that call before it begins. One runs at a time, and two never begin within `gapMs`.
 */
import { sleep } from '@caudal/kernel/time.ts';

export function sharedRefresh(refresh: () => Promise<void>, gapMs: number): () => Promise<void> {
  let next: Promise<void> | undefined;
  let last: Promise<void> = Promise.resolve();
  let begunAt = -Infinity;

  async function begin(): Promise<void> {
    await last.catch(() => {});
    await sleep(Math.max(0, begunAt + gapMs - performance.now()));
    begunAt = performance.now();
    next = undefined;
    last = refresh();
    await last;
  }

  return () => {
    next ??= begin();
    return next;
  };
}
