/**
 * Views in MongoDB: a collection for each generation, with documents `{ _id, rev, streams, deleted?, keys, view }`.
 * E11000 means a lost race. See README, How views are written.
 */
import {
  type AnyBulkWriteOperation,
  type Document,
  type Filter,
  MongoClient,
  MongoServerError,
  type Collection as NativeCollection,
  type W,
} from 'mongodb';
import { groupOfNone } from './aggregation.ts';
import { alternativesAfter, boundedConditions, totalOrder } from './keys.ts';
import { packStreams, unpackStreams } from './marks.ts';
import { aggregateRow, aggregateStages } from './mongodb-aggregate.ts';
import { callersError, isDocumentError, judgeError, resultOf } from './mongodb-results.ts';
import {
  type Collection,
  countMs,
  type Find,
  type Layout,
  type SaveResult,
  type StoredDocument,
  saveSingly,
  type TypedCondition,
  type TypedKey,
  tooCostly,
  type ViewStore,
  type Write,
} from './store.ts';

interface MongoView {
  _id: string;
  rev: number;
  streams: Record<string, number>;
  deleted?: true;
  keys?: Record<string, TypedKey | TypedKey[]>;
  view?: unknown;
}

const namespaceExists = 48;
const namespaceNotFound = 26;
/** MaxTimeMSExpired, ExceededMemoryLimit, QueryExceededMemoryLimitNoDiskUseAllowed, $group over its memory. */
const tooMuch = new Set([50, 146, 292, 16945]);

async function guarded<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw callersError(error);
  }
}

/** Maps "out of time" (50) and "a stage needs too much memory" to QUERY_TOO_COSTLY. */
async function costed<T>(call: Promise<T>): Promise<T> {
  return guarded(call).catch((error: Error) => {
    const { cause } = error;
    const gaveUp = cause instanceof MongoServerError && tooMuch.has(cause.code as number);
    throw gaveUp ? tooCostly('MongoDB', cause) : error;
  });
}

export interface MongodbStoreOptions {
  /** `mongodb://host:port/?replicaSet=...` */
  url: string;
  /** A context's own. */
  database: string;
  /** Connections at most; 20 if absent. */
  poolSize?: number;
  /** Which members have a write before it counts as done. A majority, in their journals, if absent. */
  writeConcern?: { w: number | string; journal: boolean };
}

/** Less than the driver waits for an answer, so that the server says that a write reached too few members. */
const writeConcernMs = 8_000;
const safest = { w: 'majority', journal: true } as const;

/** Opens a store; connects at first use and again by itself. */
export function openMongodbStore(options: MongodbStoreOptions): ViewStore {
  const { url, database, poolSize = 20, writeConcern = safest } = options;
  const client = new MongoClient(url, {
    appName: 'caudal',
    maxPoolSize: poolSize,
    connectTimeoutMS: 2_000,
    serverSelectionTimeoutMS: 2_000,
    waitQueueTimeoutMS: 2_000,
    socketTimeoutMS: 10_000,
    ignoreUndefined: true,
    // A view that a projector continues from must not be rolled back, and queries must see its writes.
    readPreference: 'primary',
    readConcern: { level: 'majority' },
    // `W` lacks the names that a replica set can give to write concerns.
    writeConcern: { w: writeConcern.w as W, journal: writeConcern.journal, wtimeoutMS: writeConcernMs },
  });
  const db = client.db(database);
  let connects = true;
  /**
   * The driver connects by itself at the first call. But if that attempt fails, its client keeps a closed topology, and
   * every later call fails with "Topology is closed" (mongodb 7.9). connect() tries again.
   */
  const connect = async () => {
    await guarded(client.connect());
    connects = false;
  };
  return {
    name: 'MongoDB',
    searches: false,
    viewsPerCall: Number.POSITIVE_INFINITY,
    collection(name, layout) {
      const calls = Object.entries(collection(db.collection<MongoView>(name), layout)) as [string, Call][];
      const connecting = calls.map(([method, call]): [string, Call] => [
        method,
        (...args) => (connects ? connect().then(() => call(...args)) : call(...args)),
      ]);
      return Object.fromEntries(connecting) as unknown as Collection;
    },
    close() {
      connects = false;
      return client.close();
    },
  };
}

type Call = (...args: unknown[]) => Promise<unknown>;

