/**
 * The bytes of the calls in flight of one method, beside those of all (places.ts): `(caudal.max_bytes_in_flight)`. Such a method reads
 * hundreds of items a call, and the time that its calls in flight need is what each of them waits, and all other calls of the process. So more
 * of them would not be done sooner. docs/limits.md, Bulk calls.
 */
import { alpha, busy, greedy, type Place } from './places.ts';
import { isGreedy } from './pool.ts';

export interface MethodBytes {
  /** The place of a call, whose bytes count here too until it is left. */
  within(place: Place, leave: () => void): { place: Place; leave: () => void };
}

export function openMethodBytes(all: number): MethodBytes {
  /** By caller; only those with a call in flight. */
  const byCaller = new Map<string, number>();
  let used = 0;
  return {
    within(place, leave) {
      const { key } = place.party;
      let taken = 0;
      let left = false;
      const change = (bytes: number) => {
        used += bytes;
        taken += bytes;
        const has = (byCaller.get(key) ?? 0) + bytes;
        if (has > 0) byCaller.set(key, has);
        else byCaller.delete(key);
      };
      return {
        place: {
          ...place,
          take(bytes) {
            // A call that has begun to arrive goes on: so the bound can be exceeded by the largest request of each that came in time.
            if (taken === 0 && used > 0) {
              if (used >= all) throw busy();
              if (isGreedy(byCaller.get(key) ?? 0, all - used, all, alpha, 1)) throw greedy();
            }
            place.take(bytes);
            if (!left) change(bytes);
          },
          give(bytes) {
            place.give(bytes);
            change(-Math.min(bytes, taken));
          },
        },
        leave() {
          left = true;
          change(-taken);
          leave();
        },
      };
    },
  };
}
