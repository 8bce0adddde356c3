/**
 * Every store is reached over TLS, verified with CAUDAL_TRUSTED_CA: real servers behind TLS, whose authority is trusted, then
 * another one, as after a change of the file.
 */
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { openS3Store } from '@caudal/archive-store/s3-store.ts';
import { freshBucket } from '@caudal/archive-store/testing/bucket.ts';
import { openCache } from '@caudal/cache/cache.ts';
import { jsonCodec } from '@caudal/cache/codec.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { openBroker } from '@caudal/messaging/rabbitmq/connection.ts';
import { askManagement } from '@caudal/messaging/rabbitmq/management.ts';
import { openDatabase } from '@caudal/postgres/database.ts';
import { listen } from '@caudal/postgres/listen.ts';
import { openElasticsearchStore } from '@caudal/projections/stores/elasticsearch-store.ts';
import { openMongodbStore } from '@caudal/projections/stores/mongodb-store.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { type ServerName, serverUrl } from '@caudal/testing/servers.ts';
import { until } from '@caudal/testing/until.ts';
import { type Mounted, makeAuthority, mount } from '@caudal/tls/testing/certificates.ts';
import { trustAuthorities } from '@caudal/tls/trust.ts';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { startTlsProxy, type TlsProxy } from './testing/tls-proxy.ts';

jest.setTimeout(60_000);

const [first, second] = [makeAuthority('The first'), makeAuthority('The second')];
const before = getCACertificates('default');
const proxies: TlsProxy[] = [];
let files: Mounted;

beforeAll(async () => {
  files = await mount(first.make(['unused.test']), first.ca);
});
afterAll(async () => {
  await trustAuthorities(files.ca).stop();
  setDefaultCACertificates(before);
  for (const proxy of proxies) proxy.close();
  files.remove();
});

const management = () => process.env.RABBITMQ_MANAGEMENT_URL!;

/** The server's URL with this scheme, at a proxy with a certificate of this authority. */
async function proxied(url: string, scheme: string, query: string, authority = first): Promise<string> {
  const proxy = await startTlsProxy(url, authority.make(['localhost']), scheme === 'postgres');
  proxies.push(proxy);
  const { username, password, pathname, search } = new URL(url);
  const credentials = username || password ? `${username}:${password}@` : '';
  const parameters = [search.slice(1), query].filter(Boolean).join('&');
  return `${scheme}://${credentials}localhost:${proxy.port}${pathname}${parameters && `?${parameters}`}`;
}

interface Case {
  url(): string;
  scheme: string;
  query?: string;
  /** Does something over a new connection. */
  use(url: string): Promise<unknown>;
}

const layout = { keys: {}, indexes: [] };
const of = (name: ServerName) => () => serverUrl(name);

