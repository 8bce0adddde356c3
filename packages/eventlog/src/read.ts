/** The statements that read a log, by the functions of migrations/008_read.sql and 021_reach.sql. Each sees the log at one moment. */

import { int4Array, textArray } from '@caudal/postgres/arrays.ts';
import type { Transaction } from '@caudal/postgres/database.ts';
import { ReachesArchive } from './archive/reaches-archive.ts';
import type { RecordedEvent, StreamCursor, StreamHead } from './types.ts';

const columns = `e.position, e.stream, e.version, e.event_id AS "eventId", e.type, e.schema_version AS "schemaVersion",
  e.metadata, e.data, e.recorded_at AS "recordedAt"`;

/** The log's last position. */
export async function headPosition(db: Transaction): Promise<number> {
  return (await selectEnd(db)).head;
}

/** The log's last position, its epoch at the same moment, and whether a standby has answered. */
export async function selectEnd(db: Transaction): Promise<Omit<LogPage, 'events'>> {
  const rows = await db.query<Omit<LogPage, 'events'>>({
    name: 'eventlog-head',
    text: `SELECT e.position AS head, l.epoch, pg_is_in_recovery() AS standby FROM log_end() e, log_epoch() l (epoch)`,
  });
  return rows[0]!;
}

/** Events, and the log's epoch at the moment of the read: -1 if that is a new one which is not noted. */
export interface Page {
  events: RecordedEvent[];
  epoch: number;
}

/** The same of the last events of streams. */
export interface HeadsPage {
  heads: StreamHead[];
  epoch: number;
}

/** A row of a page; one without an event if there is none. */
type Row<More = unknown> = RecordedEvent & More & { readEpoch: number; position: number | null };
type HeadRow = StreamHead & { readEpoch: number; position: number | null };

function eventsOf(rows: Row[]): RecordedEvent[] {
  return rows[0]!.position === null ? [] : rows.map(({ readEpoch: _, ...event }) => event);
}

function toHeads(rows: HeadRow[]): HeadsPage {
  const heads = rows[0]!.position === null ? [] : rows;
  return {
    epoch: rows[0]!.readEpoch,
    heads: heads.map(({ stream, version, position }) => ({ stream, version, position })),
  };
}

/** The version of a row that stands for events in the archive. */
const inArchive = -1;

/**
 * Events of several streams, each after its cursor's version: at most `each` of a stream, and `limit` in all. Throws ReachesArchive if
 * some of them are in the archive.
 */
export async function selectStreams(
  db: Transaction,
  cursors: StreamCursor[],
  { limit, each = limit }: { limit: number; each?: number },
): Promise<Page> {
  const rows = await db.query<Row>({
    name: 'eventlog-read-streams',
    text: `SELECT l.epoch AS "readEpoch", ${columns} FROM log_epoch() l (epoch) LEFT JOIN read_streams_or_reach($1, $2, $3) e ON true
      ORDER BY e.stream COLLATE "C", e.version LIMIT $4`,
    values: [
      textArray(cursors.map(({ stream }) => stream)),
      int4Array(cursors.map(({ afterVersion }) => afterVersion)),
      each,
      limit,
    ],
  });
  const reaching = rows.filter(({ version }) => version === inArchive);
  if (reaching.length > 0) throw new ReachesArchive(reaching.map(({ stream }) => stream));
  return { epoch: rows[0]!.readEpoch, events: eventsOf(rows) };
}

type LogRow = Row<{ head: number; standby: boolean }>;

/** Events after a position, and the head at the same moment. */
export interface LogPage extends Page {
  head: number;
  /** Whether a standby has answered. */
  standby: boolean;
}

function toPage(rows: LogRow[]): LogPage {
  const { head, standby, readEpoch: epoch } = rows[0]!;
  const events = eventsOf(rows).map((row) => {
    const { head: _, standby: __, ...event } = row as LogRow;
    return event;
  });
  return { head, standby, epoch, events };
}

export async function selectLog(
  db: Transaction,
  { afterPosition, limit }: { afterPosition: number; limit: number },
): Promise<LogPage> {
  const rows = await db.query<LogRow>({
    name: 'eventlog-read-log',
    text: `SELECT l.epoch AS "readEpoch", pg_is_in_recovery() AS standby, e.head, ${columns} FROM log_epoch() l (epoch), read_log($1, $2) e
      ORDER BY e.position LIMIT $2`,
    values: [afterPosition, limit],
  });
  return toPage(rows);
}

/** The newest month that has events. */
export interface NewestMonth {
  /** As in the names of its partition and functions: `2027_01`. */
  suffix: string;
  /** The log's position before its first event. */
  after: number;
}

