/**
 * From rounds to figures. Contenders are compared within each round, because the speed of the machine drifts, for both.
 */
import type { Figure, Goal } from './types.ts';

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The value below which `share` (0..1) of the sorted values lie: nearest rank. NaN if there are none. */
export function percentile(sorted: ArrayLike<number>, share: number): number {
  if (sorted.length === 0) return Number.NaN;
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!;
}

export interface Named {
  bench: string;
  metric: string;
  unit: string;
  goal?: Goal;
}

/** The figure of some rounds: median and spread. */
export function figureOf(name: Named, rounds: number[]): Figure {
  if (rounds.length === 0 || rounds.some((value) => !Number.isFinite(value)))
    throw new Error(`${name.bench} ${name.metric}: a round without a value`);
  return {
    ...name,
    value: median(rounds),
    ...(rounds.length > 1 && { spread: [Math.min(...rounds), Math.max(...rounds)] }),
  };
}

/** The ratio of `of` to `by`, round by round. */
export function ratioOf(name: Omit<Named, 'unit'>, of: number[], by: number[]): Figure {
  return figureOf(
    { ...name, unit: 'x' },
    of.map((value, round) => value / by[round]!),
  );
}

export function isMet({ value, goal }: Figure): boolean | undefined {
  if (!goal) return undefined;
  return goal.kind === 'atLeast' ? value >= goal.value : value <= goal.value;
}

/** Three significant digits: `0.412`, `8.41`, `16,900`. */
export function number(value: number): string {
  if (value === 0) return '0';
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return Number(value.toPrecision(3)).toLocaleString('en', {
    minimumFractionDigits: Math.min(digits, 3),
    maximumFractionDigits: Math.min(digits, 3),
  });
}
