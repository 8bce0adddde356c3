/** Projections: pure functions over events that make views, and what queries may ask of these views. */
import type { Entity, EventCase } from '@caudal/contract/entity.ts';

/** A value that views can be found and ordered by. */
export type Key = string | number | bigint | boolean | Date | null;

/**
 * The type of a key in the stores. `keyword` is matched exactly. `text` is for searching by words: Elasticsearch and
 * PostgreSQL search it, MongoDB only stores it.
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

/** What `evolve` returns to end a view: queries don't find it any more, until an event begins it again. */
export const deleted = Symbol('deleted');

/**
 * What `evolve` returns for an event that changes nothing: a view stays as it is, or not begun; a history gets no
 * entry.
 */
export const ignored = Symbol('ignored');

/** What `evolve` returns: the new view, `deleted` or `ignored`. */
export type Evolved<V> = V | typeof deleted | typeof ignored;

/**
 * The default of a switch over all cases of an event. A new case in the contract is a type error here; at run time a
 * case that this version does not know is ignored.
 */
export function ignoreUnknown(_event: never): typeof ignored {
  return ignored;
}

/** One entity that a projection follows: `on(order, { view: ..., evolve: ... })` keeps the types together. */
export interface Follow<V, E extends EventCase = EventCase> {
  entity: Entity<E>;
  /**
   * The view that the event belongs to: the same for all events of a stream. Undefined: the event belongs to no view.
   * If it needs no more than the event's `id` or `stream`, queries with a consistency token read no event to find it.
   */
  view(event: ProjectedEvent<E>): string | undefined;
  /**
   * The view after the event, or `deleted`, or `ignored`. Returning undefined or null fails the event. `view` is
   * undefined if there is none. Must give the same view for every interleaving of the followed streams, so the view may
   * have been begun by another stream's events, or not at all.
   */
  evolve(view: V | undefined, event: ProjectedEvent<E>): Evolved<V>;
}

/**
 * A key that views can be found by; `of` reads it from a view. Undefined is stored as null. A keyword that orders lists has
 * at most 1,000 bytes.
 */
export type KeyOf<V> =
  | { type: Exclude<KeyType, 'long' | 'text'>; many?: false; of(view: V): Key | undefined }
  /** `short`: a title or a number, in which typing errors and left out spaces are forgiven. At most 8 text keys. */
  | { type: 'text'; many?: false; short?: boolean; of(view: V): Key | undefined }
  /**
   * `summable`: `aggregate` may add it up. Elasticsearch stores more fields for such a key: raise the version with it.
   */
  | { type: 'long'; many?: false; summable?: boolean; of(view: V): Key | undefined }
  /** A list: views are found by any value in it, and can't be ordered by it. */
  | { type: Exclude<KeyType, 'text'>; many: true; of(view: V): Key[] | undefined };

/** How views are stored as JSON. ts-proto messages are such codecs. */
export interface ViewCodec<V> {
  toJSON(view: V): unknown;
  fromJSON(json: unknown): V;
}

/** What every projection declares about its views. */
export interface ViewDeclaration<V> {
  /** `order-details` */
  name: string;
  /** Raise it when `evolve` or `keys` change meaning: a new version has its own queue and collection, built anew. */
  version: number;
  codec: ViewCodec<V>;
  /** What views can be found and ordered by. */
  keys: Record<string, KeyOf<V>>;
  /** Each list of keys is one index: `[['customer_id', 'create_time']]`. The id is always indexed. */
  indexes: string[][];
}

/** Each of its views follows a handful of streams. For views of any number of streams: multi-stream/types.ts. */
export interface Projection<V> extends ViewDeclaration<V> {
  follows: Follow<V>[];
  /**
   * 'one-per-event' is a history: each event makes a document under its event id. `evolve` gets undefined and returns
   * the entry, or `ignored` for none. Default: 'folded'.
   */
  kind?: 'folded' | 'one-per-event';
  /**
   * Into how many parts its events are divided where there is a broker, so that as many processes can share the work: 1,
   * 2, 4, 8 or 16; 1 if absent. It may be raised at any time.
   */
  parts?: number;
}

