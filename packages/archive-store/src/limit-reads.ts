/**
 * Bounds the reads of a process, and fails them at once for a moment after the store could not be reached: many callers of
 * a store that hangs would otherwise each wait for its deadline.
 */
import { isCode } from '@caudal/kernel/errors.ts';
import { within } from '@caudal/kernel/time.ts';
import { archiveUnavailable } from './errors.ts';
import type { ArchiveStore } from './types.ts';

const waitingAtMost = 64;
const waitMs = 3_000;
const restMs = 1_000;
/** One that fails may be chance. */
const failuresAtMost = 2;

/**
 * The store with at most so many ranges in flight; 64 more wait, for 3 s at most. `elapsed`: of a clock that never goes back.
 */
export function limitReads(
  store: ArchiveStore,
  inFlightAtMost: number,
  elapsed = () => performance.now(),
): ArchiveStore {
  const waiting: (() => void)[] = [];
  let inFlight = 0;
  let failures = 0;
  let restUntil = Number.NEGATIVE_INFINITY;

  /** Waits for a place. It is handed over by a read that ends. */
  async function turn(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    waiting.push(resolve);
    if (await within(waitMs, promise)) return;
    const place = waiting.indexOf(resolve);
    // It may have been handed over in this moment.
    if (place === -1) return;
    waiting.splice(place, 1);
    throw archiveUnavailable(store.where, 'too many reads wait for it.');
  }

  async function getRange(...of: Parameters<ArchiveStore['getRange']>): Promise<Buffer> {
    const rested = () => {
      if (elapsed() < restUntil) throw archiveUnavailable(store.where, 'reads have just failed.');
    };
    rested();
    if (inFlight >= inFlightAtMost) {
      if (waiting.length >= waitingAtMost) throw archiveUnavailable(store.where, 'too many reads wait for it.');
      await turn();
    } else inFlight += 1;
    try {
      rested();
      const bytes = await store.getRange(...of);
      failures = 0;
      return bytes;
    } catch (error) {
      if (!isCode(error, 'UNAVAILABLE')) failures = 0;
      else if (!(elapsed() < restUntil) && ++failures >= failuresAtMost) restUntil = elapsed() + restMs;
      throw error;
    } finally {
      // The place goes to the next one in line.
      const next = waiting.shift();
      if (next) next();
      else inFlight -= 1;
    }
  }

  return { ...store, getRange };
}
