/**
 * The bytes of the calls in flight of one method, beside those of all (places.ts): `(caudal.max_bytes_in_flight)`. Such a method reads
 * hundreds of items a call, and the time that its calls in flight need is what each of them waits, and all other calls of the process. So more
 * of them would not be done sooner. A request counts here once it is there whole: one that arrives, however slowly, holds nothing but
 * memory, which places.ts bounds. docs/limits.md, Bulk calls.
 */
import { alpha, busy, greedy, type Place } from './places.ts';
import { isGreedy } from './pool.ts';

export interface MethodBytes {
  /** The place of a call, whose bytes count here too from its `received` until nobody holds it. */
  within(place: Place, leave: () => void): { place: Place; leave: () => void };
  /**
   * Waits until there is room for a message of this caller, which counts until the returned function is called. The callers that wait
   * are served in turn, and other calls of the process between them. Rejects with SERVER_BUSY after a while, and with the signal's reason.
   */
  turn(key: string, bytes: number, signal: AbortSignal): Promise<() => void>;
}

/** The most that a message waits. */
const turnWaitMs = 30_000;
/** The bytes of messages that begin in one turn of the event loop; one message at least. */
const beginBytes = 16 * 1024;

interface Waiting {
  bytes: number;
  begin(): void;
}

/** `waitMs`: for tests. */
export function openMethodBytes(all: number, waitMs = turnWaitMs): MethodBytes {
  /** By caller; only those with a request that is there. */
  const byCaller = new Map<string, number>();
  let used = 0;
  /** The messages that wait, by caller; the one that was served longest ago is the first. The number of streams bounds them. */
  const queues = new Map<string, Set<Waiting>>();
  let isDue = false;

  const isFull = () => used >= all;
  const hasItsShare = (key: string) => isGreedy(byCaller.get(key) ?? 0, all - used, all, alpha, 1);

  function assertRoom(key: string): void {
    if (isFull()) throw busy();
    if (hasItsShare(key)) throw greedy();
  }

  function change(key: string, bytes: number): void {
    used += bytes;
    const has = (byCaller.get(key) ?? 0) + bytes;
    if (has > 0) byCaller.set(key, has);
    else byCaller.delete(key);
    if (bytes < 0) serveSoon();
  }

  function serveSoon(): void {
    if (isDue || queues.size === 0) return;
    isDue = true;
    setImmediate(serve);
  }

  /** Begins some that have room now. What else waits for the event loop comes before the next ones. */
  function serve(): void {
    isDue = false;
    for (let begun = 0; begun < beginBytes; ) {
      const next = [...queues].find(([key]) => !isFull() && !hasItsShare(key));
      if (!next) return;
      const [key, queue] = next;
      const [first] = queue;
      drop(key, first!);
      if (queues.delete(key)) queues.set(key, queue);
      change(key, first!.bytes);
      begun += first!.bytes;
      first!.begin();
    }
    serveSoon();
  }

  function drop(key: string, one: Waiting): void {
    const queue = queues.get(key);
    if (queue?.delete(one) && queue.size === 0) queues.delete(key);
  }

  return {
    within(place, leave) {
      const { key } = place.party;
      /** The bytes of this call, and those of them that count. */
      let [held, counted] = [0, 0];
      let isWhole = false;
      /** The connection, and the handler, which may go on after the caller has left. */
      let holders = 1;
      const count = () => {
        const more = (isWhole && holders > 0 ? held : 0) - counted;
        counted += more;
        change(key, more);
      };
      const holder = (letGo: () => void) => {
        let holds = true;
        return () => {
          if (holds) holders--;
          holds = false;
          count();
          letGo();
        };
      };
      return {
        place: {
          ...place,
          take(bytes) {
            // What would be refused in the end is not received.
            if (held === 0) assertRoom(key);
            place.take(bytes);
            held += bytes;
            count();
          },
          give(bytes) {
            place.give(bytes);
            held -= Math.min(bytes, held);
            count();
          },
          // The bound can be exceeded by the bytes of one call: so one that has more than all is served.
          received() {
            assertRoom(key);
            isWhole = true;
            count();
          },
          hold() {
            holders++;
            return holder(place.hold());
          },
        },
        leave: holder(leave),
      };
    },
    turn(key, bytes, signal) {
      const { promise, resolve, reject } = Promise.withResolvers<() => void>();
      const end = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', giveUp);
      };
      const one: Waiting = {
        bytes,
        begin() {
          end();
          let left = false;
          resolve(() => {
            if (!left) change(key, -bytes);
            left = true;
          });
        },
      };
      const giveUp = () => {
        end();
        drop(key, one);
        reject(signal.aborted ? signal.reason : busy());
      };
      const timer = setTimeout(giveUp, waitMs);
      signal.addEventListener('abort', giveUp, { once: true });
      queues.set(key, (queues.get(key) ?? new Set()).add(one));
      serveSoon();
      if (signal.aborted) giveUp();
      return promise;
    },
  };
}
