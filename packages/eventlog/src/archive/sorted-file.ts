/** A file of sorted lines with its index, as two objects: written, read back whole, and checked. frames.ts has the format. */
import type { ArchiveStore } from '@caudal/archive-store/types.ts';
import { type Frame, type Line, openIndex, parseEntries, readFrame, toFrames } from './frames.ts';

/** Where a file is, and the frames of its index. */
export interface SortedFile {
  object: string;
  bytes: number;
  index: { object: string; bytes: number; frames: Frame[] };
}

/** The bytes of files with their indexes. */
export const bytesOf = (files: SortedFile[]): number =>
  files.reduce((sum, file) => sum + file.bytes + file.index.bytes, 0);

/** The content of an object that is in memory. */
export async function* pieces(of: Uint8Array[]): AsyncIterable<Uint8Array> {
  yield* of;
}

/** Writes the lines, which come in the order of their keys, to `<name>.ndjson.zst` and `<name>.index.zst`. */
export async function writeSortedFile(
  store: ArchiveStore,
  { name, lines, signal }: { name: string; lines: AsyncIterable<Line>; signal: AbortSignal },
): Promise<SortedFile> {
  const index = openIndex();
  let bytes = 0;
  const frames = toFrames(lines, async (frame) => {
    bytes = frame.offset + frame.length;
    await index.add(frame);
  });
  const object = `${name}.ndjson.zst`;
  await store.put(object, frames, signal);
  const { pieces: indexPieces, frames: indexFrames, bytes: indexBytes } = await index.end();
  const indexObject = `${name}.index.zst`;
  await store.put(indexObject, pieces(indexPieces), signal);
  return { object, bytes, index: { object: indexObject, bytes: indexBytes, frames: indexFrames } };
}

/**
 * The texts of the frames of a file from its beginning, as its index says. The file is read in one request. Throws if it is not what was
 * written.
 */
export async function* readTexts(
  store: ArchiveStore,
  file: SortedFile,
  signal: AbortSignal,
): AsyncIterable<{ frame: Frame; text: string }> {
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
        yield { frame, text: await readFrame(all.subarray(0, frame.length), frame) };
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

/** Throws unless all objects of the files are there with their sizes, and the end of each file can be read now. */
export async function checkFiles(
  store: ArchiveStore,
  { path, files, signal }: { path: string; files: SortedFile[]; signal: AbortSignal },
): Promise<void> {
  const there = new Map((await store.list(`${path}/`, signal)).map(({ name, bytes }) => [name, bytes]));
  for (const { object, bytes } of files.flatMap((file) => [file, file.index]))
    if (there.get(object) !== bytes)
      throw new Error(
        `"${object}" of ${bytes} bytes is not in the archive ${store.where} any more: restore that object.`,
      );
  // An object can be listed and yet not be read, in a class of storage that must be thawed first.
  for (const file of files) {
    const part = file.index.frames.at(-1)!;
    const last = parseEntries(await readFrame(await store.getRange(file.index.object, part, signal), part)).at(-1)!;
    await readFrame(await store.getRange(file.object, last, signal), last);
  }
}
