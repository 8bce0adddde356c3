/**
 * Sorted lines as zstd frames that can be read one by one, with two levels of index: an entry for each frame, these in frames
 * too, and an entry for each of those. See docs/archive.md, What is in the archive.
 */
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { constants, zstdCompress, zstdDecompress } from 'node:zlib';

const compressed = promisify(zstdCompress);
const decompressed = promisify(zstdDecompress);

/** A frame holds lines up to the first that makes it this long. */
const frameBytes = 256 * 1024;
const entriesAFrame = 1_000;
/** The longest text of a frame that is believed: an event can be far larger than a frame, but not than this. */
const longestText = 256 * 2 ** 20;

/** What the lines of a file are sorted by: a position; a stream and a version. All keys of a file have the same parts. */
export type Key = readonly (string | number)[];

export interface Line {
  key: Key;
  text: string;
}

/** Where a frame is, and the key of its first line. */
export interface Frame {
  first: Key;
  offset: number;
  length: number;
  /** Of its bytes: what is read is what was verified. The manifest's own hash is in the database. */
  hash: string;
}

/** Compares keys as the database does: names by their bytes. */
export function compareKeys(a: Key, b: Key): number {
  for (const [n, part] of a.entries()) {
    const other = b[n]!;
    if (part === other) continue;
    if (typeof part === 'number') return part - (other as number);
    return Buffer.compare(Buffer.from(part), Buffer.from(other as string));
  }
  return 0;
}

const compress = (text: string): Promise<Buffer> =>
  compressed(text, { params: { [constants.ZSTD_c_compressionLevel]: 3, [constants.ZSTD_c_checksumFlag]: 1 } });

const hashOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('base64url');

/** The text of a frame. Throws if it is not what was written. */
export async function readFrame(bytes: Uint8Array, { offset, length, hash }: Frame): Promise<string> {
  if (bytes.length !== length || hashOf(bytes) !== hash)
    throw new Error(`The ${length} bytes at ${offset} are not those that were written.`);
  return (await decompressed(bytes, { maxOutputLength: longestText })).toString();
}

/** Cuts lines into frames and compresses them. `onFrame` learns of each before it is given on. */
export async function* toFrames(
  lines: AsyncIterable<Line>,
  onFrame: (frame: Frame) => Promise<void>,
): AsyncIterable<Buffer> {
  let offset = 0;
  let first: Key | undefined;
  let texts: string[] = [];
  let size = 0;
  const cut = async (): Promise<Buffer> => {
    const bytes = await compress(texts.join(''));
    await onFrame({ first: first!, offset, length: bytes.length, hash: hashOf(bytes) });
    offset += bytes.length;
    [first, texts, size] = [undefined, [], 0];
    return bytes;
  };
  for await (const { key, text } of lines) {
    first ??= key;
    texts.push(text);
    size += text.length;
    if (size >= frameBytes) yield await cut();
  }
  if (texts.length > 0) yield await cut();
}

/** Gathers the entries of a file's frames as the frames of its index. In memory are the compressed ones. */
export function openIndex() {
  const frames: Frame[] = [];
  const pieces: Buffer[] = [];
  let entries: Frame[] = [];
  let offset = 0;
  const cut = async () => {
    if (entries.length === 0) return;
    const bytes = await compress(entries.map((entry) => `${JSON.stringify(entry)}\n`).join(''));
    frames.push({ first: entries[0]!.first, offset, length: bytes.length, hash: hashOf(bytes) });
    pieces.push(bytes);
    offset += bytes.length;
    entries = [];
  };
  return {
    async add(frame: Frame): Promise<void> {
      entries.push(frame);
      if (entries.length >= entriesAFrame) await cut();
    },
    /** The index as an object, and where its own frames are. */
    async end(): Promise<{ pieces: Buffer[]; frames: Frame[]; bytes: number }> {
      await cut();
      return { pieces, frames, bytes: offset };
    },
  };
}

/** The entries in a frame of an index. */
export function parseEntries(text: string): Frame[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Frame);
}

/** The place of the last frame that begins at the key or before; -1 if all begin after it. */
export function lastAtOrBefore(frames: Frame[], key: Key): number {
  let low = 0;
  let high = frames.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareKeys(frames[middle]!.first, key) <= 0) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
