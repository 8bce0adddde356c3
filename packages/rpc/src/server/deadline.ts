/**
 * The end of a call: at its deadline, when its caller disconnects, or when the server stops, whichever is first.
 * Callbacks end it: an AbortSignal costs 2.5 us to make and 1.2 us to listen to, as much as the rest, so it is made
 * only on demand.
 */
import type { EventEmitter } from 'node:events';
import { CaudalError, isCode } from '@caudal/kernel/errors.ts';

export interface Timer {
  deadline: Date;
  /** Fires at the end. */
  readonly signal: AbortSignal;
  /** Rejects at the end with the error to answer; never resolves. */
  fired: Promise<never>;
  /** After the end, throws the error to answer. */
  throwIfEnded(): void;
  /** The error to answer if the handler failed with `error`: after the end, the error of the end. */
  explain(error: unknown): unknown;
  stop(): void;
}

/** Calls the listener at an event, or at once if the event is over. Returns a function that removes the listener. */
export type When = (listener: () => void) => () => void;

/** Calls back when this signal fires. */
export const whenAborted =
  (signal: AbortSignal): When =>
  (listener) => {
    if (signal.aborted) listener();
    else signal.addEventListener('abort', listener, { once: true });
    return () => signal.removeEventListener('abort', listener);
  };

/**
 * Calls back when an emitter emits this event. grpc-js and Node also emit it at the end of every call, after the
 * answer. The listener is removed by then.
 */
export const whenEmitted =
  (emitter: EventEmitter, event: string): When =>
  (listener) => {
    emitter.once(event, listener);
    return () => emitter.removeListener(event, listener);
  };

interface Bounds {
  defaultTimeoutMs: number;
  maxTimeoutMs: number;
}

/** Starts the timer of a call. */
export function startTimer(
  incoming: { deadline?: Date; whenGone?: When },
  { defaultTimeoutMs, maxTimeoutMs }: Bounds,
  whenStopping: When,
): Timer {
  const now = Date.now();
  const wanted = incoming.deadline ? incoming.deadline.getTime() - now : defaultTimeoutMs;
  const leftMs = Math.max(0, Math.min(wanted, maxTimeoutMs));
  let controller: AbortController | undefined;
  let reject: (reason: CaudalError) => void = () => {};
  const fired = new Promise<never>((_, refuse) => {
    reject = refuse;
  });
  // A caller that awaits it gets the error. If none does, the rejection must not count as unhandled.
  fired.catch(() => {});
  let end: CaudalError | undefined;
  const finish = (error: CaudalError) => {
    if (end) return;
    end = error;
    controller?.abort(error);
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
  const onGone = () =>
    finish(new CaudalError('CANCELLED', 'CALL_CANCELLED', 'The caller has disconnected or cancelled the call.'));
  const onStop = () =>
    finish(
      new CaudalError('UNAVAILABLE', 'DEPENDENCY_UNAVAILABLE', 'The server is stopping.', {
        retryAfterMs: 1000,
        metadata: { dependency: 'server' },
      }),
    );
  const timeout = setTimeout(onTime, leftMs);
  const stays = incoming.whenGone?.(onGone);
  const goesOn = whenStopping(onStop);

  return {
    deadline: new Date(now + leftMs),
    get signal() {
      controller ??= new AbortController();
      if (end) controller.abort(end);
      return controller.signal;
    },
    fired,
    throwIfEnded() {
      if (end) throw end;
    },
    explain(error) {
      // A handler fails with CANCELLED or INTERNAL because its signal fired. Its own refusals stay.
      if (!end || (error instanceof CaudalError && !isCode(error, 'CANCELLED', 'INTERNAL'))) return error;
      return end;
    },
    stop() {
      clearTimeout(timeout);
      stays?.();
      goesOn();
    },
  };
}
