/** The stores of a process: always PostgreSQL, others if they are configured. */

import { openCache } from '@caudal/cache/cache.ts';
import { type InterestCounts, openInterest } from '@caudal/cache/interest.ts';
import type { Cache } from '@caudal/cache/types.ts';
import type { Context, StoreKind } from '@caudal/context/context.ts';
import type { Running } from '@caudal/kernel/lifetime.ts';
import type { Broker } from '@caudal/messaging/rabbitmq/connection.ts';
import { type Database, databaseOf } from '@caudal/postgres/database.ts';
import { openPool } from '@caudal/postgres/pool.ts';
import { openAnalysis } from '@caudal/projections/search/analysis.ts';
import { limitAggregates } from '@caudal/projections/stores/limit-aggregates.ts';
import { openPostgresStore } from '@caudal/projections/stores/postgres-store.ts';
import type { ViewStore } from '@caudal/projections/stores/store.ts';
import { storeCircuitBreaker } from './queries/store-circuit-breaker.ts';
import type { RuntimeValues } from './settings/settings.ts';

export interface Stores extends Running {
  /** Undefined: events are read from the logs directly. */
  broker: Broker | undefined;
  cache: Cache;
  /** Counts of looks at things. */
  interest: InterestCounts;
  /** The store of a context's views of this kind. `database`: the context's own. */
  views(context: Context, kind: StoreKind, database: Database): ViewStore;
  /** The same store for queries, behind a circuit breaker: they do not wait while it is unreachable. */
  viewsToQuery(context: Context, kind: StoreKind, database: Database): ViewStore;
}

/** Views in the cache of a process, and of one with an embedded PostgreSQL. */
const CACHED_VIEWS = 20_000;
const EMBEDDED_VIEWS = 2_000;

const REPLICA_CONNECTIONS = 4;

/** Opens the configured stores. Each connects at its first use. */
export async function openStores(values: RuntimeValues, name: string): Promise<Stores> {
  const { RABBITMQ_URL, MONGODB_URL, ELASTICSEARCH_URL, REDIS_URL, CAUDAL_NAMESPACE: namespace } = values;
  const prefix = namespace ? `${namespace}.` : '';
  // Loaded only if configured: the drivers of MongoDB and Elasticsearch take 40 MiB together.
  const broker = RABBITMQ_URL
    ? (await import('@caudal/messaging/rabbitmq/connection.ts')).openBroker({ url: RABBITMQ_URL, prefix, name })
    : undefined;
  const documents = MONGODB_URL
    ? (await import('@caudal/projections/stores/mongodb-store.ts')).openMongodbStore({
        url: MONGODB_URL,
        database: namespace ?? 'caudal',
        writeConcern: { w: values.CAUDAL_MONGODB_WRITE_CONCERN, journal: values.CAUDAL_MONGODB_JOURNAL },
      })
    : undefined;
  const analysis = await openAnalysis(values.CAUDAL_SEARCH_LANGUAGES.filter((language) => language !== 'none'));
  const search = ELASTICSEARCH_URL
    ? (await import('@caudal/projections/stores/elasticsearch-store.ts')).openElasticsearchStore({
        url: ELASTICSEARCH_URL,
        prefix: `${namespace ?? 'caudal'}-`,
        waitForActiveShards: values.CAUDAL_ELASTICSEARCH_WAIT_FOR_ACTIVE_SHARDS,
        analysis,
      })
    : undefined;
  const cache = await openCache({
    redisUrl: REDIS_URL,
    namespace: `${namespace ?? 'caudal'}.views`,
    maxEntries: values.DATABASE_URL === undefined ? EMBEDDED_VIEWS : CACHED_VIEWS,
    maxBytes: values.CAUDAL_CACHE_MEMORY,
  });
  const counts = REDIS_URL
    ? (await import('@caudal/cache/shared-counts.ts')).openSharedCounts(REDIS_URL, `${namespace ?? 'caudal'}.interest`)
    : undefined;
  const interest = openInterest({ shared: counts });
  const replicaUrl = values.CAUDAL_REPLICA_DATABASE_URL;
  const replicaPool = replicaUrl
    ? openPool({ url: replicaUrl, poolSize: REPLICA_CONNECTIONS, connectTimeoutMs: 1_000, applicationName: name })
    : undefined;
  const replicas: Database[] = [];
  const embedded = new Map<string, ViewStore>();
  const queried = new Map<ViewStore, ViewStore>();
  const ending = new AbortController();

  function views(context: Context, kind: StoreKind, database: Database): ViewStore {
    const shared = kind === 'search' ? search : documents;
    if (shared) return shared;
    const known = embedded.get(context.name);
    if (known) return known;
    const replica = replicaPool && databaseOf(replicaPool, database.schema);
    if (replica) replicas.push(replica);
    const own = openPostgresStore({ database, replica, analysis });
    embedded.set(context.name, own);
    return own;
  }

  return {
    broker,
    cache,
    interest,
    views,
    viewsToQuery(...of) {
      const store = views(...of);
      // The limit outside: a refusal by it is no answer of the store, which would close the circuit.
      const known = queried.get(store) ?? limitAggregates(storeCircuitBreaker(store, { signal: ending.signal }));
      queried.set(store, known);
      return known;
    },
    async stop() {
      ending.abort();
      await interest.stop();
      counts?.stop();
      await cache.stop();
      await Promise.all(replicas.map((replica) => replica.close()));
      await Promise.all([documents?.close(), search?.close(), broker?.close()]);
    },
  };
}
