/** Writes the files of a month into the archive, and reads them back. Steps 1 and 2 of docs/archive.md. */
import type { ArchiveStore } from '@caudal/archive-store/types.ts';
import type { Transaction } from '@caudal/postgres/database.ts';
import { compareKeys, type Frame, type Line } from './frames.ts';
import { type ArchivedEvent, parseLines, toLine } from './line.ts';
import { hashOf, type Manifest, manifestName } from './manifest.ts';
import { readByPosition, readByStream } from './months.ts';
import { paced } from './paced.ts';
import { type Extent, keyOf, type Order, openSequence } from './sequence.ts';
import { bytesOf, pieces, readTexts, type SortedFile, writeSortedFile } from './sorted-file.ts';

export interface ExportOptions {
  /** For reading the month's table. */
  database: Transaction;
  store: ArchiveStore;
  domain: string;
  extent: Extent;
  /** The start of the names of its objects, which nobody else has. */
  path: string;
  signal: AbortSignal;
}

const streamsABatch = 1_000;

/** What is in the archive of a month, not verified yet. */
export interface ExportedMonth {
  path: string;
  manifest: Manifest;
  /** Of the manifest. */
  hash: Buffer;
  /** Of all objects. */
  bytes: number;
}

/** Writes all objects of a month, the manifest last. Throws if its table is not whole, or the store fails. */
export async function exportMonth(options: ExportOptions): Promise<ExportedMonth> {
  const { store, domain, extent, path, signal } = options;
  const [positions, streams] = [await writeFile(options, 'position'), await writeFile(options, 'stream')];
  if (positions.digest !== streams.digest)
    throw new Error(
      `The events of ${extent.month} were not the same when they were read again: is the table being changed?`,
    );
  const { events, digest, file: byPosition } = positions;
  const { month, after } = extent;
  const manifest: Manifest = { format: 1, domain, month, after, events, digest, byPosition, byStream: streams.file };
  const text = Buffer.from(JSON.stringify(manifest, null, 1));
  await store.put(manifestName(path), pieces([text]), signal);
  const bytes = text.length + bytesOf([byPosition, manifest.byStream]);
  return { path, manifest, hash: hashOf(text), bytes };
}

async function writeFile({ database, store, extent, path, signal }: ExportOptions, order: Order) {
  const sequence = openSequence(order, extent);
  const read = order === 'position' ? readByPosition : readByStream;
  async function* lines(): AsyncIterable<Line> {
    for await (const page of paced(read(database, extent.month), signal))
      for (const event of page) {
        sequence.take(event);
        yield { key: keyOf(order, event), text: toLine(event, { readable: order === 'position' }) };
      }
  }
  const file = await writeSortedFile(store, { name: `${path}/by-${order}`, lines: lines(), signal });
  return { ...sequence.end(), file };
}

/** The first and last version of a stream in a month. */
export interface StreamEnd {
  stream: string;
  first: number;
  last: number;
}

/**
 * Reads both files back, whole. Throws if anything differs from the manifest, or the index from the file. `onStreams` learns of all
 * streams of the month, in batches.
 */
export async function verifyMonth(
  store: ArchiveStore,
  { month, after, events, digest, byPosition, byStream }: Manifest,
  signal: AbortSignal,
  onStreams: (ends: StreamEnd[]) => Promise<void>,
): Promise<void> {
  let ends: StreamEnd[] = [];
  const extent = { month, after, end: after + events };
  for (const [order, file] of [
    ['position', byPosition],
    ['stream', byStream],
  ] as const) {
    const sequence = openSequence(order, extent);
    for await (const { frame, lines } of paced(readFrames(store, file, signal), signal)) {
      if (compareKeys(frame.first, keyOf(order, lines[0]!)) !== 0)
        throw new Error(`The index of "${file.object}" is wrong about the frame at ${frame.offset}.`);
      for (const event of lines) {
        sequence.take(event);
        if (order === 'position') continue;
        const { stream, version } = event;
        const end = ends.at(-1);
        if (end?.stream === stream) end.last = version;
        else ends.push({ stream, first: version, last: version });
      }
      if (ends.length > streamsABatch) {
        // The last one may go on.
        await onStreams(ends.slice(0, -1));
        ends = ends.slice(-1);
      }
    }
    if (sequence.end().digest !== digest) throw new Error(`"${file.object}" differs from what was written there.`);
  }
  await onStreams(ends);
}

/** The events of a file from its beginning, frame by frame. */
export async function* readFrames(
  store: ArchiveStore,
  file: SortedFile,
  signal: AbortSignal,
): AsyncIterable<{ frame: Frame; lines: ArchivedEvent[] }> {
  for await (const { frame, text } of readTexts(store, file, signal)) yield { frame, lines: parseLines(text) };
}
