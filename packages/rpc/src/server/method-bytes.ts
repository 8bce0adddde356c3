/**
 * The bytes of the calls in flight of one method, beside those of all (places.ts): `(caudal.max_bytes_in_flight)`. Such a method reads
 * hundreds of items a call, and the time that its calls in flight need is what each of them waits, and all other calls of the process. So more
 * of them would not be done sooner. A request counts here once it is there whole: one that arrives, however slowly, holds nothing but
 * memory, which places.ts bounds. docs/limits.md, Bulk calls.
 */
import { alpha, busy, greedy, type Place } from './places.ts';
import { isGreedy } from './pool.ts';

export interface MethodBytes {
  /** The place of a call, whose bytes count here too from its `received` until it is left. */
  within(place: Place, leave: () => void): { place: Place; leave: () => void };
}

export function openMethodBytes(all: number): MethodBytes {
  /** By caller; only those with a request that is there. */
  const byCaller = new Map<string, number>();
  let used = 0;

  function assertRoom(key: string): void {
    if (used >= all) throw busy();
    if (isGreedy(byCaller.get(key) ?? 0, all - used, all, alpha, 1)) throw greedy();
  }

  return {
    within(place, leave) {
      const { key } = place.party;
      /** The bytes of this call, and those of them that count. */
      let [held, counted] = [0, 0];
      let [isWhole, left] = [false, false];
      const count = () => {
        const change = (isWhole && !left ? held : 0) - counted;
        used += change;
        counted += change;
        const has = (byCaller.get(key) ?? 0) + change;
        if (has > 0) byCaller.set(key, has);
        else byCaller.delete(key);
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
        },
        leave() {
          left = true;
          count();
          leave();
        },
      };
    },
  };
}
