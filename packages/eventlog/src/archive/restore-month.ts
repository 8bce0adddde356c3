/** Puts an archived month back into the database. docs/archive.md, Restore. It is run again if it was interrupted. */
import type { Database, Transaction } from '@caudal/postgres/database.ts';
import { logger } from '@caudal/telemetry/log.ts';
import type { Archive } from './archive.ts';
import { selectArchived } from './archive-months.ts';
import { readFrames } from './export-month.ts';
import type { ArchivedEvent } from './line.ts';
import { type Manifest, manifestName, parseManifest } from './manifest.ts';
import { readByPosition, suffixOf } from './months.ts';
import { openSequence } from './sequence.ts';

const log = logger('eventlog');

export interface RestoreOptions {
  /** `transaction` commits only while the run holds the lease of the job that archives months. */
  database: Pick<Database, 'query' | 'transaction'>;
  archive: Archive;
  domain: string;
  /** `2024-03` */
  month: string;
  /** How long the job leaves it alone. */
  days: number;
  signal: AbortSignal;
  onProgress?(progress: { done: number; total: number }): void;
}

/** Returns the number of events; undefined if the month is not archived. Throws if the archive has not what was written there. */
export async function restoreMonth(options: RestoreOptions): Promise<number | undefined> {
  const { database, archive, domain, month, days, signal } = options;
  const row = await selectArchived(database, month);
  if (!row) return undefined;
  const bytes = await readAll(archive.store.get(manifestName(row.path), signal));
  const manifest = parseManifest(bytes, row);
  const firstDay = `${month}-01`;
  const table = `events_${suffixOf(month)}`;

  await database.transaction(async (tx) => {
    await tx.query({
      text: `INSERT INTO restored_months VALUES ($1, log_clock() + $2 * interval '1 day')
        ON CONFLICT (month) DO UPDATE SET until = excluded.until`,
      values: [firstDay, days],
    });
    await tx.query({
      text: `CREATE TABLE IF NOT EXISTS ${table} (LIKE events INCLUDING ALL, UNIQUE (position), UNIQUE (stream, version))
        WITH (autovacuum_freeze_min_age = 0)`,
    });
  });
  await fill(options, manifest, table);
  const sequence = openSequence('position', { month, after: manifest.after, end: manifest.after + manifest.events });
  for await (const page of readByPosition(database, month)) {
    signal.throwIfAborted();
    for (const event of page) sequence.take(event);
  }
  if (sequence.end().digest !== row.digest)
    throw new Error(`${table} differs from what was archived: drop that table and run this again.`);

  await database.transaction(async (tx) => {
    await tx.query({
      text: "SELECT pg_advisory_xact_lock(hashtextextended('caudal.partitions.' || current_schema(), 0))",
    });
    await attach(tx, table, firstDay);
    await tx.query({ text: 'SELECT make_month_functions(month_suffix($1::date))', values: [firstDay] });
    await tx.query({ text: 'DELETE FROM archived_months WHERE month = $1', values: [firstDay] });
  });
  log.info({ domain, month, events: manifest.events, days }, 'a month was put back into the database');
  return manifest.events;
}

async function readAll(content: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of content) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** Fills the table behind the last position that is there, a frame in a transaction. */
async function fill({ database, archive, signal, onProgress }: RestoreOptions, manifest: Manifest, table: string) {
  const [there] = await database.query<{ last: number | null }>({ text: `SELECT max(position) AS last FROM ${table}` });
  let last = there!.last ?? manifest.after;
  if (last === manifest.after + manifest.events) return;
  for await (const { lines } of readFrames(archive.store, manifest.byPosition, signal)) {
    signal.throwIfAborted();
    const events = lines.filter(({ position }) => position > last);
    if (events.length === 0) continue;
    await database.transaction((tx) => insert(tx, table, events));
    last = events.at(-1)!.position;
    onProgress?.({ done: last - manifest.after, total: manifest.events });
  }
}

async function insert(tx: Transaction, table: string, events: ArchivedEvent[]): Promise<void> {
  const of = <K extends keyof ArchivedEvent>(key: K) => events.map((event) => event[key]);
  await tx.query({
    text: `INSERT INTO ${table} (position, recorded_at, version, schema_version, event_id, stream, type, metadata, data)
      SELECT position, recorded_at, version, schema_version, event_id, stream, type, decode(metadata, 'base64'), decode(data, 'base64')
      FROM unnest($1::bigint[], $2::timestamptz[], $3::int[], $4::int[], $5::uuid[], $6::text[], $7::text[], $8::text[], $9::text[])
        AS e(position, recorded_at, version, schema_version, event_id, stream, type, metadata, data)`,
    values: [
      of('position'),
      of('recordedAt'),
      of('version'),
      of('schemaVersion'),
      of('eventId'),
      of('stream'),
      of('type'),
      of('metadata'),
      of('data'),
    ],
  });
}

/** Makes the table a partition again, unless it still is one. */
async function attach(tx: Transaction, table: string, firstDay: string): Promise<void> {
  const [row] = await tx.query<{ attached: boolean; lower: string; upper: string }>({
    text: `SELECT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass($1)) AS attached,
      $2::date || ' 00:00:00+00' AS lower, ($2::date + interval '1 month')::date || ' 00:00:00+00' AS upper`,
    values: [table, firstDay],
  });
  if (row!.attached) return;
  await tx.query({
    text: `ALTER TABLE events ATTACH PARTITION ${table} FOR VALUES FROM ('${row!.lower}') TO ('${row!.upper}')`,
  });
}
