/** Writes the files of a month into the archive, and reads them back. Steps 1 and 2 of docs/archive.md. */
import type { ArchiveStore } from '@caudal/archive-store/types.ts';
import { sleep } from '@caudal/kernel/time.ts';
import type { Transaction } from '@caudal/postgres/database.ts';
import { compareKeys, type Frame, type Line, openIndex, parseEntries, readFrame, toFrames } from './frames.ts';
import { type ArchivedEvent, parseLines, toLine } from './line.ts';
import { hashOf, type Manifest, type MonthFile, manifestName } from './manifest.ts';
import { readByPosition, readByStream } from './months.ts';
import { type Extent, keyOf, type Order, openSequence } from './sequence.ts';

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

const maxPauseMs = 20;
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
  const files = [manifest.byPosition, manifest.byStream];
  const bytes = files.reduce((sum, file) => sum + file.bytes + file.index.bytes, text.length);
  return { path, manifest, hash: hashOf(text), bytes };
}

async function* pieces(of: Buffer[]): AsyncIterable<Buffer> {
  yield* of;
}

async function writeFile({ database, store, extent, path, signal }: ExportOptions, order: Order) {
  const sequence = openSequence(order, extent);
  const index = openIndex();
  let bytes = 0;
  const read = order === 'position' ? readByPosition : readByStream;
  let began = performance.now();
  async function* lines(): AsyncIterable<Line> {
    for await (const page of read(database, extent.month)) {
      signal.throwIfAborted();
      for (const event of page) {
        sequence.take(event);
        yield { key: keyOf(order, event), text: toLine(event, { readable: order === 'position' }) };
      }
      // A page is some milliseconds of work. As much time is left to others, also in the database.
      await sleep(Math.min(maxPauseMs, performance.now() - began), signal);
      began = performance.now();
    }
  }
  const frames = toFrames(lines(), async (frame) => {
    bytes = frame.offset + frame.length;
    await index.add(frame);
  });
  const object = `${path}/by-${order}.ndjson.zst`;
  await store.put(object, frames, signal);
  const { pieces: indexPieces, frames: indexFrames, bytes: indexBytes } = await index.end();
  const indexObject = `${path}/by-${order}.index.zst`;
  await store.put(indexObject, pieces(indexPieces), signal);
  const file: MonthFile = { object, bytes, index: { object: indexObject, bytes: indexBytes, frames: indexFrames } };
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
    let began = performance.now();
    for await (const { frame, lines } of readFrames(store, file, signal)) {
      signal.throwIfAborted();
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
      // As when it was written: as much time is left to others.
      await sleep(Math.min(maxPauseMs, performance.now() - began), signal);
      began = performance.now();
    }
    if (sequence.end().digest !== digest) throw new Error(`"${file.object}" differs from what was written there.`);
  }
  await onStreams(ends);
}

/** The frames of a file from its beginning, as its index says. The file is read in one request. */
export async function* readFrames(
  store: ArchiveStore,
  file: MonthFile,
  signal: AbortSignal,
): AsyncIterable<{ frame: Frame; lines: ArchivedEvent[] }> {
  let rest: Buffer = Buffer.alloc(0);
  let at = 0;
  const content = store.get(file.object, signal)[Symbol.asyncIterator]();
  try {
    for (const part of file.index.frames) {
      const entries = await store.getRange(file.index.object, part, signal);
      for (const frame of parseEntries(await readFrame(entries, part))) {
        if (frame.offset !== at) throw new Error(`The index of "${file.object}" has a gap at ${at}.`);
        const gathered = [rest];
        for (let size = rest.length; size < frame.length; ) {
          const { value, done } = await content.next();
          if (done) throw new Error(`"${file.object}" ends too early.`);
          gathered.push(Buffer.from(value));
          size += value.length;
        }
        const all = Buffer.concat(gathered);
        yield { frame, lines: parseLines(await readFrame(all.subarray(0, frame.length), frame)) };
        rest = all.subarray(frame.length);
        at += frame.length;
      }
    }
    if (at !== file.bytes || rest.length > 0 || !(await content.next()).done)
      throw new Error(`"${file.object}" is longer than its index says.`);
  } finally {
    await content.return?.();
  }
}
