/**
 * The interface of a store of views. MongoDB, PostgreSQL and Elasticsearch keep the same documents, in one collection
 * for each generation of a projection, and pass the same contract tests.
 *
 * Errors of every call: UNAVAILABLE if the store can't be reached or can't serve at the moment; MissingCollection if
 * the collection does not exist (in MongoDB such a collection is empty instead). If a store refuses a document because
 * of its content, the call succeeds and `save` returns the document's id in `refused`.
 */
import { CaudalError } from '@caudal/kernel/errors.ts';
import type { Facet, KeyType } from '../types.ts';

/** A key's value as the stores get it, after `keys.ts` has checked its type. */
export type TypedKey = string | bigint | boolean | Date | null;

export interface KeyLayout {
  type: KeyType;
  /** A list of values. */
  many: boolean;
  /** Its values can be added up. */
  summable?: boolean;
  /** A text whose typing errors are forgiven. */
  short?: boolean;
}

/** The keys and indexes of a collection. */
export interface Layout {
  keys: Record<string, KeyLayout>;
  indexes: string[][];
}

/** A view as a store keeps it. */
export interface StoredDocument {
  id: string;
  /** Counts the writes: 1, 2, 3 ... */
  revision: number;
  /** By stream: the version seen of it. In a multi-stream projection, by domain: the position seen of its log. */
  streams: Record<string, number>;
  /** How far the logs were that it was made of (marks.ts); absent if it was last written by version 0.2. */
  marks?: Record<string, number> | undefined;
  /** The view as JSON. Undefined: a tombstone, or a view that has not begun; only its `streams` count. */
  view: unknown;
  /** The store's own mark of the document's state; passed to the next `save` unchanged. */
  guard?: unknown;
}

/** A view to be written: it replaces the one that was read, or is new. */
export interface Write extends StoredDocument {
  /** One more than the revision that was read; 1 if there was none. */
  revision: number;
  keys: Record<string, TypedKey | TypedKey[]>;
  /** The text keys are those of the view that it replaces: what they are searched by need not be written again. */
  sameTexts?: boolean;
}

export interface SaveResult {
  /** Ids that another writer has written since they were read: they were not written. */
  lost: string[];
  /** Documents that the store will never accept, because of their content. */
  refused: { id: string; error: unknown }[];
}

export type TypedCondition =
  | { key: string; equals: TypedKey }
  | { key: string; in: TypedKey[] }
  | { key: string; atLeast?: TypedKey; atMost?: TypedKey };

export interface Order {
  key: string;
  descending: boolean;
}

export interface Find {
  where: TypedCondition[];
  /**
   * Nulls come before every value; the id breaks ties, in the direction of the last key (so that one index serves both
   * directions). Strings are ordered by their UTF-8 bytes.
   */
  orderBy: Order[];
  /** The last document of the page before: its values of `orderBy`'s keys, and its id. */
  after?: { keys: TypedKey[]; id: string };
  limit: number;
}

export interface FullTextFind {
  /** Empty: every view. A text without a word finds none. */
  text: string;
  /** Whether typing errors are forgiven. */
  forgiving: boolean;
  /** Keys of type text, with their weight. */
  fields: Record<string, number>;
  where: TypedCondition[];
  facets: string[];
  /** As in `Find`; empty: the best first, the id breaks ties. */
  orderBy: Order[];
  /** The last document of the page before: its score, its values of `orderBy`'s keys, and its id. */
  after?: { score: number; keys: TypedKey[]; id: string };
  /** 0: only the total and the facets. */
  limit: number;
  /** How long the store may work on it, in milliseconds. */
  maxMs: number;
}

export interface FullTextFound {
  /** With `orderBy`, scores are 0. */
  hits: { document: StoredDocument; score: number }[];
  /** On all pages. */
  total: number;
  facets: Record<string, Facet>;
}

/** A grouping: by a key's values, or by their days or months (UTC). */
export interface TypedGroup {
  key: string;
  unit?: 'day' | 'month';
}

export type TypedComputation = { kind: 'count' } | { kind: 'sum' | 'min' | 'max'; key: string };

/** A place in a row: an index into `groupBy` or into `compute`. */
export type RowPlace = { group: number } | { computed: number };

export interface Aggregation {
  where: TypedCondition[];
  /** None: one group, even if there is no document. */
  groupBy: TypedGroup[];
  compute: TypedComputation[];
  /** Has every group, so that the order is total. Nulls are before every value, strings are ordered by UTF-8 bytes. */
  orderBy: { by: RowPlace; descending: boolean }[];
  limit: number;
  /** How long the store may work on it, in milliseconds. */
  maxMs: number;
}

