/** A set of texts to which every device adds. Of more than fit it keeps the first ones in the order of the texts. */
import { compareTexts } from '../stamp.ts';
import type { Strategy } from './strategy.ts';

const mostTexts = 20;
const maxLength = 100;

const union = (a: string[], b: string[]) => [...new Set([...a, ...b])].sort(compareTexts).slice(0, mostTexts);

export const setUnion: Strategy<string[]> = {
  write(state = [], value) {
    const texts = Array.isArray(value) ? value : [value];
    const wrong = texts.some((text) => typeof text !== 'string' || text === '' || text.length > maxLength);
    if (wrong) throw new RangeError(`The values must be texts of 1 to ${maxLength} characters.`);
    return union(state, texts as string[]);
  },
  merge: union,
  values: (state) => (state.length > 0 ? [state] : []),
  stamp: () => undefined,
  restamped: (state) => state,
  isState: (value): value is string[] =>
    Array.isArray(value) &&
    value.length <= mostTexts &&
    value.every(
      (text, n) =>
        typeof text === 'string' &&
        text !== '' &&
        text.length <= maxLength &&
        (n === 0 || compareTexts(value[n - 1], text) < 0),
    ),
};
