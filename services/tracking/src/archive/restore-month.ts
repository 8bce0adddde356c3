/** Puts a month of traces back into the database. docs/tracking-archive.md, Restore. It is run again if it was interrupted. */
import { type Archive, maybeCopy } from '@caudal/eventlog/archive/archive.ts';
import { longestManifest, manifestName, parseManifest } from '@caudal/eventlog/archive/manifest.ts';
import { readTexts } from '@caudal/eventlog/archive/sorted-file.ts';
import { byteaArray, textArray, uuidArray } from '@caudal/postgres/arrays.ts';
import type { Transaction } from '@caudal/postgres/database.ts';
import { logger } from '@caudal/telemetry/log.ts';
import type { OwnersDatabase } from './archive-months.ts';
import type { TraceManifest } from './export-month.ts';
import { type ArchivedTrace, parseTraces } from './line.ts';
import { type ArchivedPart, columnsOfPart, firstDay } from './months.ts';

const log = logger('trace-archive');

export interface RestoreTracesOptions {
  /** Of the tables' owner. `transaction` commits only while the run holds the lease of the job that archives. */
  database: OwnersDatabase;
  archive: Archive;
  /** `2023-03` */
  month: string;
  /** How long the job leaves it alone. */
  days: number;
  signal: AbortSignal;
  onProgress?(progress: { done: number; total: number }): void;
}

/** Returns the number of its archived traces; undefined if the month is not archived. Throws if the archive has not what was written there. */
export async function restoreTraces(options: RestoreTracesOptions): Promise<number | undefined> {
  const { database, archive, month, days, signal, onProgress } = options;
  const parts = await database.query<ArchivedPart & { traces: number }>({
    text: `SELECT ${columnsOfPart}, a.traces FROM archived_trace_months a WHERE a.month = $1 AND a.restored_at IS NULL ORDER BY a.part`,
    values: [firstDay(month)],
  });
  if (parts.length === 0) return undefined;
  await database.transaction(async (tx) => {
    await tx.query({
      text: `UPDATE archived_trace_months SET stays_until = clock_timestamp() + make_interval(days => $2)
        WHERE month = $1 AND restored_at IS NULL`,
      values: [firstDay(month), days],
    });
    await tx.query({ text: 'SELECT make_trace_partitions(ARRAY[$1::date])', values: [firstDay(month)] });
  });
  const total = parts.reduce((sum, { traces }) => sum + traces, 0);
  let done = 0;
  for (const part of parts)
    for await (const traces of readPart(archive, part, signal)) {
      signal.throwIfAborted();
      await database.transaction((tx) => insert(tx, traces));
      done += traces.length;
      onProgress?.({ done, total });
    }
  await database.transaction(async (tx) => {
    await tx.query({
      text: `UPDATE archived_trace_months SET restored_at = clock_timestamp()
        WHERE month = $1 AND part <= $2 AND restored_at IS NULL`,
      values: [firstDay(month), parts.at(-1)!.part],
    });
  });
  log.info({ month, traces: total, days }, 'a month of traces was put back into the database');
  return total;
}

/** The traces of a part, a frame at a time. */
async function* readPart({ store }: Archive, part: ArchivedPart, signal: AbortSignal): AsyncIterable<ArchivedTrace[]> {
  const range = { offset: 0, length: longestManifest };
  const text = await maybeCopy(store, part, store.getRange(manifestName(part.path), range, signal));
  const { byParcel } = parseManifest<TraceManifest>(text, part);
  for await (const frame of readTexts(store, byParcel, signal)) yield parseTraces(frame.text);
}

/** While it is in both, readers show a trace once. */
async function insert(tx: Transaction, traces: ArchivedTrace[]): Promise<void> {
  await tx.query({
    text: `INSERT INTO traces (parcel, id, happened_at, body)
      SELECT parcel, id, happened_at::timestamptz, body
      FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[]) t(parcel, id, happened_at, body) ON CONFLICT DO NOTHING`,
    values: [
      uuidArray(traces.map(({ parcel }) => parcel)),
      uuidArray(traces.map(({ id }) => id)),
      textArray(traces.map(({ happenedAt }) => happenedAt)),
      byteaArray(traces.map(({ body }) => Buffer.from(body, 'base64'))),
    ],
  });
}
