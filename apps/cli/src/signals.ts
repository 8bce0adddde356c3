/** How a signal ends a command: in order, with the exit code 128 + its number. */
import type { Lifecycle } from '@caudal/lifecycle/lifecycle.ts';
import { exitCodeOf, onEndSignal } from '@caudal/lifecycle/process.ts';

/** How long a command may take to finish what is in flight after a signal. */
const END_MS = 15_000;

/**
 * Runs `command`, whose work `running` must end at the lifecycle's `ending`, and closes everything of the lifecycle at its end.
 * A signal ends the lifecycle and then the process: the promise does not settle then.
 */
export async function untilSignal<T>(
  lifecycle: Lifecycle,
  command: (running: <R>(work: Promise<R>) => Promise<R>) => Promise<T>,
): Promise<T> {
  const ignore = onEndSignal((signal) => void lifecycle.stop(signal).then(() => process.exit(exitCodeOf(signal))));
  try {
    return await command((work) => {
      const over = () => {};
      // The last to be registered is the first to be waited for: what it uses is closed after it.
      lifecycle.onStop('command', () => work.then(over, over), { timeoutMs: END_MS });
      return work;
    });
  } finally {
    await lifecycle.stop('the command is over');
    ignore();
  }
}
