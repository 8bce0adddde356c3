/** Puts for callers that wait: a full queue is tried again, since its worker makes room all the time. */
import { isCode } from '@caudal/kernel/errors.ts';
import { sleep } from '@caudal/kernel/time.ts';
import type { TraceQueue } from './types.ts';

/** How long the caller waits. */
export interface Wait {
  deadline: Date;
  signal: AbortSignal;
}

const firstPauseMs = 50;
const longestPauseMs = 500;
/** What a put itself may take, and its answer. */
const restMs = 1_000;

/** As a patient `put` of the queue. Errors: the same; RESOURCE_EXHAUSTED only once the wait is over. */
export function patientPut(queue: Pick<TraceQueue, 'put'>, { deadline, signal }: Wait): TraceQueue['put'] {
  return async (bodies) => {
    for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(longestPauseMs, pauseMs * 2)) {
      try {
        await queue.put(bodies, { patient: true });
        return;
      } catch (error) {
        const leftMs = deadline.getTime() - Date.now() - restMs;
        if (!isCode(error, 'RESOURCE_EXHAUSTED') || signal.aborted || leftMs < pauseMs) throw error;
        // Not all that wait at the same time.
        await sleep(pauseMs * (0.5 + Math.random() / 2), signal);
      }
    }
  };
}
