/**
 * Keeps a step that hangs from taking the places of all others: while 64 of its runs are slow, it is not begun for more
 * sagas, but delayed, as if its context were unreachable. Only slow runs count, so a quick step is never delayed.
 */
import type { EventCase } from '@caudal/contract/entity.ts';
import { unavailable } from '@caudal/kernel/errors.ts';
import type { Saga } from './types.ts';

/** A step that takes longer is slow, in milliseconds. */
export const SLOW_MS = 1000;
/**
 * How many runs of one step may be slow before more are delayed: half of the timers that fire at once. Runs that have
 * begun by then may turn out to be slow too: at most as many as run at the same time.
 */
const MAX_SLOW = 64;

/** The saga with a bulkhead: a step fails with UNAVAILABLE while too many of its runs are slow. */
export function withBulkhead<S, F extends EventCase>(saga: Saga<S, F>, slowMs = SLOW_MS): Saga<S, F> {
  const slow = new Map<string, number>();
  const change = (name: string, by: number) => slow.set(name, (slow.get(name) ?? 0) + by);
  return {
    ...saga,
    async run(step, state, context) {
      const { name } = step;
      if ((slow.get(name) ?? 0) >= MAX_SLOW) throw unavailable(`${saga.name}'s step "${name}"`);
      let isSlow = false;
      const timer = setTimeout(() => {
        isSlow = true;
        change(name, 1);
      }, slowMs);
      try {
        return await saga.run(step, state, context);
      } finally {
        clearTimeout(timer);
        if (isSlow) change(name, -1);
      }
    },
  };
}
