/**
 * Notices a peer that hangs. While calls wait for it, it gets a ping every 100 ms. It counts as silent if nothing was received
 * from it for the usual time of a pong and four deviations of it, as TCP estimates its time-out; at least 250 ms, at most 1 s.
 * Time in which this process did not run itself does not count.
 */

const pingEveryMs = 100;
const leastMs = 250;
const mostMs = 1_000;

export interface Liveness {
  /** Calls wait for the peer from now on. */
  begin(): void;
  /** Something was received. `pong`: the number of the ping that it answers, or 0. */
  received(pong: number): void;
  /** No call waits any more. */
  end(): void;
}

export interface LivenessOptions {
  ping(number: number): void;
  /** Called once, when the peer is silent. */
  onSilent(): void;
  /** Milliseconds of a clock that never goes back. */
  elapsed(): number;
}

export function openLiveness({ ping, onSilent, elapsed }: LivenessOptions): Liveness {
  let timer: NodeJS.Timeout | undefined;
  let number = 0;
  /** When the ping that is not answered yet was sent. */
  let sentMs: number | undefined;
  let lastMs = 0;
  let expectedMs = 0;
  let usualMs: number | undefined;
  let deviationMs = 0;

  const patienceMs = () =>
    usualMs === undefined ? mostMs : Math.min(mostMs, Math.max(leastMs, usualMs + 4 * deviationMs));

  function tick(): void {
    const now = elapsed();
    const late = Math.max(0, now - expectedMs);
    lastMs += late;
    if (sentMs !== undefined) sentMs += late;
    // What has arrived meanwhile is read after the timers.
    if (now - lastMs > patienceMs()) setImmediate(judge);
    if (sentMs === undefined) {
      number = (number % 0x7fffffff) + 1;
      sentMs = now;
      ping(number);
    }
    expectedMs = now + pingEveryMs;
    timer = setTimeout(tick, pingEveryMs).unref();
  }

  function judge(): void {
    if (!timer || elapsed() - lastMs <= patienceMs()) return;
    end();
    onSilent();
  }

  function end(): void {
    clearTimeout(timer);
    timer = undefined;
    sentMs = undefined;
  }

  return {
    begin() {
      if (timer) return;
      lastMs = elapsed();
      expectedMs = lastMs + pingEveryMs;
      timer = setTimeout(tick, pingEveryMs).unref();
    },
    received(pong) {
      lastMs = elapsed();
      if (pong !== number || sentMs === undefined) return;
      const took = lastMs - sentMs;
      sentMs = undefined;
      if (usualMs === undefined) {
        usualMs = took;
        deviationMs = took / 2;
      } else {
        deviationMs += (Math.abs(took - usualMs) - deviationMs) / 4;
        usualMs += (took - usualMs) / 8;
      }
    },
    end,
  };
}