function collection(native: NativeCollection<MongoView>, layout: Layout): Collection {
  async function save(writes: Write[]): Promise<SaveResult> {
    const operations = writes.map<AnyBulkWriteOperation<MongoView>>((write) => {
      const { id, revision, keys, view } = write;
      const streams = packStreams(write);
      const document: Omit<MongoView, '_id'> =
        view === undefined
          ? { rev: revision, streams, deleted: true }
          : { rev: revision, streams, keys: nullForEmpty(keys), view };
      if (revision === 1) return { insertOne: { document: { _id: id, ...document } } };
      return { replaceOne: { filter: { _id: id, rev: revision - 1 }, replacement: document, upsert: true } };
    });
    try {
      return resultOf(await native.bulkWrite(operations, { ordered: false }));
    } catch (error) {
      return judgeError(error, writes);
    }
  }

  return {
    async create() {
      await native.db.createCollection(native.collectionName).catch((error: unknown) => {
        if (!(error instanceof MongoServerError && error.code === namespaceExists)) throw callersError(error);
      });
      const indexes = layout.indexes.map((names) => ({
        key: Object.fromEntries([...names.map((name) => [`keys.${name}`, 1] as const), ['_id', 1] as const]),
      }));
      if (indexes.length > 0) await guarded(native.createIndexes(indexes));
    },
    async drop() {
      await native.drop().catch((error: unknown) => {
        if (!(error instanceof MongoServerError && error.code === namespaceNotFound)) throw callersError(error);
      });
    },
    load: (ids) => read(native.find({ _id: { $in: ids } }, { projection: { keys: 0 } }).toArray()),
    loadNearest: (ids) =>
      read(
        native
          .find(
            { _id: { $in: ids } },
            { projection: { keys: 0 }, readPreference: 'nearest', readConcern: { level: 'local' } },
          )
          .toArray(),
      ),
    async save(writes) {
      if (writes.length === 0) return { lost: [], refused: [] };
      try {
        return await save(writes);
      } catch (error) {
        if (!isDocumentError(error)) throw error;
        return saveSingly(writes, (write) => save([write]), isDocumentError);
      }
    },
    find: (find) =>
      costedRead(
        native
          .find(filterOf(find, layout), { projection: { keys: 0 }, maxTimeMS: countMs })
          .sort(new Map(totalOrder(find.orderBy).map(({ key, descending }) => [field(key), descending ? -1 : 1])))
          .limit(find.limit)
          .toArray(),
      ),
    count: (where) => costed(native.countDocuments(filterOf({ where, orderBy: [] }, layout), { maxTimeMS: countMs })),
    async aggregate(aggregation) {
      const stages = [
        { $match: filterOf({ where: aggregation.where, orderBy: [] }, layout) },
        ...aggregateStages(aggregation),
      ];
      const options = { maxTimeMS: aggregation.maxMs, allowDiskUse: true, useBigInt64: true };
      const rows = await costed(native.aggregate<Document>(stages, options).toArray());
      if (rows.length === 0 && aggregation.groupBy.length === 0) return [groupOfNone(aggregation)];
      return rows.map((row) => aggregateRow(row, aggregation, layout));
    },
    scan: ({ afterId, limit }) =>
      read(
        native
          .find(afterId === undefined ? {} : { _id: { $gt: afterId } }, { projection: { keys: 0 } })
          .sort({ _id: 1 })
          .limit(limit)
          .toArray(),
      ),
    async refresh() {},
  };
}

/** An empty list is stored as null, so that "equals null" finds it. */
function nullForEmpty(keys: Write['keys']): Write['keys'] {
  return Object.fromEntries(
    Object.entries(keys).map(([key, value]) => [key, Array.isArray(value) && value.length === 0 ? null : value]),
  );
}

const read = async (found: Promise<Document[]>) => (await guarded(found)).map(stored);
const costedRead = async (found: Promise<Document[]>) => (await costed(found)).map(stored);

function stored({ _id, rev, streams, deleted, view }: Document): StoredDocument {
  return { id: _id, revision: rev, ...unpackStreams(streams), view: deleted ? undefined : view };
}

function field(key: string | undefined): string {
  return key === undefined ? '_id' : `keys.${key}`;
}

function conditionOf(condition: TypedCondition, layout: Layout): Document {
  const name = field(condition.key);
  if ('equals' in condition) return { [name]: condition.equals };
  if ('in' in condition) return { [name]: { $in: condition.in } };
  const range: Document = {};
  if (condition.atLeast !== undefined) range.$gte = condition.atLeast;
  if (condition.atMost !== undefined) range.$lte = condition.atMost;
  // A range without bounds still excludes null, as in the other stores.
  if (Object.keys(range).length === 0) return { [name]: { $ne: null } };
  // In a list one value must be within both bounds; MongoDB would take one value for each.
  return { [name]: layout.keys[condition.key]!.many ? { $elemMatch: range } : range };
}

/** Nulls are before every value, and nothing is before them. */
function furtherThan(key: string | undefined, value: TypedKey, descending: boolean): Document | undefined {
  const name = field(key);
  if (!descending) return { [name]: value === null ? { $ne: null } : { $gt: value } };
  return value === null ? undefined : { $or: [{ [name]: { $lt: value } }, { [name]: null }] };
}

function filterOf(find: Omit<Find, 'limit'>, layout: Layout): Filter<MongoView> {
  const { orderBy, after } = find;
  const where = boundedConditions(find).map((condition) => conditionOf(condition, layout));
  const all: Document[] = [{ deleted: null }, ...where];
  if (after) {
    const alternatives = alternativesAfter({ orderBy, after }).flatMap(({ equal, further }) => {
      const beyond = furtherThan(further.key, further.value, further.descending);
      return beyond ? [{ $and: [...equal.map(({ key, value }) => ({ [field(key)]: value })), beyond] }] : [];
    });
    all.push({ $or: alternatives });
  }
  return { $and: all } as Filter<MongoView>;
}