const cases: Record<string, Case> = {
  PostgreSQL: {
    url: of('postgres'),
    scheme: 'postgres',
    query: 'sslmode=verify-full',
    async use(url) {
      const database = openDatabase({ url, schema: 'public', poolSize: 1 });
      try {
        const [row] = await database.query<{ one: number }>({ text: 'SELECT 1 AS one' });
        expect(row).toEqual({ one: 1 });
      } finally {
        await database.close();
      }
    },
  },
  "PostgreSQL's connection that listens": {
    url: of('postgres'),
    scheme: 'postgres',
    query: 'sslmode=verify-full',
    async use(url) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const listening = listen({ url, channel: `tls_${process.pid}`, onNotification: () => resolve() });
      const timer = setTimeout(() => reject(new Error('it does not listen')), 2_000);
      await promise.finally(() => {
        clearTimeout(timer);
        return listening.stop();
      });
    },
  },
  RabbitMQ: {
    url: of('rabbitmq'),
    scheme: 'amqps',
    async use(url) {
      const broker = openBroker({ url, name: 'tls-test', connectTimeoutMs: 3_000 });
      try {
        const channel = await broker.sharedChannel();
        await channel.close();
        const publishing = await broker.publishConnection('tls-test');
        await publishing.close();
      } finally {
        await broker.close();
      }
    },
  },
  "RabbitMQ's management": {
    url: management,
    scheme: 'https',
    use: async (managementUrl) =>
      expect(await askManagement({ managementUrl }, ['policies'])).toMatchObject({ status: 200 }),
  },
  MongoDB: {
    url: of('mongodb'),
    scheme: 'mongodb',
    query: 'directConnection=true&tls=true',
    async use(url) {
      const store = openMongodbStore({ url, database: 'caudal_tls_test' });
      try {
        expect(await store.collection('none', layout).load(['1'])).toEqual([]);
      } finally {
        await store.close();
      }
    },
  },
  Elasticsearch: {
    url: of('elasticsearch'),
    scheme: 'https',
    async use(url) {
      const store = openElasticsearchStore({ url, prefix: `tls_test_${process.pid}` });
      try {
        // It is reached if it says that there is no such index.
        const error = await store
          .collection('none', layout)
          .load(['1'])
          .catch((reason: Error & { reason: string }) => reason);
        expect(error).toMatchObject({ reason: 'VIEW_NOT_BUILT' });
      } finally {
        await store.close();
      }
    },
  },
  Redis: {
    url: of('redis'),
    scheme: 'rediss',
    async use(redisUrl) {
      const namespace = `tls-test-${newId()}`;
      const open = () => openCache({ redisUrl, namespace, maxEntries: 10 });
      const [one, other] = [await open(), await open()];
      try {
        const codec = jsonCodec<string>({ toJSON: (value) => value, fromJSON: (json) => json as string });
        const read = { key: 'k', ttlMs: 10_000, codec, load: async () => ({ value: 'v', version: 1 }) };
        await one.read(read);
        // The other cache has it from Redis, not from its own memory.
        await until(async () => (await other.read(read)).source !== 'local');
        const fresh = await open();
        const { source } = await fresh.read(read);
        await fresh.stop();
        expect(source).toBe('redis');
      } finally {
        await Promise.all([one.stop(), other.stop()]);
      }
    },
  },
  S3: {
    url: of('s3'),
    scheme: 'https',
    async use(endpoint) {
      const bucket = await freshBucket();
      const store = openS3Store({ ...bucket, endpoint: endpoint.replace(/\/$/, '') });
      try {
        expect(await store.list('', AbortSignal.timeout(5_000))).toEqual([]);
      } finally {
        await store.close();
      }
    },
  },
  'what is called by fetch: the issuer, the card gateway': {
    url: of('s3'),
    scheme: 'https',
    use: async (url) => expect((await fetch(url)).status).toBeLessThan(500),
  },
};

describeWith(['postgres', 'rabbitmq', 'mongodb', 'elasticsearch', 'redis', 's3'], 'over TLS', () => {
  test.each(Object.keys(cases))('%s is refused while its authority is not trusted', async (name) => {
    const { url, scheme, query = '', use } = cases[name]!;
    await expect(use(await proxied(url(), scheme, query))).rejects.toThrow();
    expect(proxies.at(-1)!.verified).toBe(0);
  });

  test.each(Object.keys(cases))('%s is reached once it is', async (name) => {
    const { url, scheme, query = '', use } = cases[name]!;
    trustAuthorities(files.ca);
    await use(await proxied(url(), scheme, query));
    expect(proxies.at(-1)!.verified).toBeGreaterThan(0);
  });

  test.each(Object.keys(cases))('%s is reached with a new authority after the file has changed', async (name) => {
    const { url, scheme, query = '', use } = cases[name]!;
    const source = trustAuthorities(files.ca);
    await files.swap(first.make(['unused.test']), second.ca);
    await source.look();
    await use(await proxied(url(), scheme, query, second));
    await expect(use(await proxied(url(), scheme, query, first))).rejects.toThrow();
    expect(proxies.at(-1)!.verified).toBe(0);
  });
});
