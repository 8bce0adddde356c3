/** Reads a log from PostgreSQL: from the primary or a replica. */

import { unavailable } from '@caudal/kernel/errors.ts';
import type { Running } from '@caudal/kernel/lifetime.ts';
import type { Database } from '@caudal/postgres/database.ts';
import type { Archive } from './archive/archive.ts';
import { selectEndOfArchived } from './archive/months.ts';
import { ReachesArchive } from './archive/reaches-archive.ts';
import { isArchived, openSlowReads, reachingOf } from './archive/slow-reads.ts';
import { type KnownEpochs, openEpochs, stamp } from './epochs.ts';
import {
  type HeadsOptions,
  type HeadsPage,
  type LogPage,
  type NewestMonth,
  type Page,
  selectHeads,
  selectLog,
  selectNewestHeads,
  selectNewestLog,
  selectNewestMonth,
  selectStreams,
} from './read.ts';
import type { LogReader, StreamCursor } from './types.ts';
import { watch } from './watch.ts';

export interface LocalReader extends LogReader, Running {
  /** Wakes the reads that wait: the log has grown up to this position. */
  wake(position: number): void;
  /** Reads something in the log's present epoch. */
  inEpoch<P extends { epoch: number }>(once: () => Promise<P>): Promise<P>;
}

const defaultLimit = 1_000;
/** From the archive whole events are read to find heads. */
const headsOfArchived = 500;
/** So often a read is repeated because the log's epoch has changed. */
const mostEpochs = 3;

export interface ReaderOptions {
  /** In whose schema the log is. The caller closes it. */
  database: Database;
  domain: string;
  /** The longest wait for growth whose announcement was lost, in milliseconds; 2,000 if absent. */
  announcedPollMs?: number;
  /** Where old months are, if some have left the database. */
  archive?: Archive | undefined;
  /** What the process knows of the log's epochs; its own if absent. */
  epochs?: KnownEpochs;
}

