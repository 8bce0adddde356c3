/** Finds the index that serves a query, by the rule of MongoDB and PostgreSQL for compound indexes. */
import type { Query } from '@caudal/projections/types.ts';

export type Asked = Pick<Query, 'where' | 'orderBy'>;

/**
 * The number of leading keys of an index that a query uses: first keys with equality, then keys that it orders by, or
 * one key with a range.
 */
export function keysUsed(index: string[], { where = [], orderBy = [] }: Asked): number {
  const fixed = new Set(where.filter((one) => 'equals' in one || 'in' in one).map(({ key }) => key));
  const ranged = new Set(where.map(({ key }) => key).filter((key) => !fixed.has(key)));
  const ordered = orderBy.map(({ key }) => key).filter((key) => !fixed.has(key));
  let used = 0;
  while (used < index.length && fixed.has(index[used]!)) used++;
  let inOrder = 0;
  while (used < index.length && index[used] === ordered[inOrder]) {
    used++;
    inOrder++;
  }
  if (inOrder === 0 && used < index.length && ranged.has(index[used]!)) used++;
  return used;
}

/** The index that serves the query best; undefined if none does. */
export function indexFor(indexes: string[][], asked: Asked): string[] | undefined {
  let best: string[] | undefined;
  let most = 0;
  for (const index of indexes) {
    const used = keysUsed(index, asked);
    if (used > most || (used === most && used > 0 && index.length < best!.length)) [best, most] = [index, used];
  }
  return best;
}