/** A group, in the order of `groupBy` and `compute`. Counts and sums are bigints, and exact. */
export interface AggregationRow {
  group: TypedKey[];
  computed: TypedKey[];
}

/** How long a store may find, count or search, in ms: less than the drivers' time-out, which would look like an outage. */
export const countMs = 8_000;

/** Finding, counting or aggregating takes too long, or too much memory. It is no outage, and a retry would fail too. */
export function tooCostly(store: string, cause?: unknown): CaudalError {
  const message = `${store} can't compute this in time: narrow the conditions, or group by fewer keys.`;
  return new CaudalError('RESOURCE_EXHAUSTED', 'QUERY_TOO_COSTLY', message, { cause, metadata: { dependency: store } });
}

/** One collection of documents. */
export interface Collection {
  /** Creates it, with its indexes; does nothing if it is there. */
  create(): Promise<void>;
  /** Deletes it; does nothing if it is not there. */
  drop(): Promise<void>;
  /** The documents of these ids that exist, tombstones included, as the last write left them; in any order. */
  load(ids: string[]): Promise<StoredDocument[]>;
  /**
   * The same from the nearest copy, if there are several: it may be behind by its lag, or lack the collection. Falls back to the
   * primary one.
   */
  loadNearest?(ids: string[]): Promise<StoredDocument[]>;
  /** Writes all of them in one call; each lands only if its id was not written since it was read. Ids must differ. */
  save(writes: Write[]): Promise<SaveResult>;
  /**
   * Views (no tombstones), in order. Elasticsearch sees a write up to a second later, or after `refresh`. QUERY_TOO_COSTLY
   * if it takes too long.
   */
  find(find: Find): Promise<StoredDocument[]>;
  /** The exact number of views (no tombstones) that `find` sees. QUERY_TOO_COSTLY if it takes too long. */
  count(where: TypedCondition[]): Promise<number>;
  /** Groups of the views (no tombstones) that `find` sees. QUERY_TOO_COSTLY if it takes too long. */
  aggregate(aggregation: Aggregation): Promise<AggregationRow[]>;
  /** All documents, tombstones included, by id. */
  scan(options: { afterId?: string; limit: number }): Promise<StoredDocument[]>;
  /** Makes all earlier writes visible to `find`, if the store delays that. */
  refresh(): Promise<void>;
  /** The streams of these documents as `find` sees them, if `find` may see an older state than `load` does. */
  found?(ids: string[]): Promise<Pick<StoredDocument, 'id' | 'streams'>[]>;
  /** Full-text search, if the store has it. QUERY_TOO_COSTLY if it takes too long. */
  search?(find: FullTextFind): Promise<FullTextFound>;
}

/** A server that keeps views. */
export interface ViewStore {
  /** For messages: `MongoDB`. */
  readonly name: string;
  /** Whether its collections can `search`. */
  readonly searches: boolean;
  /** Of stores that search: which tokens they make of texts. A generation is built with one analysis. */
  readonly analysis?: string;
  /** The best number of views in one write; Infinity if a call costs more than the views in it. */
  readonly viewsPerCall: number;
  /**
   * Resolves once a majority of its copies has what was read before, so that no fail-over takes it back. Absent: it reads nothing else.
   * UNAVAILABLE if that takes longer than 2 s.
   */
  confirm?(): Promise<void>;
  /** A collection; makes no call. */
  collection(name: string, layout: Layout): Collection;
  /** Closes the connections. */
  close(): Promise<void>;
}

/**
 * The collection does not exist: not built yet, or dropped. Transient, since readers and writers then read the
 * generations' record again.
 */
export class MissingCollection extends CaudalError {
  constructor(collection: string, cause?: unknown) {
    super('UNAVAILABLE', 'VIEW_NOT_BUILT', `The view ${collection} is not built yet.`, {
      cause,
      retryAfterMs: 1000,
      metadata: { collection },
    });
    this.name = 'MissingCollection';
  }
}

/** Saves one by one the documents that could not be saved together, so that only those at fault are refused. */
export async function saveSingly(
  writes: Write[],
  save: (write: Write) => Promise<SaveResult>,
  isDocumentError: (error: unknown) => boolean,
): Promise<SaveResult> {
  const result: SaveResult = { lost: [], refused: [] };
  for (const write of writes) {
    try {
      const { lost, refused } = await save(write);
      result.lost.push(...lost);
      result.refused.push(...refused);
    } catch (error) {
      if (!isDocumentError(error)) throw error;
      result.refused.push({ id: write.id, error });
    }
  }
  return result;
}
