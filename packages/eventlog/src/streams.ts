/** The streams of a log, for tools that read all of them. */
import type { Transaction } from '@caudal/postgres/database.ts';

/** A stream and its version. */
export interface StreamHead {
  stream: string;
  version: number;
}

/** A page of the streams, by name. `after`: the last name of the previous page; `prefix`: the start of the names. */
export function selectStreamHeads(
  db: Transaction,
  { after = '', prefix = '', limit }: { after?: string; prefix?: string; limit: number },
): Promise<StreamHead[]> {
  return db.query({
    name: 'eventlog-stream-heads',
    // A range that ends with the highest character, since not every planner turns starts_with() into one.
    text: `SELECT stream, version FROM streams
      WHERE stream > $1 AND stream >= $2 AND stream < $2 || chr(1114111) ORDER BY stream LIMIT $3`,
    values: [after, prefix, limit],
  });
}

/**
 * The log's last position, the number of its streams, and the sum of their versions, all at one moment. `head` and
 * `events` are equal unless the log is damaged.
 */
export async function selectTotals(db: Transaction): Promise<{ head: number; streams: number; events: number }> {
  const rows = await db.query<{ head: number; streams: number; events: number }>({
    text: `SELECT position AS head, count(stream) AS streams, coalesce(sum(version), 0)::bigint AS events
      FROM head LEFT JOIN streams ON true GROUP BY position`,
  });
  return rows[0]!;
}
