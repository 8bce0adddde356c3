/**
 * Reads of a log that reach into archived months: month by month, each from where it is. See docs/archive.md, Reading.
 */
import { CaudalError } from '@caudal/kernel/errors.ts';
import { int4Array, textArray } from '@caudal/postgres/arrays.ts';
import type { Database, Transaction } from '@caudal/postgres/database.ts';
import { sqlState } from '@caudal/postgres/errors.ts';
import { notNoted, selectEpoch } from '../epochs.ts';
import { type LogPage, type Page, selectEnd, selectLog, selectStreams } from '../read.ts';
import type { RecordedEvent, StreamCursor } from '../types.ts';
import type { Archive } from './archive.ts';
import { selectReaching, selectStretchOfLog, selectStretchOfStream } from './months.ts';
import { ReachesArchive } from './reaches-archive.ts';

/** Streams that are read at a time. Each may take a page of memory. */
const streamsAtATime = 8;
/** A month may be archived or restored while it is read. */
const attempts = 3;

/**
 * Whether a read needs events of an archived month: that is what its functions said, its table was dropped after the statement
 * began, or the statement is older than the archiving.
 */
export const isArchived = (error: unknown): boolean =>
  error instanceof ReachesArchive || /^(58A01|42P01|40001)$/.test(sqlState(error) ?? '');

async function whileMoving<T>(read: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await read();
    } catch (error) {
      if (attempt === attempts || !isArchived(error)) throw error;
    }
  }
}

/** The streams of the cursors that reach into archived months. */
export function reachingOf(db: Transaction, cursors: StreamCursor[]): Promise<string[]> {
  return selectReaching(db, {
    streams: textArray(cursors.map(({ stream }) => stream)),
    after: int4Array(cursors.map(({ afterVersion }) => afterVersion)),
  });
}

/** The epoch of parts that were read one after the other. If they are of different ones, all is to be read again. */
function epochOfAll(epochs: ReadonlySet<number>): number {
  const [epoch = notNoted] = epochs;
  return epochs.size === 1 ? epoch : notNoted;
}

export interface SlowReads {
  /** How many of the next `limit` events are in one month, and whether that is archived. */
  nextOf(options: { afterPosition: number; limit: number }): Promise<{ count: number; archived: boolean }>;
  readLog(options: { afterPosition: number; limit: number }): Promise<LogPage>;
  readStreams(cursors: StreamCursor[], limit: number): Promise<Page>;
}

/** `archive`: undefined in a process that has none: events of archived months are UNAVAILABLE then. */
export function openSlowReads(database: Database, archive: Archive | undefined): SlowReads {
  function needed(): Archive {
    if (archive) return archive;
    const message = `Events of ${database.schema} are in the archive, and this process has none: set CAUDAL_ARCHIVE as in the other processes.`;
    throw new CaudalError('UNAVAILABLE', 'ARCHIVE_UNAVAILABLE', message, { retryAfterMs: 1_000 });
  }

  async function readPart(afterPosition: number, limit: number, epochs: Set<number>): Promise<RecordedEvent[]> {
    const stretch = await selectStretchOfLog(database, afterPosition);
    if (!stretch) return [];
    const to = Math.min(afterPosition + limit, stretch.end ?? Number.POSITIVE_INFINITY);
    if (stretch.archived) return needed().readPositions(stretch.archived, afterPosition, to);
    const { events, epoch } = await selectLog(database, { afterPosition, limit: to - afterPosition });
    epochs.add(epoch);
    return events;
  }

  async function readLog({ afterPosition, limit }: { afterPosition: number; limit: number }): Promise<LogPage> {
    const events: RecordedEvent[] = [];
    const epochs = new Set<number>();
    while (events.length < limit) {
      const last = events.at(-1)?.position ?? afterPosition;
      const more = await whileMoving(() => readPart(last, limit - events.length, epochs));
      if (more.length === 0) break;
      events.push(...more);
    }
    const end = await selectEnd(database);
    return { ...end, events, epoch: epochOfAll(epochs.add(end.epoch)) };
  }

  /** Undefined: there are no more. */
  async function readStreamPart(
    { stream, afterVersion: after }: StreamCursor,
    limit: number,
    epochs: Set<number>,
  ): Promise<RecordedEvent[] | undefined> {
    const stretch = await selectStretchOfStream(database, stream, after);
    if (!stretch) return undefined;
    const to = Math.min(after + limit, stretch.end ?? Number.POSITIVE_INFINITY);
    if (stretch.archived) return needed().readStream(stretch.archived, stream, after, to);
    const { events, epoch } = await selectStreams(database, [{ stream, afterVersion: after }], { limit: to - after });
    epochs.add(epoch);
    return events.length > 0 ? events : undefined;
  }

  async function readStream(
    { stream, afterVersion }: StreamCursor,
    limit: number,
    epochs: Set<number>,
  ): Promise<RecordedEvent[]> {
    const events: RecordedEvent[] = [];
    while (events.length < limit) {
      const last = events.at(-1)?.version ?? afterVersion;
      const cursor = { stream, afterVersion: last };
      const more = await whileMoving(() => readStreamPart(cursor, limit - events.length, epochs));
      if (!more) break;
      events.push(...more);
    }
    return events;
  }

  /** All events of these few streams, `limit` of each at most. */
  async function readSome(
    cursors: StreamCursor[],
    { reaching, limit, epochs }: { reaching: Set<string>; limit: number; epochs: Set<number> },
  ): Promise<RecordedEvent[][]> {
    const living = cursors.filter(({ stream }) => !reaching.has(stream));
    const readLiving = async (): Promise<RecordedEvent[]> => {
      if (living.length === 0) return [];
      const page = await selectStreams(database, living, { limit });
      epochs.add(page.epoch);
      return page.events;
    };
    const old = cursors.filter(({ stream }) => reaching.has(stream)).map((cursor) => readStream(cursor, limit, epochs));
    const [events, ...others] = await Promise.all([readLiving(), ...old]);
    return [...Map.groupBy(events!, ({ stream }) => stream).values(), ...others];
  }

  return {
    readLog,
    async nextOf({ afterPosition, limit }) {
      const stretch = await selectStretchOfLog(database, afterPosition);
      const count = Math.min(limit, (stretch?.end ?? Number.POSITIVE_INFINITY) - afterPosition);
      return { count, archived: stretch?.archived !== undefined };
    },
    readStreams: (cursors, limit) =>
      whileMoving(async () => {
        const epochs = new Set([await selectEpoch(database)]);
        const reaching = new Set(await reachingOf(database, cursors));
        const sorted = cursors
          .map((cursor) => ({ cursor, name: Buffer.from(cursor.stream) }))
          .sort((a, b) => Buffer.compare(a.name, b.name))
          .map(({ cursor }) => cursor);
        const events: RecordedEvent[] = [];
        for (let first = 0; first < sorted.length && events.length < limit; first += streamsAtATime) {
          const some = sorted.slice(first, first + streamsAtATime);
          const parts = await readSome(some, { reaching, limit: limit - events.length, epochs });
          const byStream = new Map(parts.filter((part) => part.length > 0).map((part) => [part[0]!.stream, part]));
          for (const { stream } of some) events.push(...(byStream.get(stream) ?? []));
        }
        return { events: events.slice(0, limit), epoch: epochOfAll(epochs) };
      }),
  };
}
