/** A database whose transactions commit only while a run holds its lease. */
import type { Database } from '@caudal/postgres/database.ts';
import { stillHolds } from './job-store.ts';
import { type GuardedDatabase, LeaseLost } from './types.ts';

/**
 * The check is the transaction's last statement and locks the job's row until the commit. So a run that froze, and
 * wakes after another one has begun, is rolled back. If the check came first, the lease could be lost between check and
 * commit.
 */
export function guardedDatabase(database: Database, run: { name: string; epoch: number }): GuardedDatabase {
  return {
    query: (statement) => database.query(statement),
    transaction: (work) =>
      database.transaction(async (tx) => {
        const result = await work(tx);
        if (!(await stillHolds(tx, run))) throw new LeaseLost(run.name, run.epoch);
        return result;
      }),
  };
}
