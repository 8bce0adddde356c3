/** The key of a line: its product and options. Two lines with the same options are one line. */
import { compareTexts } from './stamp.ts';

export interface Item {
  productId: string;
  /** What was chosen: `{ size: 'M' }`. */
  options: Record<string, string>;
}

/** `MUG-1`, `SHIRT?colour=blue&size=M` */
export function lineKey({ productId, options }: Item): string {
  const pairs = Object.entries(options)
    .sort(([a], [b]) => compareTexts(a, b))
    .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`);
  return pairs.length === 0 ? productId : `${productId}?${pairs.join('&')}`;
}

/** The item of a key. Throws a RangeError if it is the key of none. */
export function itemOf(key: string): Item {
  const [productId, pairs] = key.split('?', 2) as [string, string | undefined];
  const options = Object.fromEntries(
    (pairs?.split('&') ?? []).map((pair) => {
      const [name, value = ''] = pair.split('=', 2) as [string, string | undefined];
      return [decoded(name), decoded(value)];
    }),
  );
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(productId) || lineKey({ productId, options }) !== key)
    throw new RangeError('A line has a key that is not one of a product with sorted options.');
  return { productId, options };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new RangeError('A line has a key with options that are not percent-encoded.');
  }
}
