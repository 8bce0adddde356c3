/** Puts an archived month back into the database. docs/archive.md, Restore. It is run again if it was interrupted. */
import type { Database, Transaction } from '@caudal/postgres/database.ts';
import { logger } from '@caudal/telemetry/log.ts';
import type { Archive } from './archive.ts';
import { readFrames } from './export-month.ts';
import type { ArchivedEvent } from './line.ts';
import { type Manifest, manifestName, parseManifest } from './manifest.ts';
import { type ArchivedMonth, firstDay, readByPosition, selectArchived } from './months.ts';
import { attach, lockPartitions, makeTable, tableOf } from './partitions.ts';
import { type Extent, openSequence } from './sequence.ts';

const log = logger('eventlog');

/** Written in one transaction, and more by at most a frame. */
const eventsAtATime = 4_000;
const bytesAtATime = 16 * 2 ** 20;

export interface RestoreOptions {
  /** `transaction` commits only while the run holds the lease of the job that archives months. */
  database: Pick<Database, 'query' | 'transaction'>;
  /** Where the log is, for what can't be done in a transaction. */
  plain: { url: string; schema: string };
  archive: Archive;
  domain: string;
  /** `2024-03` */
  month: string;
  /** How long the job leaves it alone. */
  days: number;
  signal: AbortSignal;
  onProgress?(progress: { done: number; total: number }): void;
}

/**
 * Returns the number of events; undefined if the month is not archived. If its table is still there, the archive is not needed. Throws
 * if the archive has not what was written there.
 */
export async function restoreMonth(options: RestoreOptions): Promise<number | undefined> {
  const { database, plain, domain, month, days } = options;
  const row = await selectArchived(database, month);
  if (!row) return undefined;
  await database.transaction(async (tx) => {
    await tx.query({
      text: `INSERT INTO restored_months VALUES ($1, log_clock() + $2 * interval '1 day')
        ON CONFLICT (month) DO UPDATE SET until = excluded.until`,
      values: [firstDay(month), days],
    });
    await makeTable(tx, month);
  });
  const [{ after }] = (await database.query<{ after: number }>({
    text: 'SELECT after FROM months WHERE month = $1',
    values: [firstDay(month)],
  })) as [{ after: number }];
  const extent = { month, after, end: after + row.events };
  await fill(options, row, extent);
  if ((await digestOf(options, extent)) !== row.digest)
    throw new Error(`${tableOf(month)} differs from what was archived: drop that table and run this again.`);
  await attach(plain, database, month);
  await database.transaction(async (tx) => {
    await lockPartitions(tx);
    await tx.query({
      text: `WITH former AS (DELETE FROM archived_months WHERE month = $1 RETURNING path, month, archive, bytes)
        INSERT INTO former_archives (path, month, archive, bytes) SELECT * FROM former`,
      values: [firstDay(month)],
    });
    await tx.query({ text: 'SELECT make_month_functions(month_suffix($1::date))', values: [firstDay(month)] });
  });
  log.info({ domain, month, events: row.events, days }, 'a month was put back into the database');
  return row.events;
}

/** The digest of the month's table. Throws if it is not whole. */
async function digestOf({ database, month, signal }: RestoreOptions, extent: Extent): Promise<string> {
  const sequence = openSequence('position', extent);
  for await (const page of readByPosition(database, month)) {
    signal.throwIfAborted();
    for (const event of page) sequence.take(event);
  }
  return sequence.end().digest;
}

async function readAll(content: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of content) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** Fills the table behind the last position that is there, some frames in a transaction. Nothing is read if all are there. */
async function fill(
  { database, archive, month, signal, onProgress }: RestoreOptions,
  row: ArchivedMonth,
  { after, end }: Extent,
): Promise<void> {
  const table = tableOf(month);
  const [there] = await database.query<{ last: number | null }>({ text: `SELECT max(position) AS last FROM ${table}` });
  let last = there!.last ?? after;
  if (last >= end) return;
  const manifest = parseManifest<Manifest>(await readAll(archive.store.get(manifestName(row.path), signal)), row);
  let gathered: ArchivedEvent[] = [];
  let bytes = 0;
  const write = async () => {
    if (gathered.length === 0) return;
    await database.transaction((tx) => insert(tx, table, gathered));
    last = gathered.at(-1)!.position;
    gathered = [];
    bytes = 0;
    onProgress?.({ done: last - after, total: end - after });
  };
  for await (const { lines } of readFrames(archive.store, manifest.byPosition, signal)) {
    signal.throwIfAborted();
    for (const event of lines) {
      if (event.position <= last) continue;
      gathered.push(event);
      bytes += event.metadata.length + event.data.length;
    }
    if (gathered.length >= eventsAtATime || bytes >= bytesAtATime) await write();
  }
  await write();
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
