/** The end of a call: its deadline, its caller going away, or the server stopping; whichever comes first. */
import { CaudalError, isCode } from '@caudal/kernel/errors.ts';

export interface Timer {
  deadline: Date;
  /** Fires at the end. */
  signal: AbortSignal;
  /** Rejects at the end with what to answer; never resolves. */
  fired: Promise<never>;
  /** What to answer for an error of the handler: after the end, what the end says. */
  explain(error: unknown): unknown;
  stop(): void;
}

interface Bounds {
  defaultTimeoutMs: number;
  maxTimeoutMs: number;
}

/** Starts the clock for a call that came in with this deadline and this signal. */
export function startTimer(
  incoming: { deadline?: Date; signal?: AbortSignal },
  { defaultTimeoutMs, maxTimeoutMs }: Bounds,
  stopping: AbortSignal,
): Timer {
  const now = Date.now();
  const wanted = incoming.deadline ? incoming.deadline.getTime() - now : defaultTimeoutMs;
  const leftMs = Math.max(0, Math.min(wanted, maxTimeoutMs));
  const controller = new AbortController();
  let reject: (reason: CaudalError) => void = () => {};
  const fired = new Promise<never>((_, refuse) => {
    reject = refuse;
  });
  // Whoever awaits it gets the error; that nobody does is no fault.
  fired.catch(() => {});
  let end: CaudalError | undefined;
  const finish = (error: CaudalError) => {
    if (end) return;
    end = error;
    controller.abort(error);
    reject(error);
  };
  const onTime = () =>
    finish(
      new CaudalError(
        'DEADLINE_EXCEEDED',
        'DEADLINE_EXCEEDED',
        `No answer within ${Math.round(leftMs)} ms. A command may still take effect: repeat it with the same request_id.`,
      ),
    );
  const onGone = () => finish(new CaudalError('CANCELLED', 'CALL_CANCELLED', 'The caller went away.'));
  const onStop = () =>
    finish(
      new CaudalError('UNAVAILABLE', 'DEPENDENCY_UNAVAILABLE', 'The server is stopping.', {
        retryAfterMs: 1000,
        metadata: { dependency: 'server' },
      }),
    );
  const timeout = setTimeout(onTime, leftMs);
  incoming.signal?.addEventListener('abort', onGone, { once: true });
  stopping.addEventListener('abort', onStop, { once: true });
  if (incoming.signal?.aborted) onGone();
  if (stopping.aborted) onStop();

  return {
    deadline: new Date(now + leftMs),
    signal: controller.signal,
    fired,
    explain(error) {
      // What a handler throws because its signal fired is the end's doing; its own refusals stand.
      if (!end || (error instanceof CaudalError && !isCode(error, 'CANCELLED', 'INTERNAL'))) return error;
      return end;
    },
    stop() {
      clearTimeout(timeout);
      incoming.signal?.removeEventListener('abort', onGone);
      stopping.removeEventListener('abort', onStop);
    },
  };
}
