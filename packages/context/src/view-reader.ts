/** Views as a query sees them: after what the caller has written, and from the cache where that will do. */
import type {
  Aggregated,
  AggregateQuery,
  Computations,
  Condition,
  GroupKey,
  Page,
  Query,
  SearchPage,
  SearchQuery,
  StoredView,
} from '@caudal/projections/types.ts';
import type { Call } from '@caudal/rpc/types.ts';

export interface ViewReader<V> {
  /** One view. Waits for what the call's consistency token names. */
  get(id: string, call: Call): Promise<StoredView<V> | undefined>;
  find(query: Query, call: Call): Promise<Page<V>>;
  /** How many views meet the conditions; what the call's consistency token names is counted. */
  count(where: Condition[], call: Call): Promise<number>;
  /** Groups of views and what is computed of them; what the call's consistency token names is in them. */
  aggregate<const G extends GroupKey, const C extends Computations>(
    query: AggregateQuery<G, C>,
    call: Call,
  ): Promise<Aggregated<G, C>>;
}

export interface SearchReader<V> extends ViewReader<V> {
  search(query: SearchQuery, call: Call): Promise<SearchPage<V>>;
}
