/** Looks events up in the archive. Frames, indexes and manifests that were read lately stay in memory, within a bound. */
import { archiveUnavailable } from '@caudal/archive-store/errors.ts';
import { limitReads } from '@caudal/archive-store/limit-reads.ts';
import { type ArchiveStore, NoObject } from '@caudal/archive-store/types.ts';
import { counter, histogram } from '@caudal/telemetry/metrics.ts';
import { LRUCache } from 'lru-cache';
import type { RecordedEvent } from '../types.ts';
import { compareKeys, type Frame, type Key, lastAtOrBefore, parseEntries, readFrame } from './frames.ts';
import { type ArchivedEvent, parseLines, toRecorded } from './line.ts';
import { longestManifest, type Manifest, type MonthFile, manifestName, parseManifest } from './manifest.ts';
import type { ArchivedMonth } from './months.ts';
import { keyOf, type Order } from './sequence.ts';

/** The archive of all logs of a process. Errors: UNAVAILABLE ARCHIVE_UNAVAILABLE; an Error if what is there is damaged. */
export interface Archive {
  readonly store: ArchiveStore;
  /** The month's events after a position up to another one, or fewer, but at least one. */
  readPositions(month: ArchivedMonth, after: number, to: number): Promise<RecordedEvent[]>;
  /** The month's events of a stream after a version up to another one, or fewer, but at least one. */
  readStream(month: ArchivedMonth, stream: string, after: number, to: number): Promise<RecordedEvent[]>;
  /**
   * Throws unless all objects of a month are there with their sizes, the manifest is the one that was verified, and the end of each file
   * can be read now.
   */
  check(month: ArchivedMonth, signal: AbortSignal): Promise<void>;
}

