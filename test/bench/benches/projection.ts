/** What projecting costs beside writing the documents. */

import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { openElasticsearchStore } from '@caudal/projections/elasticsearch-store.ts';
import { openMongodbStore } from '@caudal/projections/mongodb-store.ts';
import { openPostgresStore } from '@caudal/projections/postgres-store.ts';
import { collectionOf, createProjector, generationName } from '@caudal/projections/projector.ts';
import type { ViewStore } from '@caudal/projections/store.ts';
import { stockDashboard } from '@caudal/service-inventory/projections/stock-dashboard.ts';
import { freshDatabase, serverUrl } from '@caudal/testing/servers.ts';
import { Client } from '@elastic/elasticsearch';
import { type Document, MongoClient } from 'mongodb';
import { figureOf, ratioOf } from '../figures.ts';
import { created, restocked, streamOf } from '../stock-events.ts';
import type { Bench, Figure } from '../types.ts';

/** As many as a consumer holds by default. */
const batchSize = 256;

/** A store, and the same server through its own client. */
interface Contest {
  store: ViewStore;
  /** All documents of a collection as the server has them. */
  read(collection: string): Promise<Document[]>;
  /** Writes such documents into another collection in one bulk call: new ones, or in place of those there. */
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
    read: (name) => of(name).find().toArray(),
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
    async read(name) {
      await client.indices.refresh({ index: of(name) });
      const { hits } = await client.search<object>({ index: of(name), size: 10_000 });
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
    read: async (name) =>
      (await database.query<{ row: Document }>({ text: `SELECT to_jsonb(t) AS row FROM "${name}" t` })).map(
        ({ row }) => row,
      ),
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

const contests = { mongodb, elasticsearch, postgres };

/** Events as they come from the log: one a product, all at this version. */
function eventsOf(products: number, version: number): RecordedEvent[] {
  return Array.from({ length: products }, (_, n) => {
    const productId = `P-${n}`;
    const event = version === 1 ? created(productId) : restocked(version - 1);
    return { ...event, stream: streamOf(productId), version, position: n + 1, recordedAt: new Date() };
  });
}

function batches<T>(items: T[]): T[][] {
  return Array.from({ length: Math.ceil(items.length / batchSize) }, (_, n) =>
    items.slice(n * batchSize, (n + 1) * batchSize),
  );
}

/** Documents a second. */
async function rateOf<T>(items: T[], write: (batch: T[]) => Promise<unknown>): Promise<number> {
  const began = performance.now();
  for (const batch of batches(items)) await write(batch);
  return items.length / ((performance.now() - began) / 1_000);
}

export const projection: Bench = {
  name: 'projection',
  title: 'Projecting into the stores',
  compares: `Batches of ${batchSize} events, each of another view: decoded, the views read, folded, and written with a guard, one batch after the other. Against bulk writes of the very documents that come of it, in batches as large, by the store's own client. New views, and views that are there already (which a bare write replaces unread).`,
  needs: ['postgres', 'mongodb', 'elasticsearch'],

  async run({ quick, say }) {
    const bench = 'projection';
    const figures: Figure[] = [];
    const rounds = quick ? 1 : 5;
    for (const [name, open] of Object.entries(contests)) {
      const products = quick || name === 'mongodb' ? 2_048 : 8_192;
      const contest = await open();
      const rates = {
        insert: [] as number[],
        update: [] as number[],
        rawInsert: [] as number[],
        rawUpdate: [] as number[],
      };
      try {
        for (let round = 0; round <= rounds; round++) {
          say(`${name}: ${round === 0 ? 'warm-up' : `round ${round} of ${rounds}`}`);
          const [generation, other] = [round * 2 + 1, round * 2 + 2];
          const options = { projection: stockDashboard, store: contest.store };
          await collectionOf({ ...options, generation }).create();
          await collectionOf({ ...options, generation: other }).create();
          const projector = createProjector({ ...options, generation });
          const raw = generationName(stockDashboard, other);
          const read = () => contest.read(generationName(stockDashboard, generation));
          const insert = await rateOf(eventsOf(products, 1), projector.handle);
          const inserted = await read();
          const rawInsert = await rateOf(inserted, (batch) => contest.insert(raw, batch));
          const update = await rateOf(eventsOf(products, 2), projector.handle);
          const updated = await read();
          const rawUpdate = await rateOf(updated, (batch) => contest.replace(raw, batch));
          if (inserted.length !== products || updated.length !== products)
            throw new Error(`${name}: views are missing`);
          if (round === 0) continue;
          rates.insert.push(insert);
          rates.update.push(update);
          rates.rawInsert.push(rawInsert);
          rates.rawUpdate.push(rawUpdate);
        }
      } finally {
        await contest.close();
      }
      const goal = { kind: 'atLeast', value: 0.6 } as const;
      figures.push(
        figureOf({ bench, metric: `${name}.new`, unit: '/s' }, rates.insert),
        figureOf({ bench, metric: `${name}.new.raw`, unit: '/s' }, rates.rawInsert),
        ratioOf({ bench, metric: `${name}.new.vs-raw`, goal }, rates.insert, rates.rawInsert),
        figureOf({ bench, metric: `${name}.known`, unit: '/s' }, rates.update),
        figureOf({ bench, metric: `${name}.known.raw`, unit: '/s' }, rates.rawUpdate),
        ratioOf({ bench, metric: `${name}.known.vs-raw` }, rates.update, rates.rawUpdate),
      );
    }
    return figures;
  },
};
