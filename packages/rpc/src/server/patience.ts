/**
 * Ends what takes too long, with one timer for all: a timer for each call would cost more than the call's admission. It looks
 * once a second, so a wait ends up to a second late.
 */

export interface Patience {
  /** Calls `end` after this time, unless the returned function is called before. The times are few: each has a set of its own. */
  watch(ms: number, end: () => void): () => void;
  /**
   * Calls `end` if a request takes longer than this, and a second more for each 16 KiB that have arrived, up to a minute: so a
   * large body may come over a slow line, and one of single bytes may not.
   */
  watchArrival(ms: number, received: () => number, end: () => void): () => void;
  /** How many are watched. */
  size(): number;
  stop(): void;
}

interface Wait {
  dueAt: number;
  end(): void;
}

const lookEveryMs = 1_000;
const bytesASecond = 16 * 1024;
const longestMs = 60_000;

export function openPatience(): Patience {
  /** By their length: so each set is in the order of its ends. */
  const waits = new Map<number, Set<Wait>>();
  const look = () => {
    const now = performance.now();
    for (const set of waits.values()) {
      for (const wait of set) {
        if (wait.dueAt > now) break;
        set.delete(wait);
        wait.end();
      }
    }
  };
  const timer = setInterval(look, lookEveryMs).unref();
  const watch: Patience['watch'] = (ms, end) => {
    let set = waits.get(ms);
    if (!set) {
      set = new Set();
      waits.set(ms, set);
    }
    const of = set;
    const wait = { dueAt: performance.now() + ms, end };
    of.add(wait);
    return () => of.delete(wait);
  };
  return {
    watch,
    watchArrival(ms, received, end) {
      const began = performance.now();
      let done = watch(ms, look);
      function look() {
        const allowedMs = Math.max(ms, Math.min(longestMs, ms + (received() / bytesASecond) * 1_000));
        if (performance.now() - began >= allowedMs) end();
        else done = watch(lookEveryMs, look);
      }
      return () => done();
    },
    size: () => [...waits.values()].reduce((sum, { size }) => sum + size, 0),
    stop: () => clearInterval(timer),
  };
}
