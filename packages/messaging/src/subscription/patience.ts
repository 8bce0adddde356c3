/** Waits for a dependency that is unreachable, or a newer process. */
import { NewerEvent } from '@caudal/contract/entity.ts';
import { type Backoff, backoffMs, sleep } from '@caudal/kernel/time.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { gauge } from '@caudal/telemetry/metrics.ts';

/** Thrown when a handler is stopped, or loses its lease, before a batch is settled: it is delivered again elsewhere. */
export class Stopped extends Error {
  override name = 'Stopped';
}

const log = logger('subscription');
const paused = gauge('subscription_paused', 'Whether a handler waits for a dependency: 1 or 0', '1');

/**
 * Repeats `work`, which fails only if waiting helps, until it succeeds. `signal`, or `until` for one call, ends it.
 * Throws only `Stopped`.
 */
export function patience({ handler, pause, signal }: { handler: string; pause: Backoff; signal: AbortSignal }) {
  const labels = { handler };
  return async function patiently<T>(work: () => Promise<T>, until = signal): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      if (until.aborted) {
        paused.set(0, labels);
        throw new Stopped();
      }
      try {
        const result = await work();
        if (attempt > 1) paused.set(0, labels);
        return result;
      } catch (error) {
        if (error instanceof Stopped) {
          paused.set(0, labels);
          throw error;
        }
        log.warn({ ...labels, err: error, attempt }, reasonToWait(error));
        paused.set(1, labels);
        await sleep(backoffMs(attempt, pause), until);
      }
    }
  };
}

function reasonToWait(error: unknown): string {
  return error instanceof NewerEvent
    ? 'a newer version of the code has to handle this: the handler waits for it'
    : 'a dependency is unreachable: the handler waits';
}
