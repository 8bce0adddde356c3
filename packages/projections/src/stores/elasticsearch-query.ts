/** Conditions, pages and searches in Elasticsearch's query language. */
import type { estypes } from '@elastic/elasticsearch';
import { alternativesAfter, totalOrder } from './keys.ts';
import type { Find, Order, TypedCondition, TypedKey } from './store.ts';

type Query = estypes.QueryDslQueryContainer;

function field(key: string | undefined): string {
  return key === undefined ? 'id' : `keys.${key}`;
}

/** int8 as text, so that nothing rounds it. */
function json(value: TypedKey): string | boolean {
  if (typeof value === 'bigint') return value.toString();
  return value instanceof Date ? value.toISOString() : (value as string | boolean);
}

function missing(name: string): Query {
  return { bool: { must_not: { exists: { field: name } } } };
}

function equals(name: string, value: TypedKey): Query {
  return value === null ? missing(name) : { term: { [name]: { value: json(value) } } };
}

export function conditionsQuery(where: TypedCondition[]): Query[] {
  return where.map((condition) => {
    const name = field(condition.key);
    if ('equals' in condition) return equals(name, condition.equals);
    if ('in' in condition) {
      const some: Query = { terms: { [name]: condition.in.filter((value) => value !== null).map(json) } };
      return condition.in.includes(null) ? { bool: { should: [some, missing(name)] } } : some;
    }
    const { atLeast, atMost } = condition;
    if (atLeast === undefined && atMost === undefined) return { exists: { field: name } };
    return {
      range: {
        [name]: {
          ...(atLeast !== undefined && { gte: json(atLeast) }),
          ...(atMost !== undefined && { lte: json(atMost) }),
        } as estypes.QueryDslUntypedRangeQuery,
      },
    };
  });
}

/**
 * The condition "after this document". `search_after` is not used: it needs the smallest long for a missing number,
 * which neither JSON numbers nor dates can hold.
 */
export function findAfter({ orderBy, after }: Pick<Find, 'orderBy'> & { after: NonNullable<Find['after']> }): Query {
  const should = alternativesAfter({ orderBy, after }).flatMap(({ equal, further }) => {
    const beyond = furtherThan(field(further.key), further.value, further.descending);
    if (!beyond) return [];
    return [{ bool: { filter: [...equal.map(({ key, value }) => equals(field(key), value)), beyond] } }];
  });
  return { bool: { should, minimum_should_match: 1 } };
}

/** Nulls are before every value, and nothing is before them. */
function furtherThan(name: string, value: TypedKey, descending: boolean): Query | undefined {
  if (!descending) return value === null ? { exists: { field: name } } : range(name, { gt: json(value) });
  return value === null ? undefined : { bool: { should: [range(name, { lt: json(value) }), missing(name)] } };
}

function range(name: string, bounds: object): Query {
  return { range: { [name]: bounds as estypes.QueryDslUntypedRangeQuery } };
}

export function sortOf(orderBy: Order[]): estypes.SortCombinations[] {
  return totalOrder(orderBy).map(({ key, descending }) => ({
    [field(key)]: descending ? { order: 'desc', missing: '_last' } : { order: 'asc', missing: '_first' },
  }));
}
