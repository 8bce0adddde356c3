/** The greatest of the numbers that were written. */
import { maxNumber, numberOf, type Strategy } from './strategy.ts';

export const maximum: Strategy<number> = {
  write: (state = -maxNumber, value) => Math.max(state, numberOf(value)),
  merge: Math.max,
  values: (state) => [state],
  stamp: () => undefined,
  restamped: (state) => state,
  isState: (value): value is number => Number.isSafeInteger(value) && Math.abs(value as number) <= maxNumber,
};
