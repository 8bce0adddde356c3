/** The tables of months: taken from the partitioned table and put back, without a lock that others wait for. */
import { type Database, openDatabase, type Transaction } from '@caudal/postgres/database.ts';
import { firstDay, suffixOf } from './months.ts';

/** How long statements wait for transactions that use the table. */
const lockTimeoutMs = 1_000;

export const tableOf = (month: string): string => `events_${suffixOf(month)}`;

/** From now on statements of the transaction wait a second for locks at most. */
export async function waitBriefly(tx: Transaction): Promise<void> {
  await tx.query({ text: `SET LOCAL lock_timeout = ${lockTimeoutMs}` });
}

/** Until the transaction ends nobody else makes partitions, or functions of months. */
export async function lockPartitions(tx: Transaction): Promise<void> {
  await waitBriefly(tx);
  await tx.query({
    text: "SELECT pg_advisory_xact_lock(hashtextextended('caudal.partitions.' || current_schema(), 0))",
  });
}

interface Place {
  attached: boolean;
  /** Its detaching was interrupted. */
  pending: boolean;
}

async function placeOf(db: Transaction, table: string): Promise<Place> {
  const [row] = await db.query<{ pending: boolean }>({
    text: 'SELECT inhdetachpending AS pending FROM pg_inherits WHERE inhrelid = to_regclass($1)',
    values: [table],
  });
  return { attached: row !== undefined, pending: row?.pending ?? false };
}

interface Plain {
  url: string;
  schema: string;
}

/** A connection of its own, for what can't be done in a transaction. */
async function onPlain<T>({ url, schema }: Plain, work: (db: Database) => Promise<T>): Promise<T> {
  const db = openDatabase({ url, schema, poolSize: 1, lockTimeoutMs, applicationName: 'caudal-archive' });
  try {
    return await work(db);
  } finally {
    await db.close();
  }
}

/** Takes the table out of the partitioned one, which stops nobody and waits for older transactions. A busy error if that takes long. */
export function detach(plain: Plain, table: string): Promise<void> {
  return onPlain(plain, async (db) => {
    const { attached, pending } = await placeOf(db, table);
    if (!attached) return;
    await db.query({ text: `ALTER TABLE events DETACH PARTITION ${table} ${pending ? 'FINALIZE' : 'CONCURRENTLY'}` });
  });
}

/** The month's first moment, and the next month's, in UTC. */
function boundsOf(month: string): { lower: string; upper: string } {
  const [year, number] = month.split('-').map(Number) as [number, number];
  const next = new Date(Date.UTC(year, number)).toISOString().slice(0, 10);
  return { lower: `'${firstDay(month)} 00:00:00+00'`, upper: `'${next} 00:00:00+00'` };
}

/** Makes the month's table, alone, if it is not there. Its check makes attaching it quick: PostgreSQL need not read it then. */
export async function makeTable(tx: Transaction, month: string): Promise<void> {
  const table = tableOf(month);
  const { lower, upper } = boundsOf(month);
  await tx.query({
    text: `CREATE TABLE IF NOT EXISTS ${table} (LIKE events INCLUDING ALL, UNIQUE (position), UNIQUE (stream, version),
      CONSTRAINT ${table}_month CHECK (recorded_at IS NOT NULL AND recorded_at >= ${lower} AND recorded_at < ${upper}))
      WITH (autovacuum_freeze_min_age = 0)`,
  });
  await tx.query({ text: 'SELECT grant_on($1)', values: [table] });
}

/** Makes the table a partition again. Nobody waits for it but who makes or detaches partitions. */
export async function attach(
  plain: Plain,
  database: Pick<Database, 'query' | 'transaction'>,
  month: string,
): Promise<void> {
  const table = tableOf(month);
  if ((await placeOf(database, table)).pending) await detach(plain, table);
  if ((await placeOf(database, table)).attached) return;
  const { lower, upper } = boundsOf(month);
  await database.transaction(async (tx) => {
    await waitBriefly(tx);
    await tx.query({
      text: `ALTER TABLE events ATTACH PARTITION ${table} FOR VALUES FROM (${lower}) TO (${upper})`,
    });
  });
}

/**
 * Ends what an interrupted run has left: a detaching that is pending, of which PostgreSQL allows one, and tables of months that are read in
 * the database, but are no partitions. A busy error if that has to wait.
 */
export async function tidyPartitions(options: {
  database: Pick<Database, 'query' | 'transaction'>;
  plain: Plain;
}): Promise<void> {
  const { database, plain } = options;
  const pending = await database.query<{ name: string }>({
    text: `SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
      WHERE i.inhparent = 'events'::regclass AND i.inhdetachpending`,
  });
  for (const { name } of pending) await detach(plain, name);
  const alone = await database.query<{ month: string }>({
    text: `SELECT to_char(m.month, 'YYYY-MM') AS month FROM months m
      JOIN pg_class c ON c.oid = to_regclass(current_schema() || '.events_' || month_suffix(m.month))
      WHERE NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid)
        AND NOT EXISTS (SELECT FROM archived_months a WHERE a.month = m.month)`,
  });
  for (const { month } of alone) await attach(plain, database, month);
}
