/** The statements that read a log. Each sees the log at one moment. */

import { int4Array, textArray } from '@caudal/postgres/arrays.ts';
import type { Transaction } from '@caudal/postgres/database.ts';
import type { RecordedEvent, StreamCursor } from './types.ts';

const columns = `e.position, e.stream, e.version, e.event_id AS "eventId", e.type, e.schema_version AS "schemaVersion",
  e.metadata, e.data, e.recorded_at AS "recordedAt"`;

/** Events of several streams, each after its cursor's version; `limit` in all. */
export function selectStreams(db: Transaction, cursors: StreamCursor[], limit: number): Promise<RecordedEvent[]> {
  return db.query<RecordedEvent>({
    name: 'eventlog-read-streams',
    // With the stream's first and last recorded_at, partitions that can't hold its events are skipped.
    text: `SELECT ${columns}
      FROM unnest($1::text[], $2::int[]) AS c(stream, after)
      CROSS JOIN LATERAL (SELECT * FROM streams s WHERE s.stream = c.stream AND s.version > c.after LIMIT 1) s
      CROSS JOIN LATERAL (
        SELECT * FROM events e
        WHERE e.stream = c.stream AND e.version > c.after
          AND e.recorded_at >= s.created_at AND e.recorded_at <= s.updated_at
        ORDER BY e.version LIMIT $3
      ) e
      ORDER BY e.stream, e.version LIMIT $3`,
    values: [
      textArray(cursors.map(({ stream }) => stream)),
      int4Array(cursors.map(({ afterVersion }) => afterVersion)),
      limit,
    ],
  });
}

/** Exported for a test of its plan. */
export const logStatement = {
  name: 'eventlog-read-log',
  text: `SELECT h.position AS head, ${columns}
    FROM head h
    LEFT JOIN LATERAL (
      SELECT * FROM events e
      WHERE e.position > $1 AND e.recorded_at >= coalesce($2::timestamptz, '-infinity')
      ORDER BY e.position LIMIT $3
    ) e ON true
    ORDER BY e.position`,
};

/**
 * Events after a position, and the head at the same moment. `since`: when the event at the position was recorded, if
 * known. Later events were not recorded before it, so older partitions are skipped.
 */
export async function selectLog(
  db: Transaction,
  options: { afterPosition: number; since: Date | undefined; limit: number },
): Promise<{ events: RecordedEvent[]; head: number }> {
  const rows = await db.query<RecordedEvent & { head: number; position: number | null }>({
    ...logStatement,
    values: [options.afterPosition, options.since?.toISOString() ?? null, options.limit],
  });
  const head = rows[0]!.head;
  return { head, events: rows[0]!.position === null ? [] : rows.map(({ head: _, ...event }) => event) };
}

/** The last event of each stream among the next `limit` events that are old enough, in the log's order. */
export async function selectHeads(
  db: Transaction,
  options: { afterPosition: number; since: Date | undefined; minAgeMs: number; limit: number },
): Promise<RecordedEvent[]> {
  return db.query<RecordedEvent>({
    name: 'eventlog-heads',
    text: `SELECT * FROM (
        SELECT DISTINCT ON (e.stream) ${columns} FROM (
          SELECT * FROM events e
          WHERE e.position > $1 AND e.recorded_at >= coalesce($2::timestamptz, '-infinity')
            AND ($3 = 0 OR e.recorded_at <= clock_timestamp() - $3 * interval '1 millisecond'
              -- The clock was set back: until it has caught up, no event would be old enough.
              OR (SELECT h.recorded_at FROM head h) > clock_timestamp())
          ORDER BY e.position LIMIT $4
        ) e
        ORDER BY e.stream, e.position DESC
      ) heads ORDER BY position`,
    values: [options.afterPosition, options.since?.toISOString() ?? null, options.minAgeMs, options.limit],
  });
}
