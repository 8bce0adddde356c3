/** How many bytes a page of a list may have: docs/lists.md. */

/** A page ends with the item that reaches this, so it has one item at least. */
export const pageBytes = 512 * 1024;

/** How many of the items, from the first on, are a page. `bytesOf`: about what the item takes in the answer. */
export function itemsOfPage<T>(items: readonly T[], bytesOf: (item: T) => number): number {
  let bytes = 0;
  let count = 0;
  while (count < items.length && bytes < pageBytes) bytes += bytesOf(items[count++]!);
  return count;
}

/** What a value takes as JSON. */
export const jsonBytes = (value: unknown): number => Buffer.byteLength(JSON.stringify(value) ?? '');
