/**
 * A text with a vector clock: a write replaces what its device has seen. Texts that were written without sight of each other are
 * siblings: all of them are shown, until a device that has seen them writes again. A device has one at most.
 */
import { compareStamps, compareTexts, hasOnly, isCount, isDevice, isStamp, type Stamp } from '../stamp.ts';
import { isText, type Strategy, textOf } from './strategy.ts';

/** How many writes of each device were seen: sorted by device. */
type Clock = [string, number][];

interface Sibling {
  text: string;
  stamp: Stamp;
  clock: Clock;
}

const mostSiblings = 20;
const mostDevices = 200;

const countOf = (clock: Clock, device: string) => clock.find(([of]) => of === device)?.[1] ?? 0;

/** Whether `a` has seen all that `b` has. Both are sorted, so each is read once. */
function covers(a: Clock, b: Clock): boolean {
  let at = 0;
  return b.every(([device, count]) => {
    while (at < a.length && compareTexts(a[at]![0], device) < 0) at++;
    return a[at]?.[0] === device ? a[at]![1] >= count : count === 0;
  });
}

function joined(a: Clock, b: Clock): Clock {
  const devices = [...new Set([...a, ...b].map(([device]) => device))].sort(compareTexts);
  return devices.map((device) => [device, Math.max(countOf(a, device), countOf(b, device))]);
}

const order = (a: Sibling, b: Sibling) => compareStamps(a.stamp, b.stamp) || compareTexts(a.text, b.text);

/** Drops those that another one has seen. Of equal clocks, which broken devices make, the later one stays. */
function latest(all: Sibling[]): Sibling[] {
  const isReplaced = (one: Sibling) =>
    all.some((other) => covers(other.clock, one.clock) && (!covers(one.clock, other.clock) || order(one, other) < 0));
  const kept = all.filter((one) => !isReplaced(one)).sort(order);
  return kept.filter((one, n) => n === 0 || order(kept[n - 1]!, one) !== 0);
}

export const siblings: Strategy<Sibling[]> = {
  write(state = [], value, { stamp }) {
    const seen = state.reduce<Clock>((clock, one) => joined(clock, one.clock), []);
    return [{ text: textOf(value), stamp, clock: joined(seen, [[stamp.device, countOf(seen, stamp.device) + 1]]) }];
  },
  merge: (a, b) => latest([...a, ...b]),
  values: (state) => state.map(({ text }) => text).filter((text) => text !== ''),
  stamp: (state) =>
    state
      .map(({ stamp }) => stamp)
      .sort(compareStamps)
      .at(-1),
  restamped: (state, change) => state.map((one) => ({ ...one, stamp: change(one.stamp) })).sort(order),
  isState: (value): value is Sibling[] =>
    Array.isArray(value) && value.length <= mostSiblings && value.every(isSibling),
};

function isSibling(value: unknown): value is Sibling {
  if (!hasOnly(value, ['text', 'stamp', 'clock'])) return false;
  const { text, stamp, clock } = value;
  return (
    isText(text) &&
    isStamp(stamp) &&
    Array.isArray(clock) &&
    clock.length <= mostDevices &&
    clock.every(
      (entry, n) =>
        Array.isArray(entry) &&
        entry.length === 2 &&
        isDevice(entry[0]) &&
        isCount(entry[1]) &&
        (n === 0 || compareTexts(clock[n - 1]![0], entry[0]) < 0),
    )
  );
}
