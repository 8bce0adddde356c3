/** Waiting for the end of outages while a generation is built. */
import { CaudalError, isTransient } from '@caudal/kernel/errors.ts';
import { backoffMs, sleep } from '@caudal/kernel/time.ts';

const maxAttempts = 40;

export function cancelled(): CaudalError {
  return new CaudalError('CANCELLED', 'CALL_CANCELLED', 'The rebuild was cancelled.');
}

/** Throws the signal's CaudalError, or CANCELLED. */
export function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw signal.reason instanceof CaudalError ? signal.reason : cancelled();
}

/**
 * Repeats work for some minutes while it fails with a transient error. When the work reports progress (`gotOn`), the
 * count of attempts begins again. Throws CANCELLED if `signal` fires.
 */
export async function patiently<T>(work: (gotOn: () => void) => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    throwIfAborted(signal);
    try {
      return await work(() => {
        attempt = 1;
      });
    } catch (error) {
      if (attempt === maxAttempts || !isTransient(error)) throw error;
    }
    await sleep(backoffMs(attempt, { firstMs: 100, maxMs: 5_000 }), signal);
  }
}
