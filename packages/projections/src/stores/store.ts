/**
 * What a store of views must do. All three (MongoDB, PostgreSQL, Elasticsearch) keep the same documents, a collection
 * each generation of a projection, and pass the same contract tests.
 *
 * Errors of every call: UNAVAILABLE if the store can't be reached or can't serve at the moment; MissingCollection if
 * the collection does not exist (MongoDB can't tell: there it is empty). What a store refuses because of the document
 * itself is no error of the call: `save` names it.
 */
import { CaudalError } from '@caudal/kernel/errors.ts';
import type { KeyType } from '../types.ts';

/** A key's value as the stores get it: what `keys.ts` makes of a Key. */
export type TypedKey = string | bigint | boolean | Date | null;

export interface KeyLayout {
  type: KeyType;
  /** A list of values. */
  many: boolean;
  /** Its sums are asked for. */
  summable?: boolean;
}

/** What a collection's documents can be found by. */
export interface Layout {
  keys: Record<string, KeyLayout>;
  indexes: string[][];
}

/** A view as a store has it. */
export interface StoredDocument {
  id: string;
  /** Counts the writes: 1, 2, 3 ... */
  revision: number;
  /** The version seen of each stream that feeds it; of a view that gathers, the position seen of each log, by domain. */
  streams: Record<string, number>;
  /** The view as JSON. Undefined: a tombstone, or a view that has not begun; only its `streams` count. */
  view: unknown;
  /** What the store needs to know the document's state again; goes into the next `save` as it is. */
  guard?: unknown;
}

/** A view to be written in place of what was read, or as a new one. */
export interface Write extends StoredDocument {
  /** One more than what was read; 1 if there was none. */
  revision: number;
  keys: Record<string, TypedKey | TypedKey[]>;
}

export interface SaveResult {
  /** Ids that somebody else has written since they were read (or made, for new ones): nothing of them was written. */
  lost: string[];
  /** What the store will never take, because of what it is. */
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
  /** The document to go on after: its values of `orderBy`'s keys, and its id. */
  after?: { keys: TypedKey[]; id: string };
  limit: number;
}

export interface FullTextFind {
  text: string;
  /** Keys of type text, with their weight. */
  fields: Record<string, number>;
  where: TypedCondition[];
  facets: string[];
  after?: { score: number; id: string };
  limit: number;
}

export interface FullTextFound {
  /** Best first, the id breaks ties. */
  hits: { document: StoredDocument; score: number }[];
  total: number;
  facets: Record<string, { value: string; count: number }[]>;
}

/** What makes groups: a key's values, or the days or months (UTC) that they are in. */
export interface TypedGroup {
  key: string;
  unit?: 'day' | 'month';
}

export type TypedComputation = { kind: 'count' } | { kind: 'sum' | 'min' | 'max'; key: string };

/** A place in a row: one of `groupBy`, or one of `compute`. */
export type RowPlace = { group: number } | { computed: number };

export interface Aggregation {
  where: TypedCondition[];
  /** None: one group, which is there even if no document is. */
  groupBy: TypedGroup[];
  compute: TypedComputation[];
  /** Names every group, so that it is total. Nulls come before every value, strings are ordered by their UTF-8 bytes. */
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

/** How long a store may count, in milliseconds: shorter than what the drivers wait for any answer, which would look like an outage. */
export const countMs = 8_000;

/** Counting or aggregating takes too long, or too much memory: no outage, and no use in trying again at once. */
export function tooCostly(store: string, cause?: unknown): CaudalError {
  const message = `${store} can't work that out in time: narrow the conditions, or group by less.`;
  return new CaudalError('RESOURCE_EXHAUSTED', 'QUERY_TOO_COSTLY', message, { cause, metadata: { dependency: store } });
}

/** One collection of documents. */
export interface Collection {
  /** Makes it, with its indexes; nothing happens if it is there. */
  create(): Promise<void>;
  /** Deletes it; nothing happens if it is not there. */
  drop(): Promise<void>;
  /** The documents of these ids that exist, tombstones included, as the last write left them; in any order. */
  load(ids: string[]): Promise<StoredDocument[]>;
  /** Writes all of them in one call; each lands only if nobody wrote it since. Ids must differ. */
  save(writes: Write[]): Promise<SaveResult>;
  /** Views (no tombstones), in order. Elasticsearch sees a write up to a second later, or after `refresh`. */
  find(find: Find): Promise<StoredDocument[]>;
  /** How many views (no tombstones) there are; exact, of what `find` sees. QUERY_TOO_COSTLY if it takes too long. */
  count(where: TypedCondition[]): Promise<number>;
  /** Groups of views (no tombstones), of what `find` sees. QUERY_TOO_COSTLY if it takes too long. */
  aggregate(aggregation: Aggregation): Promise<AggregationRow[]>;
  /** All documents, tombstones included, by id. */
  scan(options: { afterId?: string; limit: number }): Promise<StoredDocument[]>;
  /** Makes what was written so far visible to `find`, where the store delays that. */
  refresh(): Promise<void>;
  /** Full-text search, where the store can. */
  search?(find: FullTextFind): Promise<FullTextFound>;
}

/** A server that keeps views. */
export interface ViewStore {
  /** As people call it: `MongoDB`. */
  readonly name: string;
  /** Whether its collections can `search`. */
  readonly searches: boolean;
  /** How many views a projector had best write in a call: Infinity where calls cost more than what they carry. */
  readonly viewsPerCall: number;
  /** A collection; makes no call. */
  collection(name: string, layout: Layout): Collection;
  /** Lets go of the connections. */
  close(): Promise<void>;
}

/**
 * The collection does not exist: not built yet, or dropped. Transient, since its reader or writer will find out from
 * the generations' record where to go instead.
 */
export class MissingCollection extends CaudalError {
  constructor(collection: string, cause?: unknown) {
    super('UNAVAILABLE', 'VIEW_NOT_BUILT', 'The view is not built yet.', {
      cause,
      retryAfterMs: 1000,
      metadata: { collection },
    });
    this.name = 'MissingCollection';
  }
}

/** Saves one by one what could not be saved together, so that only the documents at fault are refused. */
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
