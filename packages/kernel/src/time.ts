/** Time that can be injected, waits that can be ended, and the pauses between attempts. */

/** Tells the time; injected wherever a test wants to set it. */
export type Clock = () => Date;

export const systemClock: Clock = () => new Date();

/** Waits. Ends early, without an error, when the signal fires. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  // Not timers/promises: that makes an exception, with its stack, for every wait that is ended early.
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done);
  });
}

/**
 * Waits for `promise`, but no longer than `ms`, and not beyond the signal: then false, and it goes on unwatched. Its
 * error passes until then.
 */
export function within(ms: number, promise: Promise<unknown>, signal?: AbortSignal): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const end = (settle: () => void) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', late);
      settle();
    };
    const late = () => end(() => resolve(false));
    const timer = setTimeout(late, ms);
    promise.then(
      () => end(() => resolve(true)),
      (error: unknown) => end(() => reject(error)),
    );
    if (signal?.aborted) late();
    else signal?.addEventListener('abort', late);
  });
}

/**
 * A signal that fires with `signal`, or after `ms`; until `end` is called. AbortSignal.timeout can't be called off: each
 * would keep a timer, and make an exception, long after what it was for is done.
 */
export function limitedTo(ms: number, signal: AbortSignal): { signal: AbortSignal; end(): void } {
  const controller = new AbortController();
  const onAbort = () => controller.abort(signal.reason);
  const timer = setTimeout(() => controller.abort(new DOMException(`Not done in ${ms} ms.`, 'TimeoutError')), ms);
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort);
  return {
    signal: controller.signal,
    end() {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    },
  };
}

export interface Backoff {
  /** Upper bound of the first pause, in milliseconds. */
  firstMs: number;
  /** Upper bound of any pause, in milliseconds. */
  maxMs: number;
}

/**
 * The pause before attempt `attempt` (the first repeat is 1), doubling, with half of it random so that what failed
 * together does not come back together ("equal jitter", AWS Architecture Blog, Exponential Backoff and Jitter).
 */
export function backoffMs(attempt: number, { firstMs, maxMs }: Backoff, random = Math.random): number {
  const bound = Math.min(maxMs, firstMs * 2 ** Math.min(attempt - 1, 30));
  return bound / 2 + (random() * bound) / 2;
}
