/**
 * Shares what is limited among callers with dynamic thresholds (Choudhury and Hahne, 1998): a caller may have as long as it has
 * less than `alpha` times what is free. One caller alone gets alpha / (alpha + 1) of all; of what several greedy ones leave when
 * they come one after the other, each takes the same part. So the last sixteenth is for callers that have next to nothing.
 */

/** The part of all that only callers with next to nothing get. */
export const lastPart = 16;

/** Whether a caller that has this much may have no more. `little`: what is next to nothing. */
export const isGreedy = (has: number, free: number, all: number, alpha: number, little: number): boolean =>
  has >= alpha * Math.max(0, free) || (free <= all / lastPart && has >= little);

export interface Pool {
  /** Takes one for this caller. The function that gives it back; undefined if there is none for it. */
  take(key: string, weight?: number): (() => void) | undefined;
  used(): number;
}

/** A pool of so many. */
export function openPool(all: number, alpha: number): Pool {
  /** By caller; bounded by what the pool has. */
  const counts = new Map<string, number>();
  let used = 0;
  return {
    used: () => used,
    take(key, weight = 1) {
      const has = counts.get(key) ?? 0;
      if (used >= all || isGreedy(has, all - used, all, alpha * weight, 2)) return undefined;
      used++;
      counts.set(key, has + 1);
      let given = false;
      return () => {
        if (given) return;
        given = true;
        used--;
        const left = counts.get(key)! - 1;
        if (left > 0) counts.set(key, left);
        else counts.delete(key);
      };
    },
  };
}
