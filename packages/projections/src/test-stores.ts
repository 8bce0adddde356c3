/** The three stores on their real servers, each in a place of its own, for tests. */
import { connect, createServer, type Socket } from 'node:net';
import { openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { freshDatabase, type ServerName, serverUrl } from '@caudal/testing/servers.ts';
import { Client } from '@elastic/elasticsearch';
import { MongoClient } from 'mongodb';
import { openElasticsearchStore } from './elasticsearch-store.ts';
import { openMongodbStore } from './mongodb-store.ts';
import { openPostgresStore } from './postgres-store.ts';
import type { ViewStore } from './store.ts';

export interface TestStore {
  store: ViewStore;
  /** Another connection to the same place: what a second process has. */
  another(): ViewStore;
  remove(): Promise<void>;
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
    async remove() {
      await Promise.all(opened.map((store) => store.close()));
      const client = new MongoClient(serverUrl('mongodb'));
      await client.db(database).dropDatabase();
      await client.close();
    },
  };
}

async function postgres(url?: string): Promise<TestStore> {
  const fresh = await freshDatabase();
  const reached = new URL(fresh.url);
  if (url) reached.host = new URL(url).host;
  await migrate({ url: fresh.url, schema: 'views', sets: [] });
  const databases: ReturnType<typeof openDatabase>[] = [];
  const another = () => {
    databases.push(openDatabase({ url: reached.href, schema: 'views', poolSize: 4 }));
    return openPostgresStore({ database: databases.at(-1)! });
  };
  return {
    store: another(),
    another,
    async remove() {
      await Promise.all(databases.map((database) => database.close()));
      await fresh.drop();
    },
  };
}

async function elasticsearch(url = serverUrl('elasticsearch')): Promise<TestStore> {
  const prefix = uniqueName();
  const opened: ViewStore[] = [];
  const another = () => {
    opened.push(openElasticsearchStore({ url, prefix }));
    return opened.at(-1)!;
  };
  return {
    store: another(),
    another,
    async remove() {
      await Promise.all(opened.map((store) => store.close()));
      const client = new Client({ node: serverUrl('elasticsearch') });
      const indices = Object.keys(await client.indices.get({ index: `${prefix}-*`, features: ['settings'] }));
      if (indices.length > 0) await client.indices.delete({ index: indices });
      await client.close();
    },
  };
}

/** Opens the named store; `url` in place of the server's own, for one that is reached through something else. */
export const testStores = { mongodb, postgres, elasticsearch } satisfies Partial<
  Record<ServerName, (url?: string) => Promise<TestStore>>
>;

/** Stands between a client and a server, and can cut them apart. */
export interface Proxy {
  port: number;
  /** Ends all connections and takes no more, until `join`. */
  cut(): void;
  join(): void;
  close(): Promise<void>;
}

/** Listens on a port of its own and passes everything to `host:port`. */
export async function openProxy(host: string, port: number): Promise<Proxy> {
  const sockets = new Set<Socket>();
  let open = true;
  const server = createServer((near) => {
    if (!open) return void near.destroy();
    const far = connect(port, host);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one);
      one.on('error', () => {});
      one.on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const destroy = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (server.address() as { port: number }).port,
    cut() {
      open = false;
      destroy();
    },
    join() {
      open = true;
    },
    async close() {
      destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
