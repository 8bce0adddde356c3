/**
 * What a system stores that has led orders from a card to delivery, against the list of docs/reference/stored.md: nothing is
 * there that is not in the list, and nothing is in the list that is not there. And what an order leaves behind.
 */
import { auditSchema } from '@caudal/audit/migrations.ts';
import { newId, timeOfId } from '@caudal/kernel/ids.ts';
import { contexts } from '@caudal/server/contexts.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { serverUrl } from '@caudal/testing/servers.ts';
import { afterAll, beforeAll, expect } from '@jest/globals';
import { MongoClient } from 'mongodb';
import { Client } from 'pg';
import { createClient } from 'redis';
import {
  auditTables,
  besideViews,
  contextTables,
  keys,
  type Stored,
  tables,
  views,
} from '../../scripts/reference/stored.ts';
import { type System, startSystem } from './system.ts';
import { systemTest } from './system-test.ts';
import { until } from './wait.ts';
import { newCustomer, newProduct, orderAt, orderConfirmed } from './world.ts';

const schemas = contexts.map(({ name }) => name);
const orders = 3;
const listedViews = Object.keys(views).map((name) => ({ name: `${name}.v<version>.<generation>` }));

describeWith(['postgres', 'rabbitmq', 'mongodb', 'elasticsearch', 'redis'], 'what is stored', () => {
  let system: System;
  let sql: Client;
  /** Of the orders that were led to delivery. */
  const orderIds: string[] = [];
  const productIds: string[] = [];

  beforeAll(async () => {
    // Roles in processes of their own, so that sagas call other contexts over the network.
    const soon = { CAUDAL_RECONCILIATION_INTERVAL: '1s', CAUDAL_RECONCILIATION_MIN_AGE: '1s' };
    system = await startSystem({ form: 'processes', databaseRole: 'application', env: () => soon });
    sql = new Client({ connectionString: system.stores!.databaseUrl });
    await sql.connect();
    const { api } = system;
    for (let line = 0; line < 3; line++) productIds.push(await newProduct(api));
    const customerId = await newCustomer(api, 10_000);
    for (let n = 0; n < orders; n++) {
      const orderId = newId();
      orderIds.push(orderId);
      await api.insist('PlaceOrder', {
        ...{ orderId, customerId, country: 'UK', paymentMethod: { cardToken: 'tok_approved' } },
        lines: productIds.map((productId) => ({ productId, quantity: '1' })),
      });
      await orderConfirmed(api, orderId);
      await api.insist('DispatchShipment', { shipmentId: orderId, carrier: 'Royal Mail', trackingNumber: `RM-${n}` });
      await api.insist('DeliverShipment', { shipmentId: orderId });
      await orderAt(api, orderId, 'DELIVERED', ({ shipment }) => shipment.status === 'delivered');
    }
  }, 180_000);
  afterAll(async () => {
    await sql?.end();
    await system?.stop();
  }, 120_000);

  const it = systemTest(() => system);

  it('in PostgreSQL: the tables of every context are those of the list', async () => {
    for (const schema of schemas)
      expectListed(await tablesOf(sql, schema), [...tables, ...(contextTables[schema] ?? [])], { all: true });
    const { rows } = await sql.query<{ name: string }>(
      `SELECT nspname AS name FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema$|public$)' ORDER BY 1`,
    );
    expect(rows.map(({ name }) => name)).toEqual([...schemas, auditSchema].toSorted());
    expectListed(await tablesOf(sql, auditSchema), auditTables, { all: true });
  }, 60_000);

  it('in MongoDB and Elasticsearch: the collections and indexes are those of the list', async () => {
    const { namespace } = system.stores!;
    const mongo = new MongoClient(serverUrl('mongodb'));
    const collections = await mongo.db(namespace).listCollections().toArray();
    await mongo.close();
    const answer = await fetch(new URL(`/_cat/indices/${namespace}-*?format=json&h=index`, serverUrl('elasticsearch')));
    const indexes = ((await answer.json()) as { index: string }[]).map(({ index }) =>
      index.slice(`${namespace}--`.length, -'-index'.length),
    );
    const found = [...collections.map(({ name }) => name), ...indexes];
    expectListed(found, [...listedViews, ...besideViews], { all: true });
  }, 60_000);

  it('every key in Redis expires', async () => {
    const redis = createClient({ url: serverUrl('redis') });
    await redis.connect();
    try {
      const found: string[] = [];
      for await (const page of redis.scanIterator({ MATCH: `*${system.stores!.namespace}.*`, COUNT: 1_000 })) {
        for (const key of page) {
          found.push(key);
          // -2: it has expired meanwhile.
          const leftMs = await redis.pTTL(key);
          // Looks at things are counted for a day, all else for an hour at most.
          const most = key.includes('.interest}') ? 86_400_000 : 3_600_000;
          expect([key, leftMs === -2 || (leftMs > 0 && leftMs <= most)]).toEqual([key, true]);
        }
      }
      expectListed(found, keys, { all: false });
      expect(found.length).toBeGreaterThan(0);
    } finally {
      redis.destroy();
    }
  }, 60_000);

  it('an order leaves one claim for each of its callers and its reservations, all under ids with a time', async () => {
    const claims = [];
    for (const schema of schemas) {
      const { rows } = await sql.query<{ key: string; kind: number; stream: string | null }>(
        `SELECT key, kind, stream FROM ${schema}.claims ORDER BY key`,
      );
      claims.push(...rows);
    }
    const commands = claims.filter(({ kind }) => kind === 0).map(({ stream }) => stream);
    // The calls of buyer and shop; none of a saga. A new stream needs no claim of the command that has made it.
    const shipped = orderIds.flatMap((id) => [`shipping.shipment/${id}`, `shipping.shipment/${id}`]);
    const placed = orderIds.map((id) => `orders.order/${id}`);
    expect(commands.toSorted()).toEqual([...placed, ...shipped].toSorted());
    expect(claims.filter(({ kind }) => kind !== 0)).toHaveLength(orders * productIds.length);
    for (const { key } of claims) {
      const madeAt = timeOfId(`${key.slice(0, 14)}7${key.slice(15, 19)}8${key.slice(20)}`)!;
      expect(Math.abs(Date.now() - madeAt)).toBeLessThan(10 * 60_000);
    }
  }, 60_000);

  it('the job that ends cursors notes where their floors go', async () => {
    const checkpoints = async (kind: string) => {
      const { rows } = await sql.query<{ name: string; position: string }>(
        'SELECT name, position FROM orders.checkpoints WHERE starts_with(name, $1) AND position > 0 ORDER BY name',
        [`${kind}:fulfilment.process:`],
      );
      return rows.map(({ name, position }) => [name.slice(kind.length), position]);
    };
    const swept = await until(
      'reconciliation of three logs',
      () => checkpoints('sweep'),
      (found) => found.length === 3,
    );
    await system.caudal('jobs', 'run', 'orders.saga-cursors');
    const noted = await checkpoints('next-floor');
    expect(noted.map(([name]) => name)).toEqual(swept.map(([name]) => name));
    // No event is a day old.
    expect(await checkpoints('floor')).toEqual([]);
  }, 90_000);

  it('no timer is left of orders that are delivered', async () => {
    const left = async () => {
      const found = [];
      for (const schema of schemas)
        for (const id of orderIds)
          found.push(
            ...(await sql.query(`SELECT handler, id FROM ${schema}.timers WHERE id LIKE '%' || $1 || '%'`, [id])).rows,
          );
      return found;
    };
    await until('no timer is left', left, (found) => found.length === 0);
  }, 60_000);
});