/** Undefined if the log is empty. */
export async function selectNewestMonth(db: Transaction): Promise<NewestMonth | undefined> {
  const [newest] = await db.query<NewestMonth>({
    name: 'eventlog-newest-month',
    text: 'SELECT month_suffix(month) AS suffix, after FROM months ORDER BY month DESC LIMIT 1',
  });
  return newest;
}

/**
 * The same from the newest month alone, by a statement that is prepared for it: a third of the time of `selectLog`.
 * Undefined if a newer month has begun, or the position is before the month.
 */
export async function selectNewestLog(
  db: Transaction,
  { suffix }: NewestMonth,
  { afterPosition, limit }: { afterPosition: number; limit: number },
): Promise<LogPage | undefined> {
  const rows = await db.query<LogRow & { newest: string; begins: number }>({
    name: `eventlog-read-log-${suffix}`,
    text: `SELECT l.epoch AS "readEpoch", pg_is_in_recovery() AS standby, n.newest, n.begins,
        coalesce((SELECT position FROM events_${suffix} ORDER BY position DESC LIMIT 1), n.begins) AS head, ${columns}
      FROM log_epoch() l (epoch)
      CROSS JOIN (SELECT month_suffix(month) AS newest, after AS begins FROM months ORDER BY month DESC LIMIT 1) n
      LEFT JOIN LATERAL (
        SELECT * FROM events_${suffix} WHERE position > $1 ORDER BY position LIMIT $2
      ) e ON true
      ORDER BY e.position`,
    values: [afterPosition, limit],
  });
  const { newest, begins } = rows[0] ?? { newest: '', begins: 0 };
  if (newest !== suffix || afterPosition < begins) return undefined;
  return toPage(rows.map(({ newest: _newest, begins: _begins, ...row }) => row));
}

export interface HeadsOptions {
  afterPosition: number;
  minAgeMs: number;
  limit: number;
}

/**
 * `page`: rows of events, the next `$3` after `$1`. recorded_at never goes back, so those that are too young are at its
 * end. If the clock was set back, no event would be old enough until it has caught up: then all are.
 */
const headsOf = (
  page: string,
  end: string,
) => `SELECT DISTINCT ON (e.stream) e.position, e.stream, e.version FROM (${page}) e
  WHERE $2 = 0 OR e.recorded_at <= log_clock() - $2 * interval '1 millisecond'
    OR (SELECT l.recorded_at FROM ${end} l) > log_clock()
  ORDER BY e.stream, e.position DESC`;

/** The last event of each stream among the next `limit` events that are old enough, in the log's order. */
export async function selectHeads(
  db: Transaction,
  { afterPosition, minAgeMs, limit }: HeadsOptions,
): Promise<HeadsPage> {
  const page = 'SELECT * FROM read_log($1, $3) e WHERE e.position IS NOT NULL ORDER BY e.position LIMIT $3';
  const rows = await db.query<HeadRow>({
    name: 'eventlog-heads',
    text: `SELECT l.epoch AS "readEpoch", heads.* FROM log_epoch() l (epoch) LEFT JOIN (${headsOf(page, 'log_end()')}) heads ON true
      ORDER BY position`,
    values: [afterPosition, minAgeMs, limit],
  });
  return toHeads(rows);
}

/** The same from the newest month alone, as `selectNewestLog`. */
export async function selectNewestHeads(
  db: Transaction,
  { suffix }: NewestMonth,
  { afterPosition, minAgeMs, limit }: HeadsOptions,
): Promise<HeadsPage | undefined> {
  const partition = `events_${suffix}`;
  const page = `SELECT position, stream, version, recorded_at FROM ${partition} WHERE position > $1 ORDER BY position LIMIT $3`;
  const end = `(SELECT recorded_at FROM ${partition} ORDER BY position DESC LIMIT 1)`;
  const rows = await db.query<HeadRow & { newest: string; begins: number }>({
    name: `eventlog-heads-${suffix}`,
    text: `SELECT l.epoch AS "readEpoch", n.newest, n.begins, h.*
      FROM log_epoch() l (epoch)
      CROSS JOIN (SELECT month_suffix(month) AS newest, after AS begins FROM months ORDER BY month DESC LIMIT 1) n
      LEFT JOIN (${headsOf(page, end)}) h ON true
      ORDER BY h.position`,
    values: [afterPosition, minAgeMs, limit],
  });
  const { newest, begins } = rows[0] ?? { newest: '', begins: 0 };
  if (newest !== suffix || afterPosition < begins) return undefined;
  return toHeads(rows);
}
