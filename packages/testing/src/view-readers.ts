/** Views that a query reads, without a store: for tests of query handlers. */
import type { Query, SearchQuery, StoredView } from '@caudal/projections/types.ts';

/** Answers with these views, whatever is asked, and notes what was. Fits ViewReader and SearchReader. */
export function fixedViews<V>(views: Record<string, V>, nextPageToken = '') {
  const stored = (id: string): StoredView<V> => ({ id, view: views[id]!, streams: {}, revision: 1 });
  const page = { views: Object.keys(views).map(stored), nextPageToken };
  const asked: (Query | SearchQuery)[] = [];
  return {
    asked,
    get: async (id: string) => (id in views ? stored(id) : undefined),
    async find(query: Query) {
      asked.push(query);
      return page;
    },
    async search(query: SearchQuery) {
      asked.push(query);
      return { ...page, total: page.views.length, facets: {} };
    },
  };
}
