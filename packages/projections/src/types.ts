/** A read model is a pure function over events, and a store that keeps its views. */
import type { Entity, EventCase } from '@caudal/contract/entity.ts';

/** A value that views can be found and ordered by. */
export type Key = string | number | bigint | boolean | Date | null;

/**
 * The type of a key in the stores. `keyword`: exact; `text`: words, for search (MongoDB and PostgreSQL keep it, only
 * Elasticsearch and PostgreSQL's full text find by it).
 */
export type KeyType = 'keyword' | 'text' | 'long' | 'boolean' | 'timestamp';

/** An event as a projection sees it. */
export interface ProjectedEvent<E extends EventCase = EventCase> {
  stream: string;
  /** The id within the entity. */
  id: string;
  version: number;
  eventId: string;
  /** When it happened. */
  at: Date;
  event: E;
}

/** What `evolve` returns to end a view: it can't be found any more, until an event begins it anew. */
export const deleted = Symbol('deleted');

/** What `evolve` returns for an event that changes nothing: a view stays as it is, or not begun; a history gets no entry. */
export const ignored = Symbol('ignored');

/** What an event makes of a view. */
export type Evolved<V> = V | typeof deleted | typeof ignored;

/**
 * For the default of a switch over all cases of an event: a new case in the contract is a type error here, and a case that
 * this version does not know is ignored.
 */
export function ignoreUnknown(_event: never): typeof ignored {
  return ignored;
}

/** One entity that a projection follows: `on(order, { view: ..., evolve: ... })` keeps the types together. */
export interface Follow<V, E extends EventCase = EventCase> {
  entity: Entity<E>;
  /** The view that the event belongs to: the same for all events of a stream. Undefined: the event has no view here. */
  view(event: ProjectedEvent<E>): string | undefined;
  /**
   * The view after the event, or a word: `deleted`, `ignored`. Anything else, undefined say, fails the event. `view` is
   * undefined if there is none. Must give the same view for every interleaving of the streams that it follows, so it may
   * meet a view that another stream's events have begun (or none).
   */
  evolve(view: V | undefined, event: ProjectedEvent<E>): Evolved<V>;
}

/** A key that views can be found by, and how to read it off a view. Undefined is kept as null. */
export type KeyOf<V> =
  | { type: Exclude<KeyType, 'long'>; many?: false; of(view: V): Key | undefined }
  /** `summable`: `aggregate` may add it up. Elasticsearch keeps more of such a key, so the projection's version changes with it. */
  | { type: 'long'; many?: false; summable?: boolean; of(view: V): Key | undefined }
  /** A list: views are found by any value in it, and can't be ordered by it. */
  | { type: Exclude<KeyType, 'text'>; many: true; of(view: V): Key[] | undefined };

/** How views are written down. ts-proto messages fit. */
export interface ViewCodec<V> {
  toJSON(view: V): unknown;
  fromJSON(json: unknown): V;
}

/** What any projection says of its views. */
export interface ViewDeclaration<V> {
  /** `order-details` */
  name: string;
  /** Changes when `evolve` or `keys` change meaning: another one is another queue and collection, built anew. */
  version: number;
  codec: ViewCodec<V>;
  /** What views can be found and ordered by, and how to read it off a view. */
  keys: Record<string, KeyOf<V>>;
  /** Which keys together make an index: `[['customer_id', 'create_time']]`. The id is always indexed. */
  indexes: string[][];
}

/** Views that each follow a handful of streams. For views that gather from any number of them: multi-stream/types.ts. */
export interface Projection<V> extends ViewDeclaration<V> {
  follows: Follow<V>[];
  /**
   * 'one-per-event': each event makes a document of its own under its event id (a history); `evolve` gets undefined
   * and returns the entry, or `ignored` for none. Default: 'folded'.
   */
  kind?: 'folded' | 'one-per-event';
}

/** Joins an entity's type to its functions. */
export function on<V, E extends EventCase>(entity: Entity<E>, functions: Omit<Follow<V, E>, 'entity'>): Follow<V> {
  return { entity, ...functions } as unknown as Follow<V>;
}

/** A view as it is kept. */
export interface StoredView<V> {
  id: string;
  view: V;
  /** The version seen of each stream that feeds it; of a view that gathers, the position seen of each log, by domain. */
  streams: Record<string, number>;
  /** Counts the writes: what a writer must have read to replace it. */
  revision: number;
}

