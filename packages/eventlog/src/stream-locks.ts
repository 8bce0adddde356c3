/**
 * Locks of contended streams: advisory locks of PostgreSQL, granted in the order of the requests. Each is held by a
 * transaction that does nothing else. See README, Choices.
 */
import { within } from '@caudal/kernel/time.ts';
import { openDatabase } from '@caudal/postgres/database.ts';

/** Locks held or waited for at a time, each on a connection. A further request continues without a lock. */
const maxLocks = 4;
/** After this long a request continues without the lock: its holder hangs, or too many processes want it. */
const waitMs = 1_000;

export interface StreamLocks {
  /** See `EventLog.lockStream`. */
  take(stream: string): Promise<() => void>;
  /** Waits for the locks that are held, and closes the connections. */
  stop(): Promise<void>;
}

/** Opens the locks of the streams of the log in this schema. Connects at first use. */
export function openStreamLocks({ url, schema }: { url: string; schema: string }): StreamLocks {
  const database = openDatabase({
    url,
    schema,
    poolSize: maxLocks,
    applicationName: 'caudal-locks',
    // A transaction that hangs may hold its lock for the sum of the next two time-outs.
    lockTimeoutMs: waitMs,
    statementTimeoutMs: waitMs,
    connectTimeoutMs: waitMs,
  });
  let taken = 0;

  return {
    async take(stream) {
      if (taken === maxLocks) return () => {};
      taken++;
      const { promise: granted, resolve: grant } = Promise.withResolvers<void>();
      const { promise: ended, resolve: end } = Promise.withResolvers<void>();
      database
        .transaction(async (tx) => {
          await tx.query({
            name: 'eventlog-lock-stream',
            // The key keeps its older name, so that processes of two versions exclude each other.
            text: "SELECT pg_advisory_xact_lock(hashtextextended('caudal.turn.' || $1 || '.' || $2, 0))",
            values: [schema, stream],
          });
          grant();
          await ended;
        })
        // Not granted in time, or lost: no result depends on the lock.
        .catch(() => {})
        .finally(() => {
          taken--;
          grant();
        });
      // A lock that is granted later is released at once.
      if (!(await within(waitMs, granted))) end();
      return end;
    },
    stop: () => database.close(),
  };
}
