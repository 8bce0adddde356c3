/** How full a queue is: it is asked five times a second at most, while something is put into it. */

export interface Level {
  /** Whether so much fits below the bound; then it is noted as put. Errors: those of counting. */
  fits(amount: number, most: number): Promise<boolean>;
}

const countMs = 200;

export function openLevel(count: () => Promise<number>): Level {
  /** As it was counted last, and what was put since. */
  let known = 0;
  let at = Number.NEGATIVE_INFINITY;
  let counting: Promise<void> | undefined;

  async function countNow(): Promise<void> {
    known = await count();
    at = performance.now();
  }

  return {
    async fits(amount, most) {
      if (performance.now() - at > countMs)
        counting ??= countNow().finally(() => {
          counting = undefined;
        });
      await counting;
      if (known + amount > most) return false;
      known += amount;
      return true;
    },
  };
}
