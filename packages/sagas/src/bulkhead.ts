/**
 * Keeps a step that hangs from taking the places of all others: while many of its runs are slow, it is not begun for more
 * sagas, but put off, as if what it needs were away.
 *
 * Only slow runs count, so a step that is quick is never held up, however often it is wanted.
 */
import type { EventCase } from '@caudal/contract/entity.ts';
import { unavailable } from '@caudal/kernel/errors.ts';
import type { Saga } from './types.ts';

/** A step that takes longer is slow. */
export const SLOW_MS = 1000;
/**
 * So many runs of one step may be slow at a time before more are put off: half of the timers that fire at once. Those that
 * were begun meanwhile, and turn out to be slow, come on top: as many as are led on at the same time.
 */
const MAX_SLOW = 64;

/** The saga, whose steps are put off (UNAVAILABLE) while too many of their kind are slow. */
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
