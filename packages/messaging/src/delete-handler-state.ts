/** Deletes the rows of a handler that no longer exists. */
import type { Transaction } from '@caudal/postgres/database.ts';
import { feedCheckpoint, sweepCheckpoint } from './checkpoints.ts';

/**
 * Deletes the parked streams and the checkpoints of a handler, so that no alert fires for them. No process may still
 * run the handler: its feed and reconciliation would begin anew. May be called again.
 */
export async function deleteHandlerState(db: Transaction, handler: string): Promise<void> {
  await db.query({
    name: 'handler-delete-state',
    text: `WITH parked AS (DELETE FROM parked_streams WHERE handler = $1)
      DELETE FROM checkpoints WHERE starts_with(name, $2) OR starts_with(name, $3)`,
    values: [handler, feedCheckpoint(handler, ''), sweepCheckpoint(handler, '')],
  });
}
