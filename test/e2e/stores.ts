/** The data of a system on the real servers: created for one test, read by it, and dropped after it. */

import { loadConfig } from '@caudal/config/config.ts';
import { slotCount } from '@caudal/messaging/rabbitmq/slots.ts';
import { partQueueName, queueName } from '@caudal/messaging/rabbitmq/topology.ts';
import { migrateAudit } from '@caudal/server/audit/migrate-audit.ts';
import { contexts } from '@caudal/server/contexts.ts';
import { migratorOf } from '@caudal/server/database-urls.ts';
import { recordSagaStarts } from '@caudal/server/handlers/saga-starts.ts';
import { migrateContext } from '@caudal/server/local-context.ts';
import { type RuntimeValues, settings } from '@caudal/server/settings/settings.ts';
import { freshDatabase, serverUrl } from '@caudal/testing/servers.ts';
import { connect } from 'amqplib';
import { MongoClient } from 'mongodb';
import { Client } from 'pg';

/** As whom the processes connect to PostgreSQL: docs/database-roles.md. */
export type DatabaseRole = 'owner' | 'application';

export interface Stores {
  /** Of the owner, whatever the role of the processes. */
  databaseUrl: string;
  /** The prefix of the names of queues, collections, indices. */
  namespace: string;
  /** The settings with the servers' URLs. */
  env: Record<string, string>;
  /** Events that could not be handled: parked streams, and messages in queues of dead letters. */
  deadLetters(): Promise<string[]>;
  /** Drops all of it. */
  drop(): Promise<void>;
}

/**
 * Creates an empty database with the schemas of all contexts, and a namespace on the other servers. With `migrated:
 * false` the test creates the schemas; before that, nothing can be read.
 */
export async function makeStores({ migrated = true, role = 'owner' as DatabaseRole } = {}): Promise<Stores> {
  const database = await freshDatabase();
  const ownerUrl = database.url;
  const urls = role === 'owner' ? { url: ownerUrl, ownerUrl: undefined } : { url: applicationUrl(ownerUrl), ownerUrl };
  const namespace = `e2e_${process.pid}_${Date.now().toString(36)}`;
  const prefix = `${namespace}.`;
  if (migrated) {
    const values = loadConfig(settings, { env: {} }) as RuntimeValues;
    const { application } = await migratorOf(urls);
    await Promise.all(contexts.map((context) => migrateContext(ownerUrl, context, application)));
    await migrateAudit(ownerUrl, values, application);
    await recordSagaStarts(database.url, contexts, values);
  }

  /** Rows of each context's schema. */
  async function rows<T extends object>(sql: string): Promise<T[]> {
    const client = new Client({ connectionString: database.url });
    await client.connect();
    try {
      const found: T[] = [];
      for (const { name } of contexts) {
        await client.query(`SET search_path TO ${name}`);
        found.push(...(await client.query<T>(sql)).rows);
      }
      return found;
    } finally {
      await client.end();
    }
  }

  /** Every handler that has consumed has a reconciliation checkpoint. */
  async function handlers(): Promise<string[]> {
    const checkpoints = await rows<{ name: string }>("SELECT name FROM checkpoints WHERE name LIKE 'sweep:%'");
    return [...new Set(checkpoints.map(({ name }) => name.split(':')[1]!))];
  }

  async function dropMessages(): Promise<void> {
    const connection = await connect(serverUrl('rabbitmq'));
    try {
      const channel = await connection.createChannel();
      for (const handler of await handlers()) {
        for (let part = 0; part < slotCount; part++) await channel.deleteQueue(partQueueName(handler, part, prefix));
        await channel.deleteQueue(queueName(handler, prefix));
        await channel.deleteQueue(`${queueName(handler, prefix)}.dead`);
      }
      for (const { name } of contexts) await channel.deleteExchange(`${prefix}events.${name}.v1`);
    } finally {
      await connection.close();
    }
  }

  return {
    databaseUrl: database.url,
    namespace,
    env: {
      DATABASE_URL: urls.url,
      RABBITMQ_URL: serverUrl('rabbitmq'),
      MONGODB_URL: serverUrl('mongodb'),
      ELASTICSEARCH_URL: serverUrl('elasticsearch'),
      REDIS_URL: serverUrl('redis'),
      CAUDAL_NAMESPACE: namespace,
    },

    async deadLetters() {
      const parked = await rows<{ handler: string; stream: string; error: string }>(
        'SELECT handler, stream, error FROM parked_streams',
      );
      const found = parked.map(({ handler, stream, error }) => `${handler} parked ${stream}: ${error}`);
      const connection = await connect(serverUrl('rabbitmq'));
      try {
        for (const handler of await handlers()) {
          const channel = await connection.createChannel();
          // Without a handler, the error about a missing queue would end the process.
          channel.on('error', () => {});
          const dead = await channel.checkQueue(`${queueName(handler, prefix)}.dead`).catch(() => undefined);
          if (dead?.messageCount) found.push(`${handler} has ${dead.messageCount} dead letters`);
        }
      } finally {
        await connection.close();
      }
      return found;
    },

    async drop() {
      const mongo = new MongoClient(serverUrl('mongodb'));
      const outcomes = await Promise.allSettled([
        dropMessages()
          .finally(() => database.drop())
          .finally(() => (urls.ownerUrl ? dropRole(urls.url) : undefined)),
        mongo
          .db(namespace)
          .dropDatabase()
          .finally(() => mongo.close()),
        dropIndices(namespace),
      ]);
      for (const outcome of outcomes) if (outcome.status === 'rejected') console.warn(outcome.reason);
    },
  };
}

/** Another role of the database's server, made when the database is migrated. It is dropped by `dropRole`. */
function applicationUrl(ownerUrl: string): string {
  const url = new URL(ownerUrl);
  url.username = `app${url.pathname.slice(1)}`.slice(0, 63);
  url.password = 'e2e';
  return url.href;
}

/** After the database, in which it was granted rights. */
async function dropRole(applicationUrl: string): Promise<void> {
  const client = new Client({ connectionString: serverUrl('postgres') });
  await client.connect();
  await client.query(`DROP ROLE IF EXISTS "${new URL(applicationUrl).username}"`).finally(() => client.end());
}

/** Elasticsearch accepts no wildcard in a deletion. */
async function dropIndices(namespace: string): Promise<void> {
  const server = serverUrl('elasticsearch');
  const list = await fetch(new URL(`/_cat/indices/${namespace}-*?format=json&h=index`, server));
  const indices = (await list.json()) as { index: string }[];
  for (const { index } of indices) await fetch(new URL(`/${index}`, server), { method: 'DELETE' });
}
