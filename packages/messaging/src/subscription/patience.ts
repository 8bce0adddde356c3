/** Waits for a dependency that is unreachable. */
import { type Backoff, backoffMs, sleep } from '@caudal/kernel/time.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { gauge } from '@caudal/telemetry/metrics.ts';

/** Thrown when the handler is stopped before a batch is settled: the batch is delivered again elsewhere. */
export class Stopped extends Error {
  override name = 'Stopped';
}

const log = logger('subscription');
const paused = gauge('subscription_paused', 'Whether a handler waits for a dependency: 1 or 0', '1');

/** Repeats `work`, which fails only if a dependency is unreachable, until it succeeds. Throws only `Stopped`. */
export function patience({ handler, pause, signal }: { handler: string; pause: Backoff; signal: AbortSignal }) {
  const labels = { handler };
  return async function patiently<T>(work: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      if (signal.aborted) {
        paused.set(0, labels);
        throw new Stopped();
      }
      try {
        const result = await work();
        if (attempt > 1) paused.set(0, labels);
        return result;
      } catch (error) {
        log.warn({ ...labels, err: error, attempt }, 'a dependency is unreachable: the handler waits');
        paused.set(1, labels);
        await sleep(backoffMs(attempt, pause), signal);
      }
    }
  };
}
