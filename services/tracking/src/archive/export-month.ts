/** Writes a month of traces into the archive, and reads it back. Steps 1 and 2 of docs/tracking-archive.md. */
import type { ArchiveStore } from '@caudal/archive-store/types.ts';
import { compareKeys, type Line } from '@caudal/eventlog/archive/frames.ts';
import { hashOf, manifestName } from '@caudal/eventlog/archive/manifest.ts';
import { paced } from '@caudal/eventlog/archive/paced.ts';
import { bytesOf, pieces, readTexts, type SortedFile, writeSortedFile } from '@caudal/eventlog/archive/sorted-file.ts';
import type { Transaction } from '@caudal/postgres/database.ts';
import { type ArchivedTrace, keyOf, openSequence, parseTraces, toLine } from './line.ts';

/** What says where the month's traces are. */
export interface TraceManifest {
  format: 1;
  domain: 'tracking';
  kind: 'traces';
  /** `2023-03` */
  month: string;
  part: number;
  traces: number;
  parcels: number;
  /** The sum of the traces' hashes. */
  digest: string;
  byParcel: SortedFile;
}

export interface ExportedTraces {
  path: string;
  manifest: TraceManifest;
  /** Of the manifest. */
  hash: Buffer;
  /** Of all objects. */
  bytes: number;
}

interface ExportOptions {
  database: Transaction;
  store: ArchiveStore;
  /** The partition. */
  table: string;
  month: string;
  part: number;
  /** The start of the names of its objects, which nobody else has. */
  path: string;
  signal: AbortSignal;
}

/** Traces of a page: some kilobytes each at most. */
const pageSize = 1_000;
const before = {
  parcel: '00000000-0000-0000-0000-000000000000',
  at: '-infinity',
  id: '00000000-0000-0000-0000-000000000000',
};

async function* readPartition(db: Transaction, table: string): AsyncIterable<ArchivedTrace[]> {
  for (let { parcel, at, id } = before; ; ) {
    const rows = await db.query<Omit<ArchivedTrace, 'body'> & { body: Buffer }>({
      text: `SELECT parcel::text, id::text, body, to_char(happened_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "happenedAt"
        FROM trace_month_page($1, $2, $3, $4, $5)`,
      values: [table, parcel, at, id, pageSize],
    });
    if (rows.length === 0) return;
    yield rows.map(({ body, ...rest }) => ({ ...rest, body: body.toString('base64') }));
    ({ parcel, happenedAt: at, id } = rows.at(-1)!);
  }
}

/** Writes all objects, the manifest last. Traces that are added meanwhile may be in them or not. */
export async function exportTraces(options: ExportOptions): Promise<ExportedTraces> {
  const { database, store, table, month, part, path, signal } = options;
  const sequence = openSequence(month);
  async function* lines(): AsyncIterable<Line> {
    for await (const page of paced(readPartition(database, table), signal))
      for (const trace of page) {
        sequence.take(trace);
        yield { key: keyOf(trace), text: toLine(trace) };
      }
  }
  const byParcel = await writeSortedFile(store, { name: `${path}/by-parcel`, lines: lines(), signal });
  const counts = sequence.end();
  const manifest: TraceManifest = { format: 1, domain: 'tracking', kind: 'traces', month, part, ...counts, byParcel };
  const text = Buffer.from(JSON.stringify(manifest, null, 1));
  await store.put(manifestName(path), pieces([text]), signal);
  return { path, manifest, hash: hashOf(text), bytes: text.length + bytesOf([byParcel]) };
}

/** Reads the file back, whole. Throws if anything differs from the manifest, or the index from the file. */
export async function verifyTraces(
  store: ArchiveStore,
  { month, traces, parcels, digest, byParcel }: TraceManifest,
  signal: AbortSignal,
): Promise<void> {
  const sequence = openSequence(month);
  for await (const { frame, text } of paced(readTexts(store, byParcel, signal), signal)) {
    const found = parseTraces(text);
    if (compareKeys(frame.first, keyOf(found[0]!)) !== 0)
      throw new Error(`The index of "${byParcel.object}" is wrong about the frame at ${frame.offset}.`);
    for (const trace of found) sequence.take(trace);
  }
  const there = sequence.end();
  if (there.digest !== digest || there.traces !== traces || there.parcels !== parcels)
    throw new Error(`"${byParcel.object}" differs from what was written there.`);
}
