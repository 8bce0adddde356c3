/** The streams of a log, for tools that read all of them. */
import type { Database, Transaction } from '@caudal/postgres/database.ts';
import { headPosition } from './read.ts';

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
    text: 'SELECT stream, version FROM stream_heads($1, $2, $3)',
    values: [after, prefix, limit],
  });
}

const streamsAPage = 10_000;

/**
 * The log's last position, the number of its streams, and the sum of their versions, all at one moment. `head` and
 * `events` are equal unless the log is damaged.
 */
export function selectTotals(db: Database): Promise<{ head: number; streams: number; events: number }> {
  return db.transaction(async (tx) => {
    await tx.query({ text: 'SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY' });
    const totals = { head: await headPosition(tx), streams: 0, events: 0 };
    for (let after: string | undefined = ''; after !== undefined; ) {
      const page: StreamHead[] = await selectStreamHeads(tx, { after, limit: streamsAPage });
      totals.streams += page.length;
      for (const { version } of page) totals.events += version;
      after = page.length === streamsAPage ? page.at(-1)!.stream : undefined;
    }
    return totals;
  });
}
