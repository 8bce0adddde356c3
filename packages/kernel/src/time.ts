/** Time that can be injected, waits that can be ended, and the pauses between attempts. */

/** The current time; injected, so that tests can set it. */
export type Clock = () => Date;

export const systemClock: Clock = () => new Date();

/** Whether a text is a day of the calendar, like `2026-02-28`. Date moves days that do not exist into the next month. */
export function isDay(text: string): boolean {
  if (!/^\d{4}-\d\d-\d\d$/.test(text)) return false;
  const time = Date.parse(`${text}T00:00:00Z`);
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(text);
}

const clockTime = /^T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/;

/** Whether a text is a time of RFC 3339 that exists, like `2026-02-28T12:00:00Z`. Date takes 24:00 for 0:00 of the next day. */
export function isTime(text: string): boolean {
  return isDay(text.slice(0, 10)) && clockTime.test(text.slice(10));
}

/** Waits. Ends early, without an error, when the signal fires. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  // Not timers/promises, which creates an exception with a stack for each wait that is ended early.
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
 * Waits for `promise`: true once it is fulfilled, and its error if it is rejected. False after `ms` or when the signal
 * fires; from then on the promise's outcome is ignored.
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
 * A signal that fires with `signal`, or after `ms`, unless `end` is called before. AbortSignal.timeout can't be
 * cancelled: it would keep a timer, and create an exception, long after the work is done.
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
 * The pause before a repeat, in milliseconds; `attempt` is 1 for the first one. Pauses double, and half of each is
 * random, so that calls that failed together are not repeated together ("equal jitter", AWS Architecture Blog).
 */
export function backoffMs(attempt: number, { firstMs, maxMs }: Backoff, random = Math.random): number {
  const bound = Math.min(maxMs, firstMs * 2 ** Math.min(attempt - 1, 30));
  return bound / 2 + (random() * bound) / 2;
}
