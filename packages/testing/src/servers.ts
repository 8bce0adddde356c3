/**
 * The real servers that tests talk to, by the variables that `test/servers` sets. A test names what it needs; if it is
 * missing, the test is skipped, or fails where CAUDAL_REQUIRE_SERVERS=all.
 */
import { describe } from '@jest/globals';
import { Client } from 'pg';

const variables = {
  postgres: 'POSTGRES_URL',
  rabbitmq: 'RABBITMQ_URL',
  mongodb: 'MONGODB_URL',
  elasticsearch: 'ELASTICSEARCH_URL',
  redis: 'REDIS_URL',
} as const;

export type ServerName = keyof typeof variables;

/** The server's URL. Throws if it is not there: call it inside `describeWith`. */
export function serverUrl(name: ServerName): string {
  const url = process.env[variables[name]];
  if (!url) throw new Error(`No ${name}: ${variables[name]} is not set. "npm test" starts it.`);
  return url;
}

/** `describe` for tests that need these servers. */
export function describeWith(names: ServerName[], title: string, body: () => void): void {
  const missing = names.filter((name) => !process.env[variables[name]]);
  if (missing.length === 0 || process.env.CAUDAL_REQUIRE_SERVERS === 'all') describe(title, body);
  else describe.skip(`${title} (no ${missing.join(', ')})`, body);
}

/** A database of the test's own on the PostgreSQL server. */
export interface FreshDatabase {
  url: string;
  drop(): Promise<void>;
}

/** Makes an empty database; `drop` deletes it, connections or not. */
export async function freshDatabase(): Promise<FreshDatabase> {
  const name = `test_${process.pid}_${Date.now()}_${Math.floor(Math.random() * 1e9)}`;
  const server = serverUrl('postgres');
  const statement = async (sql: string) => {
    const client = new Client({ connectionString: server });
    await client.connect();
    await client.query(sql).finally(() => client.end());
  };
  await statement(`CREATE DATABASE ${name}`);
  const url = new URL(server);
  url.pathname = `/${name}`;
  return { url: url.href, drop: () => statement(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`) };
}
