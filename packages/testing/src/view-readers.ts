/** Fixed views without a store, for tests of query handlers. */
import type {
  Aggregated,
  AggregateQuery,
  Computations,
  Condition,
  GroupKey,
  Query,
  SearchQuery,
  StoredView,
} from '@caudal/projections/types.ts';

/**
 * A ViewReader and SearchReader that answers every query with these views and this aggregate, and counts all views. It
 * records the queries.
 */
export function fixedViews<V>(
  views: Record<string, V>,
  nextPageToken = '',
  aggregated: Aggregated = { rows: [], more: false },
) {
  const stored = (id: string): StoredView<V> => ({ id, view: views[id]!, streams: {}, revision: 1 });
  const page = { views: Object.keys(views).map(stored), nextPageToken };
  const asked: (Query | SearchQuery)[] = [];
  const counted: Condition[][] = [];
  const grouped: object[] = [];
  return {
    asked,
    counted,
    grouped,
    get: async (id: string) => (id in views ? stored(id) : undefined),
    async find(query: Query) {
      asked.push(query);
      return page;
    },
    async count(where: Condition[]) {
      counted.push(where);
      return page.views.length;
    },
    async aggregate<const G extends GroupKey, const C extends Computations>(query: AggregateQuery<G, C>) {
      grouped.push(query);
      return aggregated as Aggregated<G, C>;
    },
    async search(query: SearchQuery) {
      asked.push(query);
      const facets = (query.facets ?? []).map((facet) => [facet, { values: [], more: false }]);
      return { ...page, total: page.views.length, forgiven: false, facets: Object.fromEntries(facets) };
    },
  };
}
