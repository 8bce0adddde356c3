/** Renews the lease of a run while it works. A signal fires as soon as the lease is lost. */
import type { Running } from '@caudal/kernel/lifetime.ts';
import { sleep, within } from '@caudal/kernel/time.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { renewLease } from './job-store.ts';

const log = logger('jobs');

export interface KeptLease extends Running {
  /** Fires when another process has the job, or when the lease could not be renewed for as long as it lasts. */
  readonly lost: AbortSignal;
}

/** Renews the lease three times in its length, until it is stopped. `since`: performance.now() before the claim. */
export function keepLease(
  database: Database,
  { name, epoch, leaseMs, since }: { name: string; epoch: number; leaseMs: number; since: number },
): KeptLease {
  const lost = new AbortController();
  const stopped = new AbortController();
  const over = AbortSignal.any([lost.signal, stopped.signal]);
  const run = async () => {
    let renewedAt = since;
    for (;;) {
      await sleep(leaseMs / 3, over);
      if (over.aborted) return;
      const asked = performance.now();
      const left = renewedAt + leaseMs - asked;
      const renewal = renewLease(database, { name, epoch, leaseMs }).then((good) => {
        if (good) renewedAt = asked;
        else lost.abort(new DOMException('Another process has the job.', 'AbortError'));
      });
      // If no answer arrives, the run must not continue for longer than its lease.
      await within(Math.max(left, 0), renewal, over).catch((error: unknown) => {
        log.warn({ job: name, err: error }, 'the lease of a job could not be renewed');
      });
      renewal.catch(() => {});
      if (performance.now() - renewedAt >= leaseMs && !over.aborted)
        lost.abort(new DOMException('The lease could not be renewed.', 'AbortError'));
    }
  };
  const running = run();
  return {
    lost: lost.signal,
    stop() {
      stopped.abort();
      return running;
    },
  };
}