describeWith(['postgres'], 'what is stored with views in PostgreSQL', () => {
  let system: System;
  beforeAll(async () => {
    const none = { RABBITMQ_URL: '', MONGODB_URL: '', ELASTICSEARCH_URL: '', REDIS_URL: '' };
    system = await startSystem({ form: 'stores', databaseRole: 'application', env: () => none });
  }, 120_000);
  afterAll(() => system?.stop(), 120_000);

  systemTest(() => system)(
    'the tables of all contexts are those of the list',
    async () => {
      const sql = new Client({ connectionString: system.stores!.databaseUrl });
      await sql.connect();
      try {
        const found = [];
        for (const schema of schemas) found.push(...(await tablesOf(sql, schema)));
        const own = Object.values(contextTables).flat();
        expectListed(found, [...tables, ...own, ...listedViews, ...besideViews], { all: true });
      } finally {
        await sql.end();
      }
    },
    60_000,
  );
});

/** The tables of a schema, without partitions. */
async function tablesOf(sql: Client, schema: string): Promise<string[]> {
  const { rows } = await sql.query<{ name: string }>(
    `SELECT c.relname AS name FROM pg_class c
      WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'p', 'm', 'S', 'f') AND NOT c.relispartition`,
    [schema],
  );
  return rows.map(({ name }) => name);
}

/** Fails for a name that no entry describes, and with `all` for an entry that is not there. */
function expectListed(names: string[], list: (Pick<Stored, 'name'> & Partial<Stored>)[], { all }: { all: boolean }) {
  const patterns = list.map((entry) => ({ ...entry, pattern: patternOf(entry.name) }));
  const unlisted = names.filter((name) => !patterns.some(({ pattern }) => pattern.test(name)));
  expect(unlisted).toEqual([]);
  if (!all) return;
  const gone = patterns.filter(({ pattern, passing }) => !passing && !names.some((name) => pattern.test(name)));
  expect(gone.map(({ name }) => name)).toEqual([]);
}

/** `<version>` and `<generation>` are numbers, what else stands in angle brackets is any text. */
function patternOf(name: string): RegExp {
  const parts = name.split(/(<[a-z]+>)/).map((part) => {
    if (part === '<version>' || part === '<generation>') return '\\d+';
    if (part === '<projection>') return '[a-z-]+';
    return part.startsWith('<') ? '.+' : part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  });
  return new RegExp(`^${parts.join('')}$`);
}
