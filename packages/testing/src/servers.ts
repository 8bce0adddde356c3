/** The servers that tests and benchmarks use, from the variables that `test/servers` sets. */
import { Client } from 'pg';

const variables = {
  postgres: 'POSTGRES_URL',
  rabbitmq: 'RABBITMQ_URL',
  mongodb: 'MONGODB_URL',
  elasticsearch: 'ELASTICSEARCH_URL',
  redis: 'REDIS_URL',
  s3: 'S3_URL',
} as const;

export type ServerName = keyof typeof variables;

/** The server's URL. Throws if its variable is not set. */
export function serverUrl(name: ServerName): string {
  const url = process.env[variables[name]];
  if (!url) throw new Error(`No ${name}: ${variables[name]} is not set. "npm test" starts it.`);
  return url;
}

/** Those of the servers whose variable is not set. */
export function missingServers(names: ServerName[]): ServerName[] {
  return names.filter((name) => !process.env[variables[name]]);
}

/** An empty database for one test on the PostgreSQL server. */
export interface FreshDatabase {
  url: string;
  drop(): Promise<void>;
}

/** Makes an empty database. `drop` deletes it, and ends connections to it. */
export async function freshDatabase({ locale }: { locale?: string } = {}): Promise<FreshDatabase> {
  const name = `test_${process.pid}_${Date.now()}_${Math.floor(Math.random() * 1e9)}`;
  const server = serverUrl('postgres');
  const statement = async (sql: string) => {
    const client = new Client({ connectionString: server });
    await client.connect();
    await client.query(sql).finally(() => client.end());
  };
  await statement(`CREATE DATABASE ${name}${locale ? ` TEMPLATE template0 ENCODING 'UTF8' LOCALE '${locale}'` : ''}`);
  const url = new URL(server);
  url.pathname = `/${name}`;
  return { url: url.href, drop: () => statement(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`) };
}
