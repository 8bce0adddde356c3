/**
 * Work that is done once for each epoch of a log after the first, by one process: what a fail-over has lost is looked for. The epoch for
 * which it was done is a checkpoint, so that a restart misses none. See docs/fail-over.md.
 */
import { type Epoch, presentOf } from '@caudal/eventlog/epochs.ts';
import type { LogReader } from '@caudal/eventlog/types.ts';
import { isTransient } from '@caudal/kernel/errors.ts';
import { sleep } from '@caudal/kernel/time.ts';
import { type LeaseOptions, whileLeading } from './lease.ts';
import { learnEpochs } from './subscription/lost.ts';

export interface EachEpochOptions extends Pick<LeaseOptions, 'database' | 'name' | 'holder' | 'signal'> {
  log: LogReader;
  /** How often the log is asked for its epoch; 10,000 ms if absent. */
  everyMs?: number;
}

const ttlMs = 15_000;

/**
 * Calls `work` until it has once resolved in the present epoch, unless its signal had fired. If it throws, it is called again after a
 * pause. Resolves when `signal` has fired. Never throws.
 */
export function eachEpoch(
  options: EachEpochOptions,
  work: (epoch: Epoch, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const { log, everyMs = 10_000, ...lease } = options;
  return whileLeading({ ...lease, ttlMs }, async ({ position, signal, advance }) => {
    let done = position;
    while (!signal.aborted) {
      // It is asked again a little later.
      await learnEpochs(log).catch((error: unknown) => {
        if (!isTransient(error)) throw error;
      });
      const epoch = presentOf(log.epochs?.() ?? []);
      if (epoch.number > done) {
        await work(epoch, signal);
        if (signal.aborted || !(await advance(epoch.number))) return;
        done = epoch.number;
      }
      await sleep(everyMs, signal);
    }
  });
}
