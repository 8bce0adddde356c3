/** The streams of a log, for tools that look at all of them. */
import type { Transaction } from '@caudal/postgres/database.ts';

/** A stream and the version it is at. */
export interface StreamHead {
  stream: string;
  version: number;
}

/** A page of the streams, by name. `after`: the last name of the page before; `prefix`: what their names begin with. */
export function selectStreamHeads(
  db: Transaction,
  { after = '', prefix = '', limit }: { after?: string; prefix?: string; limit: number },
): Promise<StreamHead[]> {
  return db.query({
    name: 'eventlog-stream-heads',
    // A range, since not every planner makes one of starts_with(); the last character of all ends it.
    text: `SELECT stream, version FROM streams
      WHERE stream > $1 AND stream >= $2 AND stream < $2 || chr(1114111) ORDER BY stream LIMIT $3`,
    values: [after, prefix, limit],
  });
}

/**
 * Where the log ends, how many streams it has, and how many events they should have between them: all at one moment.
 * `head` and `events` are the same number unless the log is damaged.
 */
export async function selectTotals(db: Transaction): Promise<{ head: number; streams: number; events: number }> {
  const rows = await db.query<{ head: number; streams: number; events: number }>({
    text: `SELECT position AS head, count(stream) AS streams, coalesce(sum(version), 0)::bigint AS events
      FROM head LEFT JOIN streams ON true GROUP BY position`,
  });
  return rows[0]!;
}
