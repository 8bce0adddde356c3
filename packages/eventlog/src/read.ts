/** The statements that read a log, by the functions of migrations/008_read.sql. Each sees the log at one moment. */

import { int4Array, textArray } from '@caudal/postgres/arrays.ts';
import type { Transaction } from '@caudal/postgres/database.ts';
import type { RecordedEvent, StreamCursor } from './types.ts';

const columns = `e.position, e.stream, e.version, e.event_id AS "eventId", e.type, e.schema_version AS "schemaVersion",
  e.metadata, e.data, e.recorded_at AS "recordedAt"`;

/** The log's last position. */
export async function headPosition(db: Transaction): Promise<number> {
  const rows = await db.query<{ position: number }>({
    name: 'eventlog-head',
    text: 'SELECT position FROM log_end()',
  });
  return rows[0]!.position;
}

/** Events of several streams, each after its cursor's version: at most `each` of a stream, and `limit` in all. */
export function selectStreams(
  db: Transaction,
  cursors: StreamCursor[],
  { limit, each = limit }: { limit: number; each?: number },
): Promise<RecordedEvent[]> {
  return db.query<RecordedEvent>({
    name: 'eventlog-read-streams',
    text: `SELECT ${columns} FROM read_streams($1, $2, $3) e ORDER BY e.stream COLLATE "C", e.version LIMIT $4`,
    values: [
      textArray(cursors.map(({ stream }) => stream)),
      int4Array(cursors.map(({ afterVersion }) => afterVersion)),
      each,
      limit,
    ],
  });
}

/** Events after a position, and the head at the same moment. */
export async function selectLog(
  db: Transaction,
  { afterPosition, limit }: { afterPosition: number; limit: number },
): Promise<{ events: RecordedEvent[]; head: number }> {
  const rows = await db.query<RecordedEvent & { head: number; position: number | null }>({
    name: 'eventlog-read-log',
    text: `SELECT e.head, ${columns} FROM read_log($1, $2) e ORDER BY e.position LIMIT $2`,
    values: [afterPosition, limit],
  });
  const head = rows[0]!.head;
  return { head, events: rows[0]!.position === null ? [] : rows.map(({ head: _, ...event }) => event) };
}

/** The last event of each stream among the next `limit` events that are old enough, in the log's order. */
export async function selectHeads(
  db: Transaction,
  options: { afterPosition: number; minAgeMs: number; limit: number },
): Promise<RecordedEvent[]> {
  return db.query<RecordedEvent>({
    name: 'eventlog-heads',
    // recorded_at never goes back, so those that are too young are at the page's end.
    text: `SELECT * FROM (
        SELECT DISTINCT ON (e.stream) ${columns} FROM (
          SELECT * FROM read_log($1, $3) e WHERE e.position IS NOT NULL ORDER BY e.position LIMIT $3
        ) e
        WHERE $2 = 0 OR e.recorded_at <= log_clock() - $2 * interval '1 millisecond'
          -- The clock was set back: until it has caught up, no event would be old enough.
          OR (SELECT l.recorded_at FROM log_end() l) > log_clock()
        ORDER BY e.stream, e.position DESC
      ) heads ORDER BY position`,
    values: [options.afterPosition, options.minAgeMs, options.limit],
  });
}
