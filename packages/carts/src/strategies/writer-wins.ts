/** One text: the last, or the first, that was written. */
import { compareStamps, compareTexts, hasOnly, isStamp, type Stamp } from '../stamp.ts';
import { isText, type Strategy, textOf } from './strategy.ts';

export interface Written {
  text: string;
  stamp: Stamp;
}

const isWritten = (value: unknown): value is Written =>
  hasOnly(value, ['text', 'stamp']) && isText(value.text) && isStamp(value.stamp);

/** One stamp with two texts is the work of a broken device: any order will do, if all agree. */
const compare = (a: Written, b: Written) => compareStamps(a.stamp, b.stamp) || compareTexts(a.text, b.text);

const common = {
  values: ({ text }: Written) => (text === '' ? [] : [text]),
  stamp: ({ stamp }: Written) => stamp,
  restamped: ({ text, stamp }: Written, change: (stamp: Stamp) => Stamp) => ({ text, stamp: change(stamp) }),
  isState: isWritten,
};

/** The text that was written last. The empty text clears the field. */
export const lastWriterWins: Strategy<Written> = {
  write: (_, value, { stamp }) => ({ text: textOf(value), stamp }),
  merge: (a, b) => (compare(a, b) >= 0 ? a : b),
  ...common,
};

/** The text that was written first. It stays. */
export const firstWriterWins: Strategy<Written> = {
  write: (state, value, { stamp }) => state ?? { text: textOf(value), stamp },
  merge: (a, b) => (compare(a, b) <= 0 ? a : b),
  ...common,
};
