/** The sum of numbers: each write adds to it. It keeps a sum for each device, with how often that has added. */
import { compareTexts, isCount, isDevice } from '../stamp.ts';
import { maxNumber, numberOf, type Strategy } from './strategy.ts';

/** Sorted by device: [device, writes, sum]. */
type Sums = [string, number, number][];

const mostDevices = 200;
const isLater = (a: Sums[number], b: Sums[number] | undefined) =>
  b === undefined || a[1] > b[1] || (a[1] === b[1] && a[2] > b[2]);

function merged(a: Sums, b: Sums): Sums {
  const byDevice = new Map(a.map((entry) => [entry[0], entry]));
  for (const entry of b) if (isLater(entry, byDevice.get(entry[0]))) byDevice.set(entry[0], entry);
  return [...byDevice.values()].sort(([one], [other]) => compareTexts(one, other));
}

export const sum: Strategy<Sums> = {
  write(state = [], value, { stamp: { device } }) {
    const [, writes, before] = state.find(([of]) => of === device) ?? [device, 0, 0];
    return merged(state, [[device, writes + 1, numberOf(before + numberOf(value))]]);
  },
  merge: merged,
  values: (state) => [state.reduce((total, [, , of]) => total + of, 0)],
  stamp: () => undefined,
  restamped: (state) => state,
  isState: (value): value is Sums =>
    Array.isArray(value) &&
    value.length <= mostDevices &&
    value.every(
      (entry, n) =>
        Array.isArray(entry) &&
        entry.length === 3 &&
        isDevice(entry[0]) &&
        isCount(entry[1]) &&
        Number.isSafeInteger(entry[2]) &&
        Math.abs(entry[2]) <= maxNumber &&
        (n === 0 || compareTexts(value[n - 1][0], entry[0]) < 0),
    ),
};
