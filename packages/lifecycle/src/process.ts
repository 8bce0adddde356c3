/** Ties a lifecycle to the process it runs in: signals and errors that nobody caught end it in order. */
import { constants } from 'node:os';
import { logger } from '@caudal/telemetry/log.ts';
import type { Lifecycle } from './lifecycle.ts';

const log = logger('process');

/** A Ctrl-C may come twice: from the terminal, and from a parent that passes it on. */
const sameSignalMs = 500;

/** What tells a process to end; SIGHUP comes when its terminal is closed. */
const signals = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;
export type EndSignal = (typeof signals)[number];

/** The exit code of a process that a signal has ended. */
export const exitCodeOf = (signal: EndSignal): number => 128 + constants.signals[signal];

/**
 * Calls `end` for the first signal; a second one, half a second later or more, ends the process at once with 128 + the
 * signal's number. Gives what takes it back.
 */
export function onEndSignal(end: (signal: EndSignal) => void): () => void {
  let signalledAt: number | undefined;
  const listeners = signals.map((signal) => {
    const listener = () => {
      if (signalledAt === undefined) {
        signalledAt = performance.now();
        end(signal);
      } else if (performance.now() - signalledAt > sameSignalMs) process.exit(exitCodeOf(signal));
    };
    process.on(signal, listener);
    return () => process.off(signal, listener);
  });
  return () => {
    for (const off of listeners) off();
  };
}

/**
 * Ends the process when it is told to or can't go on. By a signal: in order, exit code 0, or 1 if something did not stop
 * as it should; by a second one at once. An uncaught exception or an unhandled rejection: logged, in order, exit code 1.
 */
export function endWithProcess(lifecycle: Lifecycle): void {
  let fatal = false;
  const end = async (reason: string) => {
    const failures = await lifecycle.stop(reason);
    process.exit(fatal || failures.length > 0 ? 1 : 0);
  };
  onEndSignal((signal) => void end(signal));
  const onError = (kind: string) => (error: unknown) => {
    log.fatal({ err: error }, kind);
    fatal = true;
    void end(kind);
  };
  process.on('uncaughtException', onError('uncaught exception'));
  process.on('unhandledRejection', onError('unhandled rejection'));
}
