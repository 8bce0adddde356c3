/** Reads of views in queries. They include what the caller has written, and use the cache where it is new enough. */
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
  /** One view. Waits until it includes what the call's consistency token names. */
  get(id: string, call: Call): Promise<StoredView<V> | undefined>;
  find(query: Query, call: Call): Promise<Page<V>>;
  /** The number of views that meet the conditions, including what the call's consistency token names. */
  count(where: Condition[], call: Call): Promise<number>;
  /** Groups of views with computed values, including what the call's consistency token names. */
  aggregate<const G extends GroupKey, const C extends Computations>(
    query: AggregateQuery<G, C>,
    call: Call,
  ): Promise<Aggregated<G, C>>;
}

export interface SearchReader<V> extends ViewReader<V> {
  search(query: SearchQuery, call: Call): Promise<SearchPage<V>>;
}
