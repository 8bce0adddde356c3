/**
 * Brings a schema up to date: runs each package's .sql files once, in order, also if several processes do so at once.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { unavailable } from '@caudal/kernel/errors.ts';
import { type Backoff, backoffMs, sleep } from '@caudal/kernel/time.ts';
import { Client } from 'pg';
import { clientConfig, quotedSchema } from './connection.ts';
import type { Statement } from './database.ts';
import { asCallersError, sqlState } from './errors.ts';

export interface MigrationSet {
  /** The package that they belong to: `eventlog`. */
  name: string;
  /** The folder of its `.sql` files; they run in the order of their names. */
  directory: URL;
}

/**
 * How a file is run, by its first line. Without one of these: once, in a transaction with its record.
 *
 *     -- run: in steps           again and again, each time in a transaction, until its last statement returns `done`
 *     -- run: with short locks   it waits for a lock only briefly, so that nothing queues behind it, and is tried again
 */
type Manner = 'once' | 'in steps' | 'with short locks';

interface Migration {
  name: string;
  sql: string;
  hash: string;
  manner: Manner;
}

/** How long a file that runs with short locks waits for each, and for how long it is tried again. */
const shortLockMs = 100;
const defaultRetryLocksForMs = 600_000;
const lockPauses: Backoff = { firstMs: 250, maxMs: 2_000 };
const lockNotAvailable = '55P03';

function mannerOf(name: string, sql: string): Manner {
  const stated = /^-- run: (.*)/.exec(sql)?.[1];
  if (stated === undefined) return 'once';
  if (stated === 'in steps' || stated === 'with short locks') return stated;
  throw new Error(`${name} says "-- run: ${stated}": write "in steps" or "with short locks"`);
}

async function readSet({ name, directory }: MigrationSet): Promise<Migration[]> {
  const files = (await readdir(directory)).filter((file) => file.endsWith('.sql')).sort();
  return Promise.all(
    files.map(async (file) => {
      const sql = await readFile(new URL(file, directory), 'utf8');
      const hash = createHash('sha256').update(sql).digest('hex');
      return { name: `${name}/${file}`, sql, hash, manner: mannerOf(`${name}/${file}`, sql) };
    }),
  );
}

/** Runs a file in a transaction, and records it in the same one, unless a step says that there are more. */
async function run(client: Client, { name, sql, hash, manner }: Migration): Promise<{ done: boolean }> {
  await client.query('BEGIN');
  try {
    if (manner === 'with short locks') await client.query(`SET LOCAL lock_timeout = ${shortLockMs}`);
    // One result for each statement of the file.
    const results = [await client.query(sql)].flat();
    const done = manner !== 'in steps' || results.at(-1)?.rows[0]?.done === true;
    if (done) await client.query('INSERT INTO migrations (name, sha256) VALUES ($1, $2)', [name, hash]);
    await client.query('COMMIT');
    return { done };
  } catch (error) {
    // Ends the transaction. If the connection is lost, the server has ended it.
    await client.query('ROLLBACK').catch(() => {});
    throw error;
  }
}

/** Runs a file in its manner. After a crash it and its record are done or not; steps that were done stay. */
async function apply(client: Client, migration: Migration, retryLocksForMs: number): Promise<void> {
  const giveUpAt = performance.now() + retryLocksForMs;
  for (let attempt = 1; ; attempt++) {
    try {
      if ((await run(client, migration)).done) return;
    } catch (error) {
      const isLocked = migration.manner === 'with short locks' && sqlState(error) === lockNotAvailable;
      if (!isLocked || performance.now() >= giveUpAt) throw isLocked ? locked(migration.name, error) : error;
      await sleep(backoffMs(attempt, lockPauses));
    }
  }
}

function locked(name: string, cause: unknown): Error {
  const message =
    `${name} was not applied: other sessions have held a lock on its tables all the time, such as a dump. ` +
    'Nothing has changed. Run the migration again when they have ended; pg_locks and pg_stat_activity show them.';
  return new Error(message, { cause });
}

const limits = { statementTimeoutMs: 600_000, lockTimeoutMs: 60_000 };

async function migrateWith(
  client: Client,
  options: { schema: string; migrations: Migration[]; retryLocksForMs: number; atEnd: Statement | undefined },
): Promise<string[]> {
  const { schema, migrations, retryLocksForMs, atEnd } = options;
  // Held until the connection ends. A second process waits, as long as a statement may take, then finds all done.
  await client.query('SET lock_timeout = 0');
  await client.query("SELECT pg_advisory_lock(hashtextextended('caudal.migrate.' || $1, 0))", [schema]);
  await client.query(`SET lock_timeout = ${limits.lockTimeoutMs}`);
  await client.query(`CREATE SCHEMA IF NOT EXISTS ${quotedSchema(schema)}`);
  await client.query(`CREATE TABLE IF NOT EXISTS migrations (
    name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())`);
  const applied = await readApplied(client, migrations);
  const todo = migrations.filter(({ name }) => !applied.has(name));
  for (const migration of todo) await apply(client, migration, retryLocksForMs);
  if (atEnd) await client.query(atEnd);
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
export async function migrate(options: {
  url: string;
  schema: string;
  sets: MigrationSet[];
  /** For how long a file that runs with short locks is tried again; 600,000 ms if absent. */
  retryLocksForMs?: number;
  /** Run at the end of each call, also if nothing was missing: it must be safe to repeat. */
  atEnd?: Statement;
}): Promise<string[]> {
  const { schema, retryLocksForMs = defaultRetryLocksForMs, atEnd } = options;
  const migrations = (await Promise.all(options.sets.map(readSet))).flat();
  return withClient({ ...options, ...limits }, (client) =>
    migrateWith(client, { schema, migrations, retryLocksForMs, atEnd }),
  );
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
