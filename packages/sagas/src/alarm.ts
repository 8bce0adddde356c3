/** The due time of a handler's next timer, as far as this process knows, and a wait that ends when it gets earlier. */
import { sleep } from '@caudal/kernel/time.ts';

export interface Alarm {
  /** The earliest time that is known; undefined if none is. */
  readonly next: Date | undefined;
  /** Notes a timer that is due at this time. If it is earlier than the known one, the wait ends. */
  sooner(dueAt: Date): void;
  /** Forgets the known time. */
  clear(): void;
  /** Waits for so many milliseconds, for an earlier time, or for the signal. */
  wait(ms: number, signal: AbortSignal): Promise<void>;
}

export function openAlarm(): Alarm {
  let next: Date | undefined;
  let waiting = new AbortController();
  return {
    get next() {
      return next;
    },
    sooner(dueAt) {
      if (next && next <= dueAt) return;
      next = dueAt;
      waiting.abort('sooner');
    },
    clear() {
      next = undefined;
    },
    async wait(ms, signal) {
      waiting = new AbortController();
      await sleep(ms, AbortSignal.any([waiting.signal, signal]));
    },
  };
}
