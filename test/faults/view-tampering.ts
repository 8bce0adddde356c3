/** Changes stored views past the projector, as a mistake at a console or a store that loses writes would. */
import { serverUrl } from '@caudal/testing/servers.ts';
import { MongoClient } from 'mongodb';
import { Client } from 'pg';
import type { Json } from '../e2e/api.ts';

/** The documents of one collection, as JSON. */
export interface Documents {
  ids(): Promise<string[]>;
  /** Changes the content of a document; `keys` stay as they are. */
  change(id: string, change: (view: Json) => Json): Promise<void>;
  remove(id: string): Promise<void>;
  /** Adds another document with the same content. */
  copy(id: string, to: string): Promise<void>;
}

/** A collection in MongoDB: `order-details.v1.1` of a namespace. Returns the result of `work`. */
export async function inMongodb<T>(namespace: string, name: string, work: (documents: Documents) => Promise<T>) {
  const client = new MongoClient(serverUrl('mongodb'));
  try {
    const native = client.db(namespace).collection<Json & { _id: string }>(name);
    const read = async (id: string) => (await native.findOne({ _id: id }))!;
    return await work({
      ids: async () => (await native.find({}).toArray()).map(({ _id }) => String(_id)),
      async change(id, change) {
        await native.updateOne({ _id: id }, { $set: { view: change((await read(id)).view) } });
      },
      async remove(id) {
        await native.deleteOne({ _id: id });
      },
      async copy(id, to) {
        await native.insertOne({ ...(await read(id)), _id: to });
      },
    });
  } finally {
    await client.close();
  }
}

/** An index of Elasticsearch, by the end of its alias. */
export async function inElasticsearch<T>(namespace: string, name: string, work: (documents: Documents) => Promise<T>) {
  const ask = async (method: string, path: string, body?: Json): Promise<Json> => {
    const answer = await fetch(new URL(path, serverUrl('elasticsearch')), {
      method,
      headers: { 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  };
  const aliases = (await ask('GET', `/_cat/aliases/${namespace}-*?format=json&h=alias`)) as { alias: string }[];
  const index = aliases.find(({ alias }) => alias.endsWith(`-${name}`))?.alias;
  if (!index) throw new Error(`Elasticsearch has no ${name}.`);
  const read = async (id: string) => (await ask('GET', `/${index}/_doc/${id}`))._source;
  const write = (id: string, source: Json) => ask('PUT', `/${index}/_doc/${id}?refresh=true`, source);
  return work({
    async ids() {
      const { hits } = await ask('POST', `/${index}/_search?size=1000`, { query: { match_all: {} } });
      return hits.hits.map(({ _id }: Json) => _id);
    },
    async change(id, change) {
      const source = await read(id);
      await write(id, { ...source, view: change(source.view) });
    },
    async remove(id) {
      await ask('DELETE', `/${index}/_doc/${id}?refresh=true`);
    },
    async copy(id, to) {
      await write(to, { ...(await read(id)), id: to });
    },
  });
}

/** A table of PostgreSQL: `order-details.v1.1` of the schema `orders`. */
export async function inPostgres<T>(
  url: string,
  { schema, name }: { schema: string; name: string },
  work: (documents: Documents) => Promise<T>,
) {
  const client = new Client({ connectionString: url });
  await client.connect();
  const table = `${client.escapeIdentifier(schema)}.${client.escapeIdentifier(name)}`;
  try {
    return await work({
      ids: async () => (await client.query<{ id: string }>(`SELECT id FROM ${table}`)).rows.map(({ id }) => id),
      async change(id, change) {
        const [row] = (await client.query(`SELECT view FROM ${table} WHERE id = $1`, [id])).rows;
        await client.query(`UPDATE ${table} SET view = $2 WHERE id = $1`, [id, JSON.stringify(change(row.view))]);
      },
      async remove(id) {
        await client.query(`DELETE FROM ${table} WHERE id = $1`, [id]);
      },
      async copy(id, to) {
        // All columns except those that PostgreSQL computes.
        const named = `SELECT column_name AS name FROM information_schema.columns
          WHERE table_schema = $1 AND table_name = $2 AND is_generated = 'NEVER'`;
        const names = (await client.query<{ name: string }>(named, [schema, name])).rows.map((row) => row.name);
        const columns = names.filter((column) => column !== 'id').map((column) => client.escapeIdentifier(column));
        const text = `INSERT INTO ${table} (id, ${columns}) SELECT $2, ${columns} FROM ${table} WHERE id = $1`;
        await client.query(text, [id, to]);
      },
    });
  } finally {
    await client.end();
  }
}
