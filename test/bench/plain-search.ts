/** Searches as the stores bring them, for the benchmark `search`: their own analysis of the same texts. */
import { openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import type { Analysis } from '@caudal/projections/search/analysis.ts';
import { openElasticsearchStore } from '@caudal/projections/stores/elasticsearch-store.ts';
import { openPostgresStore } from '@caudal/projections/stores/postgres-store.ts';
import type { ViewStore } from '@caudal/projections/stores/store.ts';
import { freshDatabase, serverUrl } from '@caudal/testing/servers.ts';
import { Client } from '@elastic/elasticsearch';

export interface Text {
  id: string;
  title: string;
  description: string;
}

export interface SearchContest {
  store: ViewStore;
  /** The same texts, cut by the store's own rules. */
  plain: {
    create(): Promise<void>;
    insert(texts: Text[]): Promise<unknown>;
    refresh(): Promise<unknown>;
    /** The first 20 and the number of documents that have all of these words (the last one may be unfinished). */
    search(words: string[]): Promise<unknown>;
  };
  close(): Promise<void>;
}

async function postgres(analysis: Analysis): Promise<SearchContest> {
  const fresh = await freshDatabase();
  await migrate({ url: fresh.url, schema: 'views', sets: [] });
  const database = openDatabase({ url: fresh.url, schema: 'views', poolSize: 8 });
  return {
    store: openPostgresStore({ database, analysis }),
    plain: {
      async create() {
        await database.query({
          text: `CREATE TABLE plain (id text PRIMARY KEY, title text, description text, view jsonb, words tsvector
            GENERATED ALWAYS AS (to_tsvector('simple', title || ' ' || description)) STORED)`,
        });
        await database.query({ text: 'CREATE INDEX ON plain USING gin (words)' });
      },
      insert: (texts) =>
        database.query({
          name: 'plain insert',
          text: `INSERT INTO plain (id, title, description, view)
            SELECT id, title, description, to_jsonb(t) FROM jsonb_to_recordset($1::jsonb) AS t (id text, title text, description text)`,
          values: [JSON.stringify(texts)],
        }),
      refresh: () => database.query({ text: 'VACUUM ANALYZE' }),
      search(words) {
        const values = [words.map((word) => `'${word}':*`).join(' & ')];
        return Promise.all([
          database.query({
            text: `SELECT id, view, ts_rank(words, $1::tsquery) AS score FROM plain WHERE words @@ $1::tsquery
              ORDER BY score DESC, id LIMIT 20`,
            values,
          }),
          database.query({ text: 'SELECT count(*) FROM plain WHERE words @@ $1::tsquery', values }),
        ]);
      },
    },
    async close() {
      await database.close();
      await fresh.drop();
    },
  };
}

async function elasticsearch(analysis: Analysis): Promise<SearchContest> {
  const [url, prefix] = [serverUrl('elasticsearch'), `bench_${process.pid}_${Date.now()}`];
  const store = openElasticsearchStore({ url, prefix, analysis });
  const client = new Client({ node: url });
  const index = `${prefix}-plain`;
  return {
    store,
    plain: {
      async create() {
        const text = { type: 'text', analyzer: 'standard' } as const;
        await client.indices.create({
          index,
          mappings: { properties: { id: { type: 'keyword' }, title: text, description: text } },
        });
      },
      insert: (texts) =>
        client.bulk({ operations: texts.flatMap((text) => [{ create: { _index: index, _id: text.id } }, text]) }),
      refresh: () => client.indices.refresh({ index: `${prefix}-*` }),
      search: (words) =>
        client.search({
          index,
          query: {
            multi_match: {
              query: words.join(' '),
              type: 'bool_prefix',
              operator: 'and',
              fields: ['title^4', 'description'],
            },
          },
          sort: [{ _score: { order: 'desc' } }, { id: { order: 'asc' } }],
          size: 20,
          track_total_hits: true,
        }),
    },
    async close() {
      await store.close();
      await client.indices.delete({ index: Object.keys(await client.indices.get({ index: `${prefix}-*` })) });
      await client.close();
    },
  };
}

/** By the name of the store. */
export const searchContests = { postgres, elasticsearch };
