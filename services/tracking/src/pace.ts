/**
 * How much is written at once, and when: batches grow while the store is quick and halve when it is slow or fails, so that commands and
 * queries of the same server are not starved by a backlog of traces. While the process takes traces in, too, batches are small; and while
 * it takes in more than is written, it writes with half of its time: what arrives has to be answered at once.
 */
import { sleep } from '@caudal/kernel/time.ts';

/** A batch that was written. */
export interface WrittenBatch {
  /** How many traces were asked for. */
  limit: number;
  traces: number;
  ms: number;
  /** Traces that the process took in meanwhile. */
  accepted: number;
}

export interface Pace {
  /** Traces of the next batch. */
  size(): number;
  /** Waits until the next batch may begin. */
  wait(signal: AbortSignal): Promise<void>;
  written(batch: WrittenBatch): void;
  failed(): void;
}

const smallest = 50;
const largest = 2_000;
/** Of a batch in a process that takes traces in: some 10 ms of its loop. */
const whileBusy = 250;
/** A batch that takes longer is too large for the store as it is now. */
const aimMs = 250;
/** A step up for each batch that was quick: from the smallest to the largest in 40 of them. */
const step = 50;

export interface PaceOptions {
  /** Traces a second at most; 0 for no bound. */
  rate: number;
  /** How many batches are written at the same time. */
  lanes: number;
  now?: () => number;
}

export function openPace({ rate, lanes, now = () => performance.now() }: PaceOptions): Pace {
  let size = 1_000;
  /** When what was written so far is paid for at the rate. */
  let paidUntil = Number.NEGATIVE_INFINITY;
  let most = largest;
  /** Batches one after the other with which what waits has grown. */
  let grown = 0;
  const halve = () => {
    size = Math.max(smallest, Math.floor(size / 2));
  };
  return {
    size: () => Math.min(size, most, rate > 0 ? Math.max(1, rate) : largest),
    async wait(signal) {
      const ms = paidUntil - now();
      if (ms > 0) await sleep(ms, signal);
    },
    written({ limit, traces, ms, accepted }) {
      most = accepted > 0 ? whileBusy : largest;
      // A batch that is not full has left nothing. All lanes may be slow once, at the same time: the next batches are quick again.
      grown = traces >= limit / 2 && accepted > traces * lanes ? grown + 1 : 0;
      if (grown > lanes) paidUntil = Math.max(paidUntil, now() + Math.min(ms, aimMs));
      if (ms > aimMs && traces >= size / 2) halve();
      else if (ms <= aimMs) size = Math.min(largest, size + step);
      if (rate > 0) paidUntil = Math.max(paidUntil, now()) + (traces / rate) * 1_000;
    },
    failed: halve,
  };
}
