/** Finds documents in memory, as the stores' contract has it: a model of what their queries give. */
import { totalOrder } from '../stores/keys.ts';
import type { Find, StoredDocument, TypedCondition, TypedKey, Write } from '../stores/store.ts';

export interface FoundDocument {
  document: StoredDocument;
  keys: Write['keys'];
}

/** The documents that meet the conditions, in order, after the one that is given. */
export function findIn(all: FoundDocument[], { where, orderBy, after, limit }: Find): StoredDocument[] {
  const order = totalOrder(orderBy);
  const placeOf = ({ keys, document }: FoundDocument) =>
    order.map(({ key }) => (key === undefined ? document.id : ((keys[key] as TypedKey | undefined) ?? null)));
  const compare = (a: TypedKey[], b: TypedKey[]): number => {
    for (const [place, { descending }] of order.entries()) {
      const found = compareKeys(a[place]!, b[place]!);
      if (found !== 0) return descending ? -found : found;
    }
    return 0;
  };
  return all
    .filter(({ keys }) => where.every((condition) => meets(keys, condition)))
    .filter((found) => !after || compare(placeOf(found), [...after.keys, after.id]) > 0)
    .sort((a, b) => compare(placeOf(a), placeOf(b)))
    .slice(0, limit)
    .map(({ document }) => document);
}

/** Nulls are before every value; texts are in the order of their bytes. */
function compareKeys(a: TypedKey, b: TypedKey): number {
  if (a === null || b === null) return Number(b === null) - Number(a === null);
  if (typeof a === 'string' && typeof b === 'string') return Buffer.compare(Buffer.from(a), Buffer.from(b));
  const [x, y] = [a, b].map((value) => (value instanceof Date ? value.getTime() : value)) as [bigint, bigint];
  return x < y ? -1 : Number(x > y);
}

function meets(keys: Write['keys'], condition: TypedCondition): boolean {
  const value = keys[condition.key];
  const values = Array.isArray(value) ? value : [value ?? null];
  const some = values.length > 0 ? values : [null];
  if ('equals' in condition) return some.some((each) => compareKeys(each, condition.equals) === 0);
  if ('in' in condition) return some.some((each) => condition.in.some((wanted) => compareKeys(each, wanted) === 0));
  const { atLeast = null, atMost } = condition;
  return some.some(
    (each) =>
      each !== null && compareKeys(each, atLeast) >= 0 && (atMost === undefined || compareKeys(each, atMost) <= 0),
  );
}
