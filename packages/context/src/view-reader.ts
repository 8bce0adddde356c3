/** Views as a query sees them: after what the caller has written, and from the cache where that will do. */
import type { Page, Query, SearchPage, SearchQuery, StoredView } from '@caudal/projections/types.ts';
import type { Call } from '@caudal/rpc/types.ts';

export interface ViewReader<V> {
  /** One view. Waits for what the call's consistency token names. */
  get(id: string, call: Call): Promise<StoredView<V> | undefined>;
  find(query: Query, call: Call): Promise<Page<V>>;
}

export interface SearchReader<V> extends ViewReader<V> {
  search(query: SearchQuery, call: Call): Promise<SearchPage<V>>;
}
