/**
 * How much is written at once, and when: batches grow while the store is quick and halve when it is slow or fails, so that commands and
 * queries of the same server are not starved by a backlog of traces. While the process takes traces in, too, it writes with half of its time and in
 * small batches: each would hold up what arrives.
 */
import { sleep } from '@caudal/kernel/time.ts';

export interface Pace {
  /** Traces of the next batch. */
  size(): number;
  /** Waits until the next batch may begin. */
  wait(signal: AbortSignal): Promise<void>;
  /** `busy`: the process takes traces in meanwhile. */
  written(traces: number, ms: number, busy: boolean): void;
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

/** `rate`: traces a second at most; 0 for no bound. */
export function openPace({ rate, now = () => performance.now() }: { rate: number; now?: () => number }): Pace {
  let size = 1_000;
  /** When what was written so far is paid for at the rate. */
  let paidUntil = Number.NEGATIVE_INFINITY;
  let most = largest;
  const halve = () => {
    size = Math.max(smallest, Math.floor(size / 2));
  };
  return {
    size: () => Math.min(size, most, rate > 0 ? Math.max(1, rate) : largest),
    async wait(signal) {
      const ms = paidUntil - now();
      if (ms > 0) await sleep(ms, signal);
    },
    written(traces, ms, busy) {
      most = busy ? whileBusy : largest;
      if (busy) paidUntil = Math.max(paidUntil, now() + ms);
      if (ms > aimMs && traces >= size / 2) halve();
      else if (ms <= aimMs) size = Math.min(largest, size + step);
      if (rate > 0) paidUntil = Math.max(paidUntil, now()) + (traces / rate) * 1_000;
    },
    failed: halve,
  };
}
