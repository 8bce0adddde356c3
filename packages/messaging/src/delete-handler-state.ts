/** Deletes the rows of a handler that no longer exists. */
import type { Transaction } from '@caudal/postgres/database.ts';
import { feedCheckpoint, startCheckpoint, sweepCheckpoint } from './checkpoints.ts';

/**
 * Deletes the parked streams and the checkpoints of a handler, so that no alert fires for them. No process may still
 * run the handler: its feed and reconciliation would begin anew. May be called again.
 */
export async function deleteHandlerState(db: Transaction, handler: string): Promise<void> {
  await db.query({
    name: 'handler-delete-state',
    text: `WITH parked AS (DELETE FROM parked_streams WHERE handler = $1)
      DELETE FROM checkpoints WHERE name ^@ ANY ($2::text[])`,
    values: [handler, [feedCheckpoint, sweepCheckpoint, startCheckpoint].map((nameOf) => nameOf(handler, ''))],
  });
}
