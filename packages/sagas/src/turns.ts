/** A lock for each saga: one run at a time. An event that waits long for the lock cuts the present run short. */
import { keyedLock } from '@caudal/kernel/concurrency.ts';

export interface Turn {
  /** Fires when the run is cut short, or the handler is stopped. */
  signal: AbortSignal;
  end(): void;
}

/** The locks of a handler's sagas. `stopping` cuts every run short. */
export function sagaTurns(stopping: AbortSignal) {
  const lock = keyedLock();
  const underWay = new Map<string, AbortController>();

  /** Waits for the saga's lock. With `cutAfterMs` it cuts runs before it short that take longer. */
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
