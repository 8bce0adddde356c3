/**
 * A store of small views in PostgreSQL, and how each strategy of caches reads and writes it, for the benchmark `caches`. Readers and
 * writers have a cache each, as processes of queries and projectors have; Redis is between them.
 */
import { openCache } from '@caudal/cache/cache.ts';
import { jsonCodec } from '@caudal/cache/codec.ts';
import type { Keyed } from '@caudal/cache/types.ts';
import { openWriteBack } from '@caudal/cache/write-back.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { type Database, openDatabase } from '@caudal/postgres/database.ts';
import { freshDatabase, serverUrl } from '@caudal/testing/servers.ts';

export const strategies = ['none', 'cache-aside', 'write-through', 'refresh-ahead', 'write-back'] as const;
export type StrategyName = (typeof strategies)[number];

interface View {
  key: string;
  text: string;
}

const ttlMs = 2_000;
/** Some of the keys: what is read seldom leaves a process's memory. */
const maxEntries = 2_000;
/** How long write-back gathers. */
const everyMs = 1_000;

const codec = jsonCodec<View>({ toJSON: (view) => view, fromJSON: (json) => json as View });

export interface ViewStore {
  reads: number;
  writes: number;
  load(key: string): Promise<{ value: View; version: number } | undefined>;
  /** Adds to the versions of these keys; the versions after it. */
  add(changes: Map<string, number>): Promise<{ key: string; version: number; value: View }[]>;
  /** Begins anew with this many keys, all of them with the version 1. */
  fill(keys: number): Promise<void>;
  close(): Promise<void>;
}

export async function openViewStore(): Promise<ViewStore> {
  const fresh = await freshDatabase();
  const database: Database = openDatabase({ url: fresh.url, schema: 'public', poolSize: 16, connectTimeoutMs: 60_000 });
  await database.query({
    text: 'CREATE TABLE views (key text PRIMARY KEY, version int NOT NULL, text text NOT NULL) WITH (fillfactor = 70)',
  });
  const store: ViewStore = {
    ...{ reads: 0, writes: 0 },
    async load(key) {
      store.reads++;
      const [row] = await database.query<View & { version: number }>({
        ...{ name: 'bench-load', text: 'SELECT key, version, text FROM views WHERE key = $1', values: [key] },
      });
      return row && { value: { key, text: row.text }, version: row.version };
    },
    async add(changes) {
      store.writes++;
      const rows = await database.query<View & { version: number }>({
        name: 'bench-add',
        text: `UPDATE views v SET version = v.version + u.n FROM unnest($1::text[], $2::int[]) u(key, n)
          WHERE v.key = u.key RETURNING v.key, v.version, v.text`,
        values: [[...changes.keys()], [...changes.values()]],
      });
      return rows.map(({ key, version, text }) => ({ key, version, value: { key, text } }));
    },
    async fill(keys) {
      await database.query({ text: 'TRUNCATE views' });
      await database.query({
        text: `INSERT INTO views SELECT 'K-' || n, 1, repeat('x', 300) FROM generate_series(0, $1::int - 1) n`,
        values: [keys],
      });
      await database.query({ text: 'VACUUM ANALYZE views' });
      Object.assign(store, { reads: 0, writes: 0 });
    },
    async close() {
      await database.close();
      await fresh.drop();
    },
  };
  return store;
}

export interface Contender {
  /** The version that was served, and whether without the store. */
  read(key: string): Promise<{ version: number; isHit: boolean }>;
  write(key: string): Promise<void>;
  stop(): Promise<void>;
}

/** `written`: called when a change counts, with the version after it. */
export async function openContender(
  strategy: StrategyName,
  store: ViewStore,
  written: (key: string, version: number) => void,
): Promise<Contender> {
  if (strategy === 'none')
    return {
      read: async (key) => ({ version: (await store.load(key))!.version, isHit: false }),
      write: (key) => change(key).then(() => {}),
      stop: async () => {},
    };
  const options = { redisUrl: serverUrl('redis'), namespace: `bench-${newId()}`, maxEntries };
  const reader = await openCache(options);
  const writer = await openCache(options);
  const keyed = (key: string): Keyed<View> => ({ key, ttlMs, codec });
  const writeBack = strategy === 'write-back' ? openGathered() : undefined;
  const refreshAhead = strategy === 'refresh-ahead';

  async function change(key: string) {
    const changed = await store.add(new Map([[key, 1]]));
    for (const { version } of changed) written(key, version);
    return changed;
  }

  function openGathered() {
    /** What each key comes to with what is gathered. */
    const versions = new Map<string, number>();
    const gathered = openWriteBack<number>({
      ...{ name: 'bench', everyMs },
      merge: (first, second) => first + second,
      flush: async (changes) => writer.invalidate(...(await store.add(changes))),
    });
    return {
      add(key: string): void {
        const version = (versions.get(key) ?? 1) + 1;
        versions.set(key, version);
        gathered.add(key, 1);
        written(key, version);
      },
      stop: gathered.stop,
    };
  }

  return {
    async read(key) {
      const { version, source } = await reader.read({ ...keyed(key), load: () => store.load(key), refreshAhead });
      return { version, isHit: source !== 'miss' };
    },
    async write(key) {
      if (writeBack) return writeBack.add(key);
      const changed = await change(key);
      if (strategy === 'write-through') await writer.write(...changed.map((one) => ({ ...keyed(key), ...one })));
      else await writer.invalidate(...changed);
    },
    async stop() {
      await writeBack?.stop();
      await Promise.all([reader.stop(), writer.stop()]);
    },
  };
}
