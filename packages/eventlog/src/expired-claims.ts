/**
 * Drops the partitions of claims that have all expired. A partition is first detached CONCURRENTLY, which stops nobody but
 * waits for older transactions and can't run in a transaction; then it is dropped. Each step may be interrupted: a later
 * round continues with the next one.
 */
import type { Transaction } from '@caudal/postgres/database.ts';
import { isBusyError, sqlState } from '@caudal/postgres/errors.ts';

interface Partition {
  name: string;
  /** `pending`: its detaching was interrupted. `detached`: it was not dropped yet. */
  state: 'attached' | 'pending' | 'detached';
}

/** Partitions whose claims have ended for a day, by the clock and by the log's own time. */
function selectExpired(db: Transaction): Promise<Partition[]> {
  return db.query<Partition>({
    text: `SELECT c.relname AS name,
        CASE WHEN i.inhrelid IS NULL THEN 'detached' WHEN i.inhdetachpending THEN 'pending' ELSE 'attached' END AS state
      FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
      WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND c.relname ~ '^claims_[0-9]+$'
        AND to_timestamp((substr(c.relname, 8)::bigint + 1) * 864000) + interval '1 day'
          <= least(log_clock(), (SELECT e.recorded_at FROM log_end() e))
      ORDER BY 1`,
  });
}

/** Another process has done it meanwhile: the table is not there (42P01), no partition, or already pending (55000). */
const isDoneElsewhere = (error: unknown) => /^(42P01|55000|42809)$/.test(sqlState(error) ?? '');

/**
 * Drops what can be dropped. Returns the names of the partitions that an older transaction keeps: they are dropped by a later
 * call.
 */
export async function dropExpiredClaims(db: Transaction): Promise<{ dropped: string[]; inUse: string[] }> {
  const dropped: string[] = [];
  const inUse: string[] = [];
  for (const { name, state } of await selectExpired(db)) {
    try {
      if (state === 'attached') await db.query({ text: `ALTER TABLE claims DETACH PARTITION ${name} CONCURRENTLY` });
      if (state === 'pending') await db.query({ text: `ALTER TABLE claims DETACH PARTITION ${name} FINALIZE` });
      await db.query({ text: `DROP TABLE ${name}` });
      dropped.push(name);
    } catch (error) {
      if (isBusyError(error)) inUse.push(name);
      else if (!isDoneElsewhere(error)) throw error;
    }
  }
  return { dropped, inUse };
}
