/** Random numbers that can be repeated: the same seed gives the same numbers. */

/** A stream of numbers in [0, 1) from a seed (mulberry32, T. Ettinger, public domain). */
export function randomFrom(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export interface Random {
  /** A whole number from `from` to `to`, both included. */
  int(from: number, to: number): number;
  /** One of the items. */
  pick<T>(items: readonly T[]): T;
  /** True with this probability, 0 to 1. */
  chance(share: number): boolean;
}

/** Random numbers for one named part of a test. They do not depend on how many numbers other parts draw. */
export function createRandom(seed: number, part: string): Random {
  // FNV-1a, so that similar seeds and names give different numbers.
  let hash = 0x811c9dc5;
  for (const char of `${seed}/${part}`) hash = Math.imul(hash ^ char.charCodeAt(0), 0x01000193);
  const next = randomFrom(hash);
  const int = (from: number, to: number) => from + Math.floor(next() * (to - from + 1));
  return { int, pick: (items) => items[int(0, items.length - 1)]!, chance: (share) => next() < share };
}
