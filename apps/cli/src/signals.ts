/** How a command ends that was told to: in order, and then with 128 + the number of the signal. */
import type { Lifecycle } from '@caudal/lifecycle/lifecycle.ts';
import { exitCodeOf, onEndSignal } from '@caudal/lifecycle/process.ts';

/** Ended by a signal, a command has this long to put away what it has in flight. */
const END_MS = 15_000;

/**
 * Runs `command`, whose work `running` heeds the lifecycle's `ending`, and closes at its end what the lifecycle knows of.
 * A signal ends the lifecycle and then the process, so that whoever waits for `command` hears no more of it.
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
