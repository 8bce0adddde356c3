/** The stores of views, each with a bare client of the same server that writes the same documents. */
import { openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { openElasticsearchStore } from '@caudal/projections/stores/elasticsearch-store.ts';
import { openMongodbStore } from '@caudal/projections/stores/mongodb-store.ts';
import { openPostgresStore } from '@caudal/projections/stores/postgres-store.ts';
import type { ViewStore } from '@caudal/projections/stores/store.ts';
import { freshDatabase, serverUrl } from '@caudal/testing/servers.ts';
import { Client } from '@elastic/elasticsearch';
import { type Document, MongoClient } from 'mongodb';

/** A store, and the same server through its own client. */
export interface Contest {
  store: ViewStore;
  /** Stored documents of a collection, at most `limit` (10,000 at most). */
  read(collection: string, limit: number): Promise<Document[]>;
  /** Writes these documents into another collection in one bulk call, as new documents or replacing existing ones. */
  insert(collection: string, documents: Document[]): Promise<void>;
  replace(collection: string, documents: Document[]): Promise<void>;
  close(): Promise<void>;
}

const unique = () => `bench_${process.pid}_${Date.now()}`;

async function mongodb(): Promise<Contest> {
  const [url, database] = [serverUrl('mongodb'), unique()];
  const store = openMongodbStore({ url, database });
  const client = new MongoClient(url, { writeConcern: { w: 'majority' } });
  const of = (name: string) => client.db(database).collection<{ _id: string }>(name);
  return {
    store,
    read: (name, limit) => of(name).find().limit(limit).toArray(),
    async insert(name, documents) {
      const operations = documents.map((document) => ({ insertOne: { document: document as { _id: string } } }));
      await of(name).bulkWrite(operations, { ordered: false });
    },
    async replace(name, documents) {
      const operations = documents.map(({ _id, ...replacement }) => ({ replaceOne: { filter: { _id }, replacement } }));
      await of(name).bulkWrite(operations, { ordered: false });
    },
    async close() {
      await store.close();
      await client.db(database).dropDatabase();
      await client.close();
    },
  };
}

async function elasticsearch(): Promise<Contest> {
  const [url, prefix] = [serverUrl('elasticsearch'), unique()];
  const store = openElasticsearchStore({ url, prefix });
  const client = new Client({ node: url });
  const of = (name: string) => `${prefix}-${name}`;
  const bulk = async (name: string, documents: Document[]) => {
    const operations = documents.flatMap(({ _id, ...source }) => [{ index: { _index: of(name), _id } }, source]);
    const { errors } = await client.bulk({ operations, require_alias: true });
    if (errors) throw new Error('Elasticsearch has refused a document.');
  };
  return {
    store,
    async read(name, limit) {
      await client.indices.refresh({ index: of(name) });
      const { hits } = await client.search<object>({ index: of(name), size: limit });
      return hits.hits.map(({ _id, _source }) => ({ _id, ..._source }));
    },
    insert: bulk,
    replace: bulk,
    async close() {
      await store.close();
      const indices = Object.keys(await client.indices.get({ index: `${prefix}-*`, features: ['settings'] }));
      if (indices.length > 0) await client.indices.delete({ index: indices });
      await client.close();
    },
  };
}

async function postgres(): Promise<Contest> {
  const fresh = await freshDatabase();
  await migrate({ url: fresh.url, schema: 'views', sets: [] });
  const database = openDatabase({ url: fresh.url, schema: 'views', poolSize: 4 });
  const rows = (name: string) => `jsonb_populate_recordset(NULL::"${name}", $1::jsonb)`;
  return {
    store: openPostgresStore({ database }),
    async read(name, limit) {
      const text = `SELECT to_jsonb(t) AS row FROM "${name}" t LIMIT $1`;
      return (await database.query<{ row: Document }>({ text, values: [limit] })).map(({ row }) => row);
    },
    async insert(name, documents) {
      const text = `INSERT INTO "${name}" SELECT * FROM ${rows(name)}`;
      await database.query({ name: `insert ${name}`, text, values: [JSON.stringify(documents)] });
    },
    async replace(name, documents) {
      const columns = Object.keys(documents[0]!).filter((column) => column !== 'id');
      const set = columns.map((column) => `"${column}" = r."${column}"`).join(', ');
      const text = `UPDATE "${name}" t SET ${set} FROM ${rows(name)} r WHERE t.id = r.id`;
      await database.query({ name: `replace ${name}`, text, values: [JSON.stringify(documents)] });
    },
    async close() {
      await database.close();
      await fresh.drop();
    },
  };
}

/** By the name of the store. */
export const contests = { mongodb, elasticsearch, postgres };
