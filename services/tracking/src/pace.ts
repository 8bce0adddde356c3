/**
 * How much is written at once, and when: batches grow while the store is quick and halve when it is slow or fails, so that commands and
 * queries of the same server are not starved by a backlog of traces.
 */
import { sleep } from '@caudal/kernel/time.ts';

export interface Pace {
  /** Traces of the next batch. */
  size(): number;
  /** Waits until the next batch may begin. */
  wait(signal: AbortSignal): Promise<void>;
  written(traces: number, ms: number): void;
  failed(): void;
}

const smallest = 50;
const largest = 2_000;
/** A batch that takes longer is too large for the store as it is now. */
const aimMs = 250;
/** A step up for each batch that was quick: from the smallest to the largest in 40 of them. */
const step = 50;

/** `rate`: traces a second at most; 0 for no bound. */
export function openPace({ rate, now = () => performance.now() }: { rate: number; now?: () => number }): Pace {
  let size = 1_000;
  /** When what was written so far is paid for at the rate. */
  let paidUntil = Number.NEGATIVE_INFINITY;
  const halve = () => {
    size = Math.max(smallest, Math.floor(size / 2));
  };
  return {
    size: () => (rate > 0 ? Math.min(size, Math.max(1, rate)) : size),
    async wait(signal) {
      const ms = paidUntil - now();
      if (ms > 0) await sleep(ms, signal);
    },
    written(traces, ms) {
      if (ms > aimMs && traces >= size / 2) halve();
      else if (ms <= aimMs) size = Math.min(largest, size + step);
      if (rate > 0) paidUntil = Math.max(paidUntil, now()) + (traces / rate) * 1_000;
    },
    failed: halve,
  };
}
