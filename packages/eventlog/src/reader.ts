/** Reads a log from PostgreSQL: from the primary or a replica. */
import type { Running } from '@caudal/kernel/lifetime.ts';
import type { Database } from '@caudal/postgres/database.ts';
import type { Archive } from './archive/archive.ts';
import { selectEndOfArchived } from './archive/months.ts';
import { isArchived, openSlowReads, ReachesArchive, reachingOf } from './archive/slow-reads.ts';
import {
  type HeadsOptions,
  type LogPage,
  type NewestMonth,
  selectHeads,
  selectLog,
  selectNewestHeads,
  selectNewestLog,
  selectNewestMonth,
  selectStreams,
} from './read.ts';
import type { LogReader, StreamCursor, StreamHead } from './types.ts';
import { watch } from './watch.ts';

export interface LocalReader extends LogReader, Running {
  /** Wakes the reads that wait: the log has grown. */
  wake(): void;
}

const defaultLimit = 1_000;

export interface ReaderOptions {
  /** In whose schema the log is. The caller closes it. */
  database: Database;
  domain: string;
  /** The longest wait for growth whose announcement was lost, in milliseconds; 2,000 if absent. */
  announcedPollMs?: number;
  /** Where old months are, if some have left the database. */
  archive?: Archive | undefined;
}

/** Opens a reader of a log. */
export function openReader({ database, domain, announcedPollMs, archive }: ReaderOptions): LocalReader {
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

  async function readNow(afterPosition: number, limit: number): Promise<LogPage> {
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

  async function headsNow(options: HeadsOptions): Promise<StreamHead[]> {
    try {
      return await fromNewest(
        options.afterPosition,
        (month) => selectNewestHeads(database, month, options),
        () => selectHeads(database, options),
      );
    } catch (error) {
      if (!isArchived(error)) throw error;
      // One month at a time: the events behind it come with a later page.
      const { count, archived } = await slow.nextOf(options);
      if (!archived) return selectHeads(database, { ...options, limit: count });
      const { events } = await slow.readLog({ ...options, limit: count });
      const last = new Map(events.map(({ stream, version, position }) => [stream, { stream, version, position }]));
      return [...last.values()].sort((a, b) => a.position - b.position);
    }
  }

  async function readStreams(cursors: StreamCursor[], { limit = defaultLimit, livingOnly = false } = {}) {
    if (cursors.length === 0) return [];
    try {
      return await selectStreams(database, cursors, { limit });
    } catch (error) {
      if (!isArchived(error)) throw error;
      if (!livingOnly) return slow.readStreams(cursors, limit);
      throw new ReachesArchive(await reachingOf(database, cursors));
    }
  }

  return {
    domain,
    readStreams,
    async readLog(afterPosition, { limit = defaultLimit, waitMs = 0, signal } = {}) {
      const result = await readNow(afterPosition, limit);
      if (result.events.length > 0 || waitMs <= 0 || signal?.aborted) return result;
      await waiting.wait(afterPosition, waitMs, signal);
      return signal?.aborted ? result : readNow(afterPosition, limit);
    },
    async heads(afterPosition, { minAgeMs = 0, limit = defaultLimit } = {}) {
      const heads = await headsNow({ afterPosition, minAgeMs, limit });
      // The last event of the page is the last one of its stream in the page, so it is among the heads.
      return { heads, position: heads.at(-1)?.position ?? afterPosition };
    },
    wake: waiting.wake,
    stop: waiting.stop,
  };
}
