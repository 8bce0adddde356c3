/** A saga is led on by one at a time. An event that waits long for its turn cuts short what is under way. */
import { keyedLock } from '@caudal/kernel/concurrency.ts';

export interface Turn {
  /** Fires when the turn is cut short, or all is told to stop. */
  signal: AbortSignal;
  end(): void;
}

/** `stopping` ends every turn early. */
export function sagaTurns(stopping: AbortSignal) {
  const lock = keyedLock();
  const underWay = new Map<string, AbortController>();

  /** Waits for the saga's turn; `cutAfterMs`: cuts short those before it that take longer. */
  return async function takeTurn(id: string, cutAfterMs?: number): Promise<Turn> {
    const cutting = cutAfterMs === undefined ? undefined : setInterval(() => underWay.get(id)?.abort(), cutAfterMs);
    const unlock = await lock(id);
    clearInterval(cutting);
    const turn = new AbortController();
    const stop = () => turn.abort(stopping.reason);
    stopping.addEventListener('abort', stop);
    if (stopping.aborted) stop();
    underWay.set(id, turn);
    return {
      signal: turn.signal,
      end() {
        underWay.delete(id);
        stopping.removeEventListener('abort', stop);
        unlock();
      },
    };
  };
}
