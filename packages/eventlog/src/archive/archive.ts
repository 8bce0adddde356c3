/** Looks events up in the archive. */
import { archiveUnavailable } from '@caudal/archive-store/errors.ts';
import { limitReads } from '@caudal/archive-store/limit-reads.ts';
import { type ArchiveStore, NoObject } from '@caudal/archive-store/types.ts';
import type { RecordedEvent } from '../types.ts';
import { type FrameReader, openFrameReader } from './frame-reader.ts';
import type { Key } from './frames.ts';
import { parseLines, toRecorded } from './line.ts';
import { longestManifest, type Manifest, manifestName, parseManifest } from './manifest.ts';
import type { ArchivedMonth } from './months.ts';
import { keyOf, type Order } from './sequence.ts';
import { checkFiles } from './sorted-file.ts';

/** The archive of all logs of a process. Errors: UNAVAILABLE ARCHIVE_UNAVAILABLE; an Error if what is there is damaged. */
export interface Archive {
  readonly store: ArchiveStore;
  /** For lines of other tables that leave. */
  readonly reader: FrameReader;
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

/** Requests in flight: for pages of a log, and for streams, for which commands wait. */
const pagesInFlight = 4;
const streamsInFlight = 12;

/**
 * What is read is proved by its hashes, so a copy of the archive is as good as the one that was written to. What is not in it may be
 * there yet, or is somewhere else.
 */
export async function maybeCopy<T>(
  store: ArchiveStore,
  { archive, path }: Pick<ArchivedMonth, 'archive' | 'path'>,
  work: Promise<T>,
): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof NoObject) || archive === store.where) throw error;
    const why = `"${path}" was written to ${archive}, and is not all here; set CAUDAL_ARCHIVE to that, or to a copy of it.`;
    throw archiveUnavailable(store.where, why, error);
  }
}

/** Opens the archive. The store is the caller's. */
export function openArchive(store: ArchiveStore): Archive {
  const stores: Record<Order, ArchiveStore> = {
    position: limitReads(store, pagesInFlight),
    stream: limitReads(store, streamsInFlight),
  };
  const reader = openFrameReader();

  async function readBetween(month: ArchivedMonth, order: Order, from: Key, to: Key): Promise<RecordedEvent[]> {
    const manifest = await reader.readManifest<Manifest>(stores.stream, month);
    const file = order === 'position' ? manifest.byPosition : manifest.byStream;
    const lines = { file, parse: parseLines, keyOf: keyOf.bind(undefined, order) };
    const found = await reader.readFirst(stores[order], lines, { from, to });
    // Positions and versions have no gaps: the first one is there, and so are all after it.
    const place = (key: Key) => key.at(-1) as number;
    if (found.some((event, n) => place(keyOf(order, event)) !== place(from) + n) || found.length === 0)
      throw new Error(`"${file.object}" in the archive lacks ${from.join(' ')}: restore that object.`);
    return found.map(toRecorded);
  }

  async function check(month: ArchivedMonth, signal: AbortSignal): Promise<void> {
    const { path } = month;
    const bytes = await store.getRange(manifestName(path), { offset: 0, length: longestManifest }, signal);
    const { byPosition, byStream } = parseManifest<Manifest>(bytes, month);
    await checkFiles(store, { path, files: [byPosition, byStream], signal });
  }

  return {
    store,
    reader,
    readPositions: (month, after, to) => maybeCopy(store, month, readBetween(month, 'position', [after + 1], [to])),
    readStream: (month, stream, after, to) =>
      maybeCopy(store, month, readBetween(month, 'stream', [stream, after + 1], [stream, to])),
    check: (month, signal) => maybeCopy(store, month, check(month, signal)),
  };
}
