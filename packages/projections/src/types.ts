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

/** One entity that a projection follows: `on(order, { view: ..., evolve: ... })` keeps the types together. */
export interface Follow<V, E extends EventCase = EventCase> {
  entity: Entity<E>;
  /** The view that the event belongs to: the same for all events of a stream. Undefined: the event has no view here. */
  view(event: ProjectedEvent<E>): string | undefined;
  /**
   * The view after the event; undefined deletes it. Must give the same view for every interleaving of the streams that
   * it follows, so it may meet a view that another stream's events have begun (or none).
   */
  evolve(view: V | undefined, event: ProjectedEvent<E>): V | undefined;
}

/** A key that views can be found by, and how to read it off a view. Undefined is kept as null. */
export type KeyOf<V> =
  | { type: KeyType; many?: false; of(view: V): Key | undefined }
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
   * 'one-per-event': each event makes a document of its own under its event id (a history); `evolve` gets undefined.
   * Default: 'folded'.
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
