/** Connects a lifecycle to its process: signals and uncaught errors end it in order. */
import { constants } from 'node:os';
import { logger } from '@caudal/telemetry/log.ts';
import type { Lifecycle } from './lifecycle.ts';

const log = logger('process');

/** One Ctrl-C may arrive twice: from the terminal, and from a parent that passes it on. */
const sameSignalMs = 500;

/** The signals that end a process; SIGHUP is sent when its terminal is closed. */
const signals = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;
export type EndSignal = (typeof signals)[number];

/** The exit code of a process that a signal has ended. */
export const exitCodeOf = (signal: EndSignal): number => 128 + constants.signals[signal];

/**
 * Calls `end` for the first signal. A second one, half a second later or more, ends the process at once, with exit code
 * 128 + the signal's number. Returns a function that removes the listeners.
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
 * Ends the process in order after a signal (exit code 0, or 1 if a component did not stop) or after an uncaught
 * exception or unhandled rejection (logged, exit code 1). A second signal ends it at once.
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
