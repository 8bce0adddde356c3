/**
 * Locks of contended streams: advisory locks of PostgreSQL, granted in the order of the requests. Each is held by a
 * transaction that does nothing else. See README, Choices.
 */
import { within } from '@caudal/kernel/time.ts';
import { type Database, openDatabase } from '@caudal/postgres/database.ts';

/** Locks that a process holds or waits for at a time, each on a connection. A further request continues without a lock. */
export const maxLocks = 4;
/** After this long a request continues without the lock: its holder hangs, or too many processes want it. */
const waitMs = 1_000;

export interface StreamLocks {
  /** See `EventLog.lockStream`. */
  take(stream: string): Promise<() => void>;
  /** Waits for the locks that are held, and closes the connections if they are its own. */
  stop(): Promise<void>;
}

/** The connections that hold the locks of a process on one server, for all of its logs. */
export interface LockConnections {
  readonly database: Database;
  /** Those that hold a lock or wait for one. */
  taken: number;
}

/** Opens the connections for locks. They connect at first use; the caller closes the database. */
export function openLockConnections(url: string): LockConnections {
  const database = openDatabase({
    url,
    // A lock is a number: no schema is used.
    schema: 'pg_catalog',
    poolSize: maxLocks,
    applicationName: 'caudal-locks',
    // A transaction that hangs may hold its lock for the sum of the next two time-outs.
    lockTimeoutMs: waitMs,
    statementTimeoutMs: waitMs,
    connectTimeoutMs: waitMs,
  });
  return { database, taken: 0 };
}

/**
 * Opens the locks of the streams of the log in this schema. Connects at first use. `shared`: the process's connections
 * for locks; its own if absent.
 */
export function openStreamLocks(
  { url, schema }: { url: string; schema: string },
  shared?: LockConnections,
): StreamLocks {
  const connections = shared ?? openLockConnections(url);

  return {
    async take(stream) {
      if (connections.taken === maxLocks) return () => {};
      connections.taken++;
      const { promise: granted, resolve: grant } = Promise.withResolvers<void>();
      const { promise: ended, resolve: end } = Promise.withResolvers<void>();
      connections.database
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
          connections.taken--;
          grant();
        });
      // A lock that is granted later is released at once.
      if (!(await within(waitMs, granted))) end();
      return end;
    },
    stop: async () => {
      if (!shared) await connections.database.close();
    },
  };
}