/** Joins an entity's type to its functions. */
export function on<V, E extends EventCase>(entity: Entity<E>, functions: Omit<Follow<V, E>, 'entity'>): Follow<V> {
  return { entity, ...functions } as unknown as Follow<V>;
}

/** A view as it is stored. */
export interface StoredView<V> {
  id: string;
  view: V;
  /** By stream: the version seen of it. In a multi-stream projection, by domain: the position seen of its log. */
  streams: Record<string, number>;
  /** Counts the writes. A writer replaces only the revision that it has read. */
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
  /** The order as the caller asks for it, if there are several: page tokens name it. */
  order?: string;
  limit: number;
  /** From the page before. */
  pageToken?: string;
}

export interface Page<V> {
  views: StoredView<V>[];
  nextPageToken: string;
}

/** Queries on a projection's current generation. Every call may fail with UNAVAILABLE. */
export interface Views<V> {
  /** `nearest`: from the nearest copy of the store, which may be behind. */
  get(id: string, options?: { nearest?: boolean }): Promise<StoredView<V> | undefined>;
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
 * How views are grouped: by each value of a key (null is one of them), or by day or month of a timestamp. Days are
 * those of UTC, since the stores' rules for other time zones differ. For another zone, declare a keyword key that holds
 * the day.
 */
export type GroupKey = string | { key: string; unit: 'day' | 'month'; timeZone: 'UTC' };

/**
 * What is computed for a group. Nulls are left out. A sum of no values is 0n; a min or max of no values is null. `sum`
 * takes `summable` keys, `min` and `max` keys of type long, timestamp or keyword.
 */
export type Computation = 'count' | { sum: string } | { min: string } | { max: string };
export type Computations = Record<string, Computation>;

/** How views are grouped, and what is computed for each group. `defineAggregate` checks it when the program starts. */
export interface AggregateShape<G extends GroupKey = GroupKey, C extends Computations = Computations> {
  /** At most 4. None: one group of all views, even if there is no view. */
  groupBy: readonly G[];
  /** By name; at least one, at most 8. */
  compute: C;
}

export interface AggregateQuery<G extends GroupKey = GroupKey, C extends Computations = Computations>
  extends AggregateShape<G, C> {
  where?: Condition[];
  /** Names of group keys or computed values; group keys, ascending, break ties. Nulls are before every value. */
  orderBy?: { by: GroupName<G> | (keyof C & string); descending?: boolean }[];
  /** The most rows to return, at most 1,000. */
  limit: number;
}

export type GroupName<G extends GroupKey> = G extends { key: infer K extends string } ? K : G & string;

export interface AggregateRow<G extends GroupKey = GroupKey, C extends Computations = Computations> {
  /** By key. A day or month is given as the moment at which it begins. */
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

/** Full-text search over a projection's views, if its store can search. */
export interface Search<V> extends Views<V> {
  search(query: SearchQuery): Promise<SearchPage<V>>;
}

export interface SearchQuery {
  /**
   * Words, each of which must be found: docs/search.md. Typing errors are forgiven if no view has the words as they are,
   * whatever `where` says. Empty: all views. A text without a word finds nothing.
   */
  text: string;
  /** Keys of type `text` to search, with their weight: a multiple of ¼. */
  fields: Record<string, number>;
  where?: Condition[];
  /** Keyword keys whose values are counted over all hits. */
  facets?: string[];
  /** As in `Query`. Default: the best match first; the id breaks ties. */
  orderBy?: Query['orderBy'];
  /** As in `Query`. */
  order?: string;
  limit: number;
  pageToken?: string;
}

/** The values of a key over all hits, the most frequent first. */
export interface Facet {
  /** At most 100. */
  values: { value: string; count: number }[];
  /** Whether there are more. */
  more: boolean;
}

export interface SearchPage<V> extends Page<V> {
  total: number;
  facets: Record<string, Facet>;
  /** Whether the views found are only similar to the text: no view has its words as they are. */
  forgiven: boolean;
}