/** Opens a reader of a log. */
export function openReader(options: ReaderOptions): LocalReader {
  const { database, domain, announcedPollMs, archive, epochs = openEpochs(database, domain) } = options;
  const waiting = watch(database, { announcedPollMs });
  const slow = openSlowReads(database, archive);
  let newest: NewestMonth | undefined;
  /** Up to this position months were found in the archive, so a reader does not ask the database first. */
  let archivedTo = 0;

  /** Most reads are of the newest month, by a statement for it; the others find out which it is. */
  async function fromNewest<T>(
    afterPosition: number,
    ofMonth: (month: NewestMonth) => Promise<T | undefined>,
    ofAll: () => Promise<T>,
  ): Promise<T> {
    if (newest && afterPosition >= newest.after) {
      const page = await ofMonth(newest).catch((error: unknown) => {
        // After a fail-over that lost events, its partition may not be there.
        newest = undefined;
        throw error;
      });
      if (page) return page;
      newest = undefined;
    }
    const page = await ofAll();
    newest ??= await selectNewestMonth(database);
    return page;
  }

  async function inEpoch<P extends { epoch: number }>(once: () => Promise<P>): Promise<P> {
    for (let attempt = 1; attempt <= mostEpochs; attempt++) {
      const page = await once();
      const settled = epochs.settle(page.epoch);
      if (settled === true || (await settled)) return page;
    }
    throw unavailable('PostgreSQL', new Error('Its answers are of different epochs of the log.'));
  }

  /** Events in the present epoch. */
  async function read<P extends Page>(once: () => Promise<P>): Promise<P> {
    const page = await inEpoch(once);
    stamp(epochs.list(), page.events);
    return page;
  }

  /** The furthest end that the log had in its present epoch. */
  let furthest = 0;
  /** Where the last page ended that was not full, and what was known of the log's growth before it was read. */
  let end: { position: number; told: number } | undefined;
  epochs.onChange(() => {
    furthest = 0;
    end = undefined;
    waiting.restart();
    newest = undefined;
    archivedTo = 0;
  });

  async function readPage(afterPosition: number, limit: number): Promise<LogPage> {
    if (afterPosition < archivedTo) return slow.readLog({ afterPosition, limit });
    try {
      return await fromNewest(
        afterPosition,
        (month) => selectNewestLog(database, month, { afterPosition, limit }),
        () => selectLog(database, { afterPosition, limit }),
      );
    } catch (error) {
      if (!isArchived(error)) throw error;
      archivedTo = await selectEndOfArchived(database);
      return slow.readLog({ afterPosition, limit });
    }
  }

  async function readNow(afterPosition: number, limit: number): Promise<Pick<LogPage, 'events' | 'head'>> {
    const before = furthest;
    const page = await read(() => readPage(afterPosition, limit));
    // Shorter in the same place: the server's files were set back. (A standby may be behind another one.)
    if (page.head < before && page.head < furthest && !page.standby) {
      await epochs.shrunk(page.head);
      return readNow(afterPosition, limit);
    }
    furthest = Math.max(furthest, page.head);
    return { events: page.events, head: page.head };
  }

  /** Reads a page, and notes the end of the log if it is the last one. */
  async function readAtEnd(afterPosition: number, limit: number): Promise<Pick<LogPage, 'events' | 'head'>> {
    const told = waiting.told();
    const page = await readNow(afterPosition, limit);
    const last = page.events.at(-1)?.position ?? afterPosition;
    if (last === page.head) end = { position: last, told };
    return page;
  }

  async function readHeads(options: HeadsOptions): Promise<HeadsPage> {
    if (options.afterPosition < archivedTo) return readOldHeads(options);
    try {
      return await fromNewest(
        options.afterPosition,
        (month) => selectNewestHeads(database, month, options),
        () => selectHeads(database, options),
      );
    } catch (error) {
      if (!isArchived(error)) throw error;
      archivedTo = await selectEndOfArchived(database);
      return readOldHeads(options);
    }
  }

  /** One month at a time: the events behind it come with a later page. */
  async function readOldHeads(options: HeadsOptions): Promise<HeadsPage> {
    const { count, archived } = await slow.nextOf(options);
    if (!archived) return selectHeads(database, { ...options, limit: count });
    const { events, epoch } = await slow.readLog({ ...options, limit: Math.min(count, headsOfArchived) });
    const last = new Map(events.map(({ stream, version, position }) => [stream, { stream, version, position }]));
    return { epoch, heads: [...last.values()].sort((a, b) => a.position - b.position) };
  }

  async function readStreamsPage(cursors: StreamCursor[], limit: number, livingOnly: boolean): Promise<Page> {
    try {
      return await selectStreams(database, cursors, { limit });
    } catch (error) {
      if (!isArchived(error)) throw error;
      if (!livingOnly) return slow.readStreams(cursors, limit);
      throw error instanceof ReachesArchive ? error : new ReachesArchive(await reachingOf(database, cursors));
    }
  }

  return {
    domain,
    readStreams: async (cursors, { limit = defaultLimit, livingOnly = false } = {}) =>
      cursors.length === 0 ? [] : (await read(() => readStreamsPage(cursors, limit, livingOnly))).events,
    async readLog(afterPosition, { limit = defaultLimit, waitMs = 0, signal } = {}) {
      let result: Pick<LogPage, 'events' | 'head'> = { events: [], head: afterPosition };
      // A reader that has just read up to the end waits at once.
      if (waitMs <= 0 || afterPosition !== end?.position) {
        result = await readAtEnd(afterPosition, limit);
        if (result.events.length > 0 || waitMs <= 0) return result;
      }
      if (signal?.aborted) return result;
      await waiting.wait(afterPosition, {
        waitMs,
        signal,
        told: end?.position === afterPosition ? end.told : undefined,
      });
      return signal?.aborted ? result : readAtEnd(afterPosition, limit);
    },
    async heads(afterPosition, { minAgeMs = 0, limit = defaultLimit } = {}) {
      const { heads } = await inEpoch(() => readHeads({ afterPosition, minAgeMs, limit }));
      // The last event of the page is the last one of its stream in the page, so it is among the heads.
      return { heads, position: heads.at(-1)?.position ?? afterPosition };
    },
    epochs: epochs.list,
    onEpoch: epochs.onChange,
    wake: waiting.wake,
    inEpoch,
    stop: waiting.stop,
  };
}
