/**
 * Bounds the reads of a process, and fails them at once for a moment after the store could not be reached: many callers of
 * a store that hangs would otherwise each wait for its deadline.
 */
import { isCode } from '@caudal/kernel/errors.ts';
import { archiveUnavailable } from './errors.ts';
import type { ArchiveStore } from './types.ts';

const inFlightAtMost = 16;
const waitingAtMost = 64;
const restMs = 1_000;

/** The store with at most 16 ranges in flight; 64 wait, and more are UNAVAILABLE. `elapsed`: of a clock that never goes back. */
export function limitReads(store: ArchiveStore, elapsed = () => performance.now()): ArchiveStore {
  const waiting: (() => void)[] = [];
  let inFlight = 0;
  let restUntil = Number.NEGATIVE_INFINITY;

  async function getRange(...of: Parameters<ArchiveStore['getRange']>): Promise<Buffer> {
    const rested = () => {
      if (elapsed() < restUntil) throw archiveUnavailable(store.where, 'a read has just failed.');
    };
    rested();
    if (inFlight >= inFlightAtMost) {
      if (waiting.length >= waitingAtMost) throw archiveUnavailable(store.where, 'too many reads wait for it.');
      await new Promise<void>((resolve) => waiting.push(resolve));
    } else inFlight += 1;
    try {
      rested();
      return await store.getRange(...of);
    } catch (error) {
      if (isCode(error, 'UNAVAILABLE') && !(elapsed() < restUntil)) restUntil = elapsed() + restMs;
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
