/**
 * Work that is done once for each epoch of a log after the first, by one process: what a fail-over has lost is looked for. The epoch for
 * which it was done is a checkpoint, so that a restart misses none. See docs/fail-over.md.
 */
import { presentOf } from '@caudal/eventlog/epochs.ts';
import type { LogReader } from '@caudal/eventlog/types.ts';
import { isTransient } from '@caudal/kernel/errors.ts';
import { sleep } from '@caudal/kernel/time.ts';
import { type LeaseOptions, whileLeading } from './lease.ts';
import { learnEpochs } from './subscription/lost.ts';

export interface EachEpochOptions extends Pick<LeaseOptions, 'database' | 'name' | 'holder' | 'signal'> {
  log: LogReader;
  /** How often the log is asked for its epoch, unless something else in the process shows it; 30,000 ms if absent. */
  everyMs?: number;
}

/** It is seldom renewed, and seldom needed by another process soon. */
const ttlMs = 120_000;

/** What has to be looked for in an epoch. */
export interface Missed {
  /** Behind this position is what the log has lost since the epoch for which the work was last done: there may have been several losses. */
  after: number;
}

/**
 * Calls `work` until it has once resolved in the present epoch, unless its signal had fired. If it throws, it is called again after a
 * pause. Resolves when `signal` has fired. Never throws.
 */
export function eachEpoch(
  options: EachEpochOptions,
  work: (missed: Missed, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const { log, everyMs = 30_000, ...lease } = options;
  return whileLeading({ ...lease, ttlMs }, async ({ position, signal, advance }) => {
    let done = position;
    let changed = new AbortController();
    const unlisten = log.onEpoch?.(() => changed.abort('changed'));
    signal.addEventListener('abort', () => unlisten?.(), { once: true });
    while (!signal.aborted) {
      // It is asked again a little later.
      changed = new AbortController();
      await learnEpochs(log, everyMs / 2).catch((error: unknown) => {
        if (!isTransient(error)) throw error;
      });
      const epochs = log.epochs?.() ?? [];
      const { number } = presentOf(epochs);
      if (number > done) {
        const after = Math.min(...epochs.filter((epoch) => epoch.number > done).map((epoch) => epoch.after));
        await work({ after }, signal);
        if (signal.aborted || !(await advance(number))) return;
        done = number;
      }
      await sleep(everyMs * (0.75 + Math.random() / 2), AbortSignal.any([signal, changed.signal]));
    }
  });
}
