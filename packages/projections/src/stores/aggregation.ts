/** What the stores' aggregations share: types of computed values, and the order of rows. */
import type { KeyType } from '../types.ts';
import type { Aggregation, AggregationRow, Layout, TypedComputation, TypedKey } from './store.ts';

/** The type of a computed value. */
export function typeOfComputed(computation: TypedComputation, layout: Layout): KeyType {
  return computation.kind === 'min' || computation.kind === 'max' ? layout.keys[computation.key]!.type : 'long';
}

/** The row for the group of all views if there is no view: stores return no row then. */
export function groupOfNone({ compute }: Aggregation): AggregationRow {
  return { group: [], computed: compute.map(({ kind }) => (kind === 'count' || kind === 'sum' ? 0n : null)) };
}

/** Compares two values of one type: nulls first, strings by their UTF-8 bytes. */
function compareKeys(a: TypedKey, b: TypedKey): number {
  if (a === null || b === null) return Number(b === null) - Number(a === null);
  if (typeof a === 'string') return Buffer.compare(Buffer.from(a), Buffer.from(b as string));
  return a < b ? -1 : Number(a > b);
}

/** Compares rows as an aggregation orders them. */
export function compareRows({ orderBy }: Pick<Aggregation, 'orderBy'>) {
  return (a: AggregationRow, b: AggregationRow): number => {
    for (const { by, descending } of orderBy) {
      const order =
        'group' in by
          ? compareKeys(a.group[by.group]!, b.group[by.group]!)
          : compareKeys(a.computed[by.computed]!, b.computed[by.computed]!);
      if (order !== 0) return descending ? -order : order;
    }
    return 0;
  };
}