/** A condition on a key. */
export type Condition =
  | { key: string; equals: Key }
  | { key: string; in: Key[] }
  | { key: string; atLeast?: Key; atMost?: Key };

export interface Query {
  where?: Condition[];
  /** Keys to order by; the id breaks ties. Default: by id. */
  orderBy?: { key: string; descending?: boolean }[];
  limit: number;
  /** From the page before. */
  pageToken?: string;
}

export interface Page<V> {
  views: StoredView<V>[];
  nextPageToken: string;
}

/** Reading a projection's current generation. Every call may fail with UNAVAILABLE. */
export interface Views<V> {
  get(id: string): Promise<StoredView<V> | undefined>;
  find(query: Query): Promise<Page<V>>;
  /** How many views meet all conditions. RESOURCE_EXHAUSTED QUERY_TOO_COSTLY if that takes too long. */
  count(where?: Condition[]): Promise<number>;
  /**
   * Groups the views and computes of each group. RESOURCE_EXHAUSTED QUERY_TOO_COSTLY if that takes longer than 5 s, or
   * makes more groups than the store can order.
   */
  aggregate<const G extends GroupKey, const C extends Computations>(
    query: AggregateQuery<G, C>,
  ): Promise<Aggregated<G, C>>;
}

/**
 * What makes groups: each value of a key (null is one of them), or each day or month of a timestamp. Days are those of
 * UTC: the stores' rules for other time zones differ. For those a projection declares a keyword key that holds the day.
 */
export type GroupKey = string | { key: string; unit: 'day' | 'month'; timeZone: 'UTC' };

/**
 * What is computed of a group's views. Nulls are passed over: a sum of nothing is 0n, the least or greatest of nothing null.
 * Sums take `summable` keys; the least and greatest those of type long, timestamp or keyword.
 */
export type Computation = 'count' | { sum: string } | { min: string } | { max: string };
export type Computations = Record<string, Computation>;

/** How views are grouped and what is computed of them. Plain data; `defineAggregate` checks it when the program starts. */
export interface AggregateShape<G extends GroupKey = GroupKey, C extends Computations = Computations> {
  /** At most 4. None: one group of all views, which is there even if no view is. */
  groupBy: readonly G[];
  /** By name; at least one, at most 8. */
  compute: C;
}

export interface AggregateQuery<G extends GroupKey = GroupKey, C extends Computations = Computations>
  extends AggregateShape<G, C> {
  where?: Condition[];
  /** Names of group keys and of what is computed; group keys, ascending, break ties. Nulls come before every value. */
  orderBy?: { by: GroupName<G> | (keyof C & string); descending?: boolean }[];
  /** Rows at most; 1,000 if more. */
  limit: number;
}

export type GroupName<G extends GroupKey> = G extends { key: infer K extends string } ? K : G & string;

export interface AggregateRow<G extends GroupKey = GroupKey, C extends Computations = Computations> {
  /** By key. A day or month is the moment at which it begins. */
  group: { [Name in GroupName<G>]: Key };
  values: { [Name in keyof C]: Computed<C[Name]> };
}

/** Sums are exact, and may be greater than an int64. */
export type Computed<C extends Computation> = C extends 'count' ? number : C extends { sum: string } ? bigint : Key;

export interface Aggregated<G extends GroupKey = GroupKey, C extends Computations = Computations> {
  rows: AggregateRow<G, C>[];
  /** Whether there are more groups than `limit`. */
  more: boolean;
}

/** Full-text search over a projection's views, where its store can. */
export interface Search<V> extends Views<V> {
  search(query: SearchQuery): Promise<SearchPage<V>>;
}

export interface SearchQuery {
  /** Words; typing errors are forgiven where the store can. Empty: everything. */
  text: string;
  /** Keys of type `text` to look in, with their weight. */
  fields: Record<string, number>;
  where?: Condition[];
  /** Keyword keys to count the values of, most first, at most 20 each; counted over all that was found. */
  facets?: string[];
  limit: number;
  pageToken?: string;
}

export interface SearchPage<V> extends Page<V> {
  total: number;
  facets: Record<string, { value: string; count: number }[]>;
}
