/** The key of a line: its product and options. Two lines with the same options are one line. */
import { compareTexts } from './stamp.ts';

export interface Item {
  productId: string;
  /** What was chosen: `{ size: 'M' }`. */
  options: Record<string, string>;
}

/** The most options of a line, and characters of a key: those that percent-encoding makes count. */
export const maxOptions = 10;
export const maxKeyLength = 2_000;

/** Texts that percent-encoding leaves as they are: to look is faster than to encode. */
const isPlain = /^[A-Za-z0-9_.!~*'()-]*$/;

/** `MUG-1`, `SHIRT?colour=blue&size=M` */
export function lineKey({ productId, options }: Item): string {
  const pairs = Object.entries(options)
    .sort(([a], [b]) => compareTexts(a, b))
    .map(([name, value]) => `${encoded(name)}=${encoded(value)}`);
  return pairs.length === 0 ? productId : `${productId}?${pairs.join('&')}`;
}

/** The product of a key that itemOf accepts. */
export function productOf(key: string): string {
  return key.split('?', 1)[0]!;
}

/** The item of a key. Throws a RangeError if it is the key of none. */
export function itemOf(key: string): Item {
  const [productId, text] = key.split('?', 2) as [string, string | undefined];
  const pairs = text?.split('&', maxOptions + 1) ?? [];
  if (pairs.length > maxOptions) throw new RangeError(`A line has more than ${maxOptions} options.`);
  const options = Object.fromEntries(
    pairs.map((pair) => {
      const [name, value = ''] = pair.split('=', 2) as [string, string | undefined];
      return [decoded(name), decoded(value)];
    }),
  );
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(productId) || lineKey({ productId, options }) !== key)
    throw new RangeError('A line has a key that is not one of a product with sorted options.');
  return { productId, options };
}

const encoded = (text: string) => (isPlain.test(text) ? text : encodeURIComponent(text));

function decoded(text: string): string {
  if (isPlain.test(text)) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    throw new RangeError('A line has a key with options that are not percent-encoded.');
  }
}
