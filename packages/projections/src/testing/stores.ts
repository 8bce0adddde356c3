/** The three stores on their real servers, each in a place of its own, for tests. */
import { openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { freshDatabase, type ServerName, serverUrl } from '@caudal/testing/servers.ts';
import { startTcpProxy, type TcpProxy } from '@caudal/testing/tcp-proxy.ts';
import { Client } from '@elastic/elasticsearch';
import { MongoClient } from 'mongodb';
import type { Analysis } from '../search/analysis.ts';
import { openElasticsearchStore } from '../stores/elasticsearch-store.ts';
import { openMongodbStore } from '../stores/mongodb-store.ts';
import { openPostgresStore } from '../stores/postgres-store.ts';
import type { ViewStore } from '../stores/store.ts';

export interface TestStore {
  store: ViewStore;
  /** Another connection to the same place, as a second process has. */
  another(): ViewStore;
  /** Where another process finds it: `openStoreAt`. */
  at: string;
  remove(): Promise<void>;
}

export interface SearchOptions {
  analysis?: Analysis;
  /** Of the database, if it is to be another one than the server's. */
  locale?: string;
}

function uniqueName(): string {
  return `test_${process.pid}_${Date.now()}_${Math.floor(Math.random() * 1e6)}`;
}

async function mongodb(url = serverUrl('mongodb')): Promise<TestStore> {
  const database = uniqueName();
  const opened: ViewStore[] = [];
  const another = () => {
    opened.push(openMongodbStore({ url, database }));
    return opened.at(-1)!;
  };
  return {
    store: another(),
    another,
    at: database,
    async remove() {
      await Promise.all(opened.map((store) => store.close()));
      const client = new MongoClient(serverUrl('mongodb'));
      await client.db(database).dropDatabase();
      await client.close();
    },
  };
}

async function postgres(url?: string, { analysis, locale }: SearchOptions = {}): Promise<TestStore> {
  const fresh = await freshDatabase({ locale });
  const reached = new URL(fresh.url);
  if (url) reached.host = new URL(url).host;
  await migrate({ url: fresh.url, schema: 'views', sets: [] });
  const databases: ReturnType<typeof openDatabase>[] = [];
  const another = () => {
    databases.push(openDatabase({ url: reached.href, schema: 'views', poolSize: 4 }));
    return openPostgresStore({ database: databases.at(-1)!, analysis });
  };
  return {
    store: another(),
    another,
    at: fresh.url,
    async remove() {
      await Promise.all(databases.map((database) => database.close()));
      await fresh.drop();
    },
  };
}

async function elasticsearch(url = serverUrl('elasticsearch'), { analysis }: SearchOptions = {}): Promise<TestStore> {
  const prefix = uniqueName();
  const opened: ViewStore[] = [];
  const another = () => {
    opened.push(openElasticsearchStore({ url, prefix, analysis }));
    return opened.at(-1)!;
  };
  return {
    store: another(),
    another,
    at: prefix,
    async remove() {
      await Promise.all(opened.map((store) => store.close()));
      const client = new Client({ node: serverUrl('elasticsearch') });
      const indices = Object.keys(await client.indices.get({ index: `${prefix}-*`, features: ['settings'] }));
      if (indices.length > 0) await client.indices.delete({ index: indices });
      await client.close();
    },
  };
}

/** Opens the named store. `url` replaces the server's own, for example by that of a proxy. */
export const testStores = { mongodb, postgres, elasticsearch } satisfies Partial<
  Record<ServerName, (url?: string, search?: SearchOptions) => Promise<TestStore>>
>;

/** The store of a place that another process has made, which removes it. */
export function openStoreAt(name: keyof typeof testStores, at: string): ViewStore {
  if (name === 'mongodb') return openMongodbStore({ url: serverUrl('mongodb'), database: at });
  if (name === 'elasticsearch') return openElasticsearchStore({ url: serverUrl('elasticsearch'), prefix: at });
  return openPostgresStore({ database: openDatabase({ url: at, schema: 'views', poolSize: 4 }) });
}

/** A store that is reached through a proxy. */
export async function throughProxy(name: keyof typeof testStores): Promise<{ reached: TestStore; proxy: TcpProxy }> {
  const proxy = await startTcpProxy(serverUrl(name));
  const url = new URL(proxy.url);
  // Otherwise the driver would ask the replica set for its members' addresses and bypass the proxy.
  if (name === 'mongodb') url.search = '?directConnection=true';
  return { reached: await testStores[name](url.href), proxy };
}
