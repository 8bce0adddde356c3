/** Ends a command on a signal: in order, with the exit code 128 + the signal's number. */
import type { Lifecycle } from '@caudal/lifecycle/lifecycle.ts';
import { exitCodeOf, onEndSignal } from '@caudal/lifecycle/process.ts';

/** How long a command may take to finish what is in flight after a signal. */
const END_MS = 15_000;

/**
 * Runs `command`, which passes its work to `running`; that work must end when the lifecycle's `ending` fires. At the
 * end everything of the lifecycle is closed. A signal ends the lifecycle and then the process, and the promise does not
 * settle.
 */
export async function untilSignal<T>(
  lifecycle: Lifecycle,
  command: (running: <R>(work: Promise<R>) => Promise<R>) => Promise<T>,
): Promise<T> {
  const ignore = onEndSignal((signal) => void lifecycle.stop(signal).then(() => process.exit(exitCodeOf(signal))));
  try {
    return await command((work) => {
      const over = () => {};
      // Registered last, so it is stopped first, before the resources that it uses.
      lifecycle.onStop('command', () => work.then(over, over), { timeoutMs: END_MS });
      return work;
    });
  } finally {
    await lifecycle.stop('the command has ended');
    ignore();
  }
}
