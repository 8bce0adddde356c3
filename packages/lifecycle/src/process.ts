/** Ties a lifecycle to the process it runs in: signals and errors that nobody caught end it in order. */
import { constants } from 'node:os';
import { logger } from '@caudal/telemetry/log.ts';
import type { Lifecycle } from './lifecycle.ts';

const log = logger('process');

/** A Ctrl-C may come twice: from the terminal, and from a parent that passes it on. */
const sameSignalMs = 500;

/**
 * Ends the process when it is told to or can't go on. SIGTERM and SIGINT: in order, exit code 0, or 1 if something did
 * not stop as it should; a second signal, half a second later or more, ends it at once with 128 + the signal's number. An uncaught exception or an
 * unhandled rejection: logged, in order, exit code 1.
 */
export function endWithProcess(lifecycle: Lifecycle): void {
  let signalledAt: number | undefined;
  let fatal = false;
  const end = async (reason: string) => {
    const failures = await lifecycle.stop(reason);
    process.exit(fatal || failures.length > 0 ? 1 : 0);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (signalledAt === undefined) {
        signalledAt = performance.now();
        void end(signal);
      } else if (performance.now() - signalledAt > sameSignalMs) process.exit(128 + constants.signals[signal]);
    });
  }
  const onError = (kind: string) => (error: unknown) => {
    log.fatal({ err: error }, kind);
    fatal = true;
    void end(kind);
  };
  process.on('uncaughtException', onError('uncaught exception'));
  process.on('unhandledRejection', onError('unhandled rejection'));
}
