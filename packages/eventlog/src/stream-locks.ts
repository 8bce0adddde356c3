/**
 * StreamLocks at contended streams: an advisory lock of PostgreSQL, whose queue is served in order.
 *
 * A transaction that does nothing else holds it. So it ends with the process or its connection, works through a pooler of
 * transactions, and the server ends it when its holder stands still, none of which a lease in a row does by itself. It has a
 * few connections of its own, which are only there while streams are contended: neither reads nor appends wait for them.
 */
import { within } from '@caudal/kernel/time.ts';
import { openDatabase } from '@caudal/postgres/database.ts';

/** StreamLocks had or waited for at a time, a connection each; who wants one more goes on without. */
const maxTurns = 4;
/** After this long one goes on without: whoever has the turn stands still, or too many want it. */
const waitMs = 1_000;

export interface StreamLocks {
  /** See `EventLog.lockStream`. */
  take(stream: string): Promise<() => void>;
  /** Waits for the turns that are had, and closes the connections. */
  stop(): Promise<void>;
}

/** StreamLocks at the streams of the log in this schema. Connects at first use. */
export function openStreamLocks({ url, schema }: { url: string; schema: string }): StreamLocks {
  const database = openDatabase({
    url,
    schema,
    poolSize: maxTurns,
    applicationName: 'caudal-locks',
    // A transaction that stands still may do so for the sum of the next two.
    lockTimeoutMs: waitMs,
    statementTimeoutMs: waitMs,
    connectTimeoutMs: waitMs,
  });
  let taken = 0;

  return {
    async take(stream) {
      if (taken === maxTurns) return () => {};
      taken++;
      const { promise: granted, resolve: grant } = Promise.withResolvers<void>();
      const { promise: ended, resolve: end } = Promise.withResolvers<void>();
      database
        .transaction(async (tx) => {
          await tx.query({
            name: 'eventlog-turn',
            text: "SELECT pg_advisory_xact_lock(hashtextextended('caudal.turn.' || $1 || '.' || $2, 0))",
            values: [schema, stream],
          });
          grant();
          await ended;
        })
        // Not had in time, or lost on the way: nothing depends on it.
        .catch(() => {})
        .finally(() => {
          taken--;
          grant();
        });
      // If it comes later than that, it is over at once.
      if (!(await within(waitMs, granted))) end();
      return end;
    },
    stop: () => database.close(),
  };
}
