/** Looks lines up in sorted files of the archive. Frames, indexes and manifests that were read lately stay in memory, within a bound. */
import type { ArchiveStore } from '@caudal/archive-store/types.ts';
import { counter, histogram } from '@caudal/telemetry/metrics.ts';
import { LRUCache } from 'lru-cache';
import { compareKeys, type Frame, type Key, lastAtOrBefore, parseEntries, readFrame } from './frames.ts';
import { longestManifest, manifestName, parseManifest } from './manifest.ts';
import type { SortedFile } from './sorted-file.ts';

/** A file of one kind of lines. `parse` is the same for all files of the kind. */
export interface Lines<T> {
  file: SortedFile;
  /** The lines in a frame's text. */
  parse(text: string): T[];
  keyOf(line: T): Key;
}

export interface Between {
  from: Key;
  to: Key;
}

/** Reads through the store that it is given, whose reads in flight are the caller's to bound. */
export interface FrameReader {
  /** Throws if the manifest is not the one that was verified. */
  readManifest<M extends object>(store: ArchiveStore, of: { path: string; hash: Buffer }): Promise<M>;
  /** The lines between both keys, these included, from the first on: as many as one look-up reads. */
  readFirst<T>(store: ArchiveStore, lines: Lines<T>, between: Between): Promise<T[]>;
  /** The last lines from `from` on and before `to`, the last one first. */
  readLast<T>(store: ArchiveStore, lines: Lines<T>, between: Between & { limit: number }): Promise<T[]>;
}

/** Of texts of frames, and of what says where they are. */
const framesKept = 16 * 2 ** 20;
const indexesKept = 16 * 2 ** 20;
/** The most that one look-up reads. */
const framesAtOnce = 16;
const bytesAtOnce = 2 ** 20;

const seconds = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5];
const reads = counter('eventlog_archive_reads_total', 'Requests to the archive of old months, by result');
const readSeconds = histogram('eventlog_archive_read_seconds', 'A request to the archive of old months', 's', seconds);

interface Range {
  offset: number;
  length: number;
}

/** One for all files of a process. */
export function openFrameReader(): FrameReader {
  const frames = new LRUCache<string, object[]>({ maxSize: framesKept });
  const entries = new LRUCache<string, Frame[]>({ maxSize: indexesKept });
  const manifests = new LRUCache<string, object>({ maxSize: indexesKept });

  /** Requests that are in flight, by what they read: neighbours in a file ask for the same. */
  const asked = new Map<ArchiveStore, Map<string, Promise<Buffer>>>();

  function getRange(store: ArchiveStore, name: string, { offset, length }: Range): Promise<Buffer> {
    const ofStore = asked.get(store) ?? new Map<string, Promise<Buffer>>();
    asked.set(store, ofStore);
    const key = `${offset} ${length} ${name}`;
    const known = ofStore.get(key) ?? request(store, name, { offset, length }).finally(() => ofStore.delete(key));
    ofStore.set(key, known);
    return known;
  }

  async function request(store: ArchiveStore, name: string, range: Range): Promise<Buffer> {
    const began = performance.now();
    const note = (result: string) => {
      reads.add(1, { result });
      readSeconds.record((performance.now() - began) / 1_000, { result });
    };
    try {
      const bytes = await store.getRange(name, range);
      note('read');
      return bytes;
    } catch (error) {
      note('failed');
      throw error;
    }
  }

  /** The entries in a frame of the file's index. */
  async function entriesOf(store: ArchiveStore, { index }: SortedFile, place: number): Promise<Frame[]> {
    const key = `${index.object} ${place}`;
    const known = entries.get(key);
    if (known) return known;
    const frame = index.frames[place]!;
    const text = await readFrame(await getRange(store, index.object, frame), frame);
    const parsed = parseEntries(text);
    entries.set(key, parsed, { size: text.length });
    return parsed;
  }

  /** The frames that can have keys between both, from the first on, as many as one look-up reads. */
  async function locate(store: ArchiveStore, file: SortedFile, { from, to }: Between): Promise<Frame[]> {
    const found: Frame[] = [];
    let bytes = 0;
    for (let place = Math.max(0, lastAtOrBefore(file.index.frames, from)); place < file.index.frames.length; place++) {
      const all = await entriesOf(store, file, place);
      for (let n = found.length === 0 ? Math.max(0, lastAtOrBefore(all, from)) : 0; n < all.length; n++) {
        const frame = all[n]!;
        const enough = found.length >= framesAtOnce || bytes + frame.length > bytesAtOnce;
        if (found.length > 0 && (enough || compareKeys(frame.first, to) > 0)) return found;
        found.push(frame);
        bytes += frame.length;
      }
    }
    return found;
  }

  /** The lines of adjacent frames: those that are not in memory are read in one request. */
  async function load<T>(store: ArchiveStore, { file, parse }: Lines<T>, wanted: Frame[]): Promise<T[]> {
    const { object } = file;
    const loaded = wanted.map(({ offset }) => frames.get(`${object} ${offset}`));
    const first = loaded.indexOf(undefined);
    if (first === -1) return loaded.flatMap((lines) => lines as T[]);
    const last = loaded.lastIndexOf(undefined);
    const offset = wanted[first]!.offset;
    const bytes = await getRange(store, object, {
      offset,
      length: wanted[last]!.offset + wanted[last]!.length - offset,
    });
    for (let n = first; n <= last; n++) {
      const frame = wanted[n]!;
      const begin = frame.offset - offset;
      const text = await readFrame(bytes.subarray(begin, begin + frame.length), frame);
      loaded[n] = parse(text) as object[];
      frames.set(`${object} ${frame.offset}`, loaded[n], { size: text.length });
    }
    return loaded.flatMap((lines) => lines as T[]);
  }

  return {
    async readManifest<M extends object>(store: ArchiveStore, of: { path: string; hash: Buffer }): Promise<M> {
      const known = manifests.get(of.path);
      if (known) return known as M;
      const bytes = await getRange(store, manifestName(of.path), { offset: 0, length: longestManifest });
      const manifest = parseManifest<M>(bytes, of);
      manifests.set(of.path, manifest, { size: bytes.length });
      return manifest;
    },

    async readFirst(store, lines, between) {
      const { from, to } = between;
      const found = await load(store, lines, await locate(store, lines.file, between));
      return found.filter((line) => {
        const key = lines.keyOf(line);
        return compareKeys(key, from) >= 0 && compareKeys(key, to) <= 0;
      });
    },

    async readLast<T>(store: ArchiveStore, lines: Lines<T>, { from, to, limit }: Between & { limit: number }) {
      const found: T[] = [];
      const { file, keyOf } = lines;
      for (let place = lastAtOrBefore(file.index.frames, to); place >= 0; place--) {
        const all = await entriesOf(store, file, place);
        for (let n = lastAtOrBefore(all, to); n >= 0; n--) {
          for (const line of (await load(store, lines, [all[n]!])).toReversed()) {
            const key = keyOf(line);
            if (compareKeys(key, to) >= 0) continue;
            if (compareKeys(key, from) < 0 || found.length === limit) return found;
            found.push(line);
          }
        }
      }
      return found;
    },
  };
}
