/**
 * Brings a schema up to date: runs each package's .sql files once, in order, also if several processes do so at once.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { unavailable } from '@caudal/kernel/errors.ts';
import { Client } from 'pg';
import { clientConfig, quotedSchema } from './connection.ts';
import { asCallersError } from './errors.ts';

export interface MigrationSet {
  /** The package that they belong to: `eventlog`. */
  name: string;
  /** The folder of its `.sql` files; they run in the order of their names. */
  directory: URL;
}

interface Migration {
  name: string;
  sql: string;
  hash: string;
}

async function readSet({ name, directory }: MigrationSet): Promise<Migration[]> {
  const files = (await readdir(directory)).filter((file) => file.endsWith('.sql')).sort();
  return Promise.all(
    files.map(async (file) => {
      const sql = await readFile(new URL(file, directory), 'utf8');
      return { name: `${name}/${file}`, sql, hash: createHash('sha256').update(sql).digest('hex') };
    }),
  );
}

/** Runs a file and records it in one transaction: after a crash both are done or neither. */
async function apply(client: Client, { name, sql, hash }: Migration): Promise<void> {
  await client.query('BEGIN');
  try {
    await client.query(sql);
    await client.query('INSERT INTO migrations (name, sha256) VALUES ($1, $2)', [name, hash]);
    await client.query('COMMIT');
  } catch (error) {
    // Ends the transaction. If the connection is lost, the server has ended it.
    await client.query('ROLLBACK').catch(() => {});
    throw error;
  }
}

async function migrateWith(client: Client, schema: string, migrations: Migration[]): Promise<string[]> {
  // Held until the connection ends. A second process waits (lock_timeout bounds it), then finds all done.
  await client.query("SELECT pg_advisory_lock(hashtextextended('caudal.migrate.' || $1, 0))", [schema]);
  await client.query(`CREATE SCHEMA IF NOT EXISTS ${quotedSchema(schema)}`);
  await client.query(`CREATE TABLE IF NOT EXISTS migrations (
    name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())`);
  const applied = await readApplied(client, migrations);
  const todo = migrations.filter(({ name }) => !applied.has(name));
  for (const migration of todo) await apply(client, migration);
  return todo.map(({ name }) => name);
}

/** The names of the applied migrations. Throws if one of their files has changed. */
async function readApplied(client: Client, migrations: Migration[]): Promise<Set<string>> {
  const { rows } = await client.query<{ name: string; sha256: string }>('SELECT name, sha256 FROM migrations');
  const applied = new Map(rows.map((row) => [row.name, row.sha256]));
  const changed = migrations.filter(({ name, hash }) => applied.has(name) && applied.get(name) !== hash);
  if (changed.length > 0)
    throw new Error(
      `Migrations have changed since they were applied: ${changed.map(({ name }) => name).join(', ')}. ` +
        'Restore these files, and put the change into a new file.',
    );
  return new Set(applied.keys());
}

async function withClient<T>(
  options: { url: string; schema: string; statementTimeoutMs: number; lockTimeoutMs: number },
  work: (client: Client) => Promise<T>,
): Promise<T> {
  const client = new Client(clientConfig({ ...options, applicationName: 'caudal-migrate' }));
  client.on('error', () => {});
  await client.connect().catch((error: unknown) => {
    throw unavailable('PostgreSQL', error);
  });
  try {
    return await work(client);
  } catch (error) {
    throw asCallersError(error);
  } finally {
    await client.end().catch(() => {});
  }
}

/**
 * Applies the missing migrations and returns their names, `<set>/<file>`. Creates the schema. Many processes may call
 * it at once; a repeat does nothing. Throws, before it changes anything, if an applied file has changed. UNAVAILABLE if
 * the server can't be reached.
 */
export async function migrate(options: { url: string; schema: string; sets: MigrationSet[] }): Promise<string[]> {
  const migrations = (await Promise.all(options.sets.map(readSet))).flat();
  const limits = { statementTimeoutMs: 600_000, lockTimeoutMs: 60_000 };
  return withClient({ ...options, ...limits }, (client) => migrateWith(client, options.schema, migrations));
}

/** The names of the migrations that `migrate` would apply. Changes nothing. Errors: those of `migrate`. */
export async function pendingMigrations(options: {
  url: string;
  schema: string;
  sets: MigrationSet[];
}): Promise<string[]> {
  const migrations = (await Promise.all(options.sets.map(readSet))).flat();
  return withClient({ ...options, statementTimeoutMs: 10_000, lockTimeoutMs: 5_000 }, async (client) => {
    const { rows } = await client.query<{ there: boolean }>('SELECT to_regclass($1) IS NOT NULL AS there', [
      `${quotedSchema(options.schema)}.migrations`,
    ]);
    const applied = rows[0]!.there ? await readApplied(client, migrations) : new Set();
    return migrations.filter(({ name }) => !applied.has(name)).map(({ name }) => name);
  });
}
