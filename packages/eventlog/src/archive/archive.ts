/** Looks events up in the archive. Frames, indexes and manifests that were read lately stay in memory, within a bound. */
import type { ArchiveStore } from '@caudal/archive-store/types.ts';
import { counter, histogram } from '@caudal/telemetry/metrics.ts';
import { LRUCache } from 'lru-cache';
import type { RecordedEvent } from '../types.ts';
import { compareKeys, type Frame, type Key, lastAtOrBefore, parseEntries, readFrame } from './frames.ts';
import { type ArchivedEvent, parseLines, toRecorded } from './line.ts';
import { type Manifest, type MonthFile, manifestName, parseManifest } from './manifest.ts';
import type { ArchivedMonth } from './months.ts';
import { keyOf, type Order } from './sequence.ts';

/** The archive of all logs of a process. Errors: UNAVAILABLE ARCHIVE_UNAVAILABLE; an Error if what is there is damaged. */
export interface Archive {
  readonly store: ArchiveStore;
  /** The month's events after a position up to another one, or fewer, but at least one. */
  readPositions(month: ArchivedMonth, after: number, to: number): Promise<RecordedEvent[]>;
  /** The month's events of a stream after a version up to another one, or fewer, but at least one. */
  readStream(month: ArchivedMonth, stream: string, after: number, to: number): Promise<RecordedEvent[]>;
  /** Whether all objects of a month are there, with their sizes, and the manifest is the one that was verified. */
  holds(month: ArchivedMonth, signal: AbortSignal): Promise<boolean>;
}

/** Of texts of frames, and of what says where they are. */
const framesKept = 16 * 2 ** 20;
const indexesKept = 16 * 2 ** 20;
/** The most that one look-up reads. */
const framesAtOnce = 64;
const bytesAtOnce = 8 * 2 ** 20;
const longestManifest = 64 * 2 ** 20;

const seconds = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5];
const reads = counter('eventlog_archive_reads_total', 'Requests to the archive of old months, by result');
const readSeconds = histogram('eventlog_archive_read_seconds', 'A request to the archive of old months', 's', seconds);

/** Opens the archive. The store is the caller's, who has bounded its reads. */
export function openArchive(store: ArchiveStore): Archive {
  const frames = new LRUCache<string, ArchivedEvent[]>({ maxSize: framesKept });
  const entries = new LRUCache<string, Frame[]>({ maxSize: indexesKept });
  const manifests = new LRUCache<string, Manifest>({ maxSize: indexesKept });

  async function getRange(name: string, range: { offset: number; length: number }): Promise<Buffer> {
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

  async function manifestOf(month: ArchivedMonth): Promise<Manifest> {
    const known = manifests.get(month.path);
    if (known) return known;
    const bytes = await getRange(manifestName(month.path), { offset: 0, length: longestManifest });
    const manifest = parseManifest(bytes, month);
    manifests.set(month.path, manifest, { size: bytes.length });
    return manifest;
  }

  /** The entries in a frame of the file's index. */
  async function entriesOf({ index }: MonthFile, place: number): Promise<Frame[]> {
    const key = `${index.object} ${place}`;
    const known = entries.get(key);
    if (known) return known;
    const text = await readFrame(await getRange(index.object, index.frames[place]!));
    const parsed = parseEntries(text);
    entries.set(key, parsed, { size: text.length });
    return parsed;
  }

  /** The frames that can have keys between both, from the first on, as many as one look-up reads. */
  async function locate(file: MonthFile, from: Key, to: Key): Promise<Frame[]> {
    const found: Frame[] = [];
    let bytes = 0;
    for (let place = Math.max(0, lastAtOrBefore(file.index.frames, from)); place < file.index.frames.length; place++) {
      const all = await entriesOf(file, place);
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

  /** The events of adjacent frames: those that are not in memory are read in one request. */
  async function load({ object }: MonthFile, wanted: Frame[]): Promise<ArchivedEvent[]> {
    const loaded = wanted.map(({ offset }) => frames.get(`${object} ${offset}`));
    const first = loaded.indexOf(undefined);
    if (first === -1) return loaded.flatMap((events) => events!);
    const last = loaded.lastIndexOf(undefined);
    const offset = wanted[first]!.offset;
    const bytes = await getRange(object, { offset, length: wanted[last]!.offset + wanted[last]!.length - offset });
    for (let n = first; n <= last; n++) {
      const frame = wanted[n]!;
      const begin = frame.offset - offset;
      const text = await readFrame(bytes.subarray(begin, begin + frame.length));
      loaded[n] = parseLines(text);
      frames.set(`${object} ${frame.offset}`, loaded[n], { size: text.length });
    }
    return loaded.flatMap((events) => events!);
  }

  async function readBetween(month: ArchivedMonth, order: Order, from: Key, to: Key): Promise<RecordedEvent[]> {
    const manifest = await manifestOf(month);
    const file = order === 'position' ? manifest.byPosition : manifest.byStream;
    const events = await load(file, await locate(file, from, to));
    const found = events.filter((event) => {
      const key = keyOf(order, event);
      return compareKeys(key, from) >= 0 && compareKeys(key, to) <= 0;
    });
    // Positions and versions have no gaps, so the first one is there.
    if (found.length === 0 || compareKeys(keyOf(order, found[0]!), from) !== 0)
      throw new Error(`"${file.object}" in the archive lacks ${from.join(' ')}: restore that object.`);
    return found.map(toRecorded);
  }

  return {
    store,
    readPositions: (month, after, to) => readBetween(month, 'position', [after + 1], [to]),
    readStream: (month, stream, after, to) => readBetween(month, 'stream', [stream, after + 1], [stream, to]),
    async holds({ path, hash }, signal) {
      const bytes = await store.getRange(manifestName(path), { offset: 0, length: longestManifest }, signal);
      const { byPosition, byStream } = parseManifest(bytes, { path, hash });
      const there = new Map((await store.list(`${path}/`, signal)).map(({ name, bytes: size }) => [name, size]));
      return [byPosition, byPosition.index, byStream, byStream.index].every(
        (object) => there.get(object.object) === object.bytes,
      );
    },
  };
}