interface Range {
  offset: number;
  length: number;
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

/** Requests in flight: for pages of a log, and for streams, for which commands wait. */
const pagesInFlight = 4;
const streamsInFlight = 12;

/** Opens the archive. The store is the caller's. */
export function openArchive(store: ArchiveStore): Archive {
  const stores: Record<Order, ArchiveStore> = {
    position: limitReads(store, pagesInFlight),
    stream: limitReads(store, streamsInFlight),
  };
  const frames = new LRUCache<string, ArchivedEvent[]>({ maxSize: framesKept });
  const entries = new LRUCache<string, Frame[]>({ maxSize: indexesKept });
  const manifests = new LRUCache<string, Manifest>({ maxSize: indexesKept });

  /** Requests that are in flight, by what they read: neighbours in a file ask for the same. */
  const asked = new Map<string, Promise<Buffer>>();

  function getRange(order: Order, name: string, { offset, length }: Range): Promise<Buffer> {
    const key = `${order} ${offset} ${length} ${name}`;
    const known = asked.get(key) ?? request(order, name, { offset, length }).finally(() => asked.delete(key));
    asked.set(key, known);
    return known;
  }

  async function request(order: Order, name: string, range: Range): Promise<Buffer> {
    const began = performance.now();
    const note = (result: string) => {
      reads.add(1, { result });
      readSeconds.record((performance.now() - began) / 1_000, { result });
    };
    try {
      const bytes = await stores[order].getRange(name, range);
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
    const bytes = await getRange('stream', manifestName(month.path), { offset: 0, length: longestManifest });
    const manifest = parseManifest(bytes, month);
    manifests.set(month.path, manifest, { size: bytes.length });
    return manifest;
  }

  /** The entries in a frame of the file's index. */
  async function entriesOf(order: Order, { index }: MonthFile, place: number): Promise<Frame[]> {
    const key = `${index.object} ${place}`;
    const known = entries.get(key);
    if (known) return known;
    const frame = index.frames[place]!;
    const text = await readFrame(await getRange(order, index.object, frame), frame);
    const parsed = parseEntries(text);
    entries.set(key, parsed, { size: text.length });
    return parsed;
  }

  /** The frames that can have keys between both, from the first on, as many as one look-up reads. */
  async function locate(order: Order, file: MonthFile, from: Key, to: Key): Promise<Frame[]> {
    const found: Frame[] = [];
    let bytes = 0;
    for (let place = Math.max(0, lastAtOrBefore(file.index.frames, from)); place < file.index.frames.length; place++) {
      const all = await entriesOf(order, file, place);
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
  async function load(order: Order, { object }: MonthFile, wanted: Frame[]): Promise<ArchivedEvent[]> {
    const loaded = wanted.map(({ offset }) => frames.get(`${object} ${offset}`));
    const first = loaded.indexOf(undefined);
    if (first === -1) return loaded.flatMap((events) => events!);
    const last = loaded.lastIndexOf(undefined);
    const offset = wanted[first]!.offset;
    const bytes = await getRange(order, object, {
      offset,
      length: wanted[last]!.offset + wanted[last]!.length - offset,
    });
    for (let n = first; n <= last; n++) {
      const frame = wanted[n]!;
      const begin = frame.offset - offset;
      const text = await readFrame(bytes.subarray(begin, begin + frame.length), frame);
      loaded[n] = parseLines(text);
      frames.set(`${object} ${frame.offset}`, loaded[n], { size: text.length });
    }
    return loaded.flatMap((events) => events!);
  }

  async function readBetween(month: ArchivedMonth, order: Order, from: Key, to: Key): Promise<RecordedEvent[]> {
    const manifest = await manifestOf(month);
    const file = order === 'position' ? manifest.byPosition : manifest.byStream;
    const events = await load(order, file, await locate(order, file, from, to));
    const found = events.filter((event) => {
      const key = keyOf(order, event);
      return compareKeys(key, from) >= 0 && compareKeys(key, to) <= 0;
    });
    // Positions and versions have no gaps: the first one is there, and so are all after it.
    const place = (key: Key) => key.at(-1) as number;
    if (found.some((event, n) => place(keyOf(order, event)) !== place(from) + n) || found.length === 0)
      throw new Error(`"${file.object}" in the archive lacks ${from.join(' ')}: restore that object.`);
    return found.map(toRecorded);
  }

  /**
   * What is read is proved by its hashes, so a copy of the archive is as good as the one that was written to. What is not in it may be
   * there yet, or is somewhere else.
   */
  async function maybeCopy<T>({ archive, path }: ArchivedMonth, work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      if (!(error instanceof NoObject) || archive === store.where) throw error;
      const why = `"${path}" was written to ${archive}, and is not all here; set CAUDAL_ARCHIVE to that, or to a copy of it.`;
      throw archiveUnavailable(store.where, why, error);
    }
  }

  return {
    store,
    readPositions: (month, after, to) => maybeCopy(month, readBetween(month, 'position', [after + 1], [to])),
    readStream: (month, stream, after, to) =>
      maybeCopy(month, readBetween(month, 'stream', [stream, after + 1], [stream, to])),
    check: (month, signal) => maybeCopy(month, check(month, signal)),
  };

  async function check(month: ArchivedMonth, signal: AbortSignal): Promise<void> {
    const { path } = month;
    const bytes = await store.getRange(manifestName(path), { offset: 0, length: longestManifest }, signal);
    const { byPosition, byStream } = parseManifest(bytes, month);
    const there = new Map((await store.list(`${path}/`, signal)).map(({ name, bytes: size }) => [name, size]));
    for (const { object, bytes: size } of [byPosition, byPosition.index, byStream, byStream.index])
      if (there.get(object) !== size)
        throw new Error(
          `"${object}" of ${size} bytes is not in the archive ${store.where} any more: restore that object.`,
        );
    // An object can be listed and yet not be read, in a class of storage that must be thawed first.
    for (const file of [byPosition, byStream]) {
      const part = file.index.frames.at(-1)!;
      const last = parseEntries(await readFrame(await store.getRange(file.index.object, part, signal), part)).at(-1)!;
      await readFrame(await store.getRange(file.object, last, signal), last);
    }
  }
}
