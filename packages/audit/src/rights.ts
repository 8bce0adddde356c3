/** Which rights the role of a connection has on the audit log: docs/database-roles.md. */
import type { Transaction } from '@caudal/postgres/database.ts';

/** What the role may do with it that an application may not, in words; undefined if there is nothing. */
export async function excessAuditRights(db: Transaction): Promise<string | undefined> {
  const rows = await db.query<{ excess: string | null }>({
    text: 'SELECT caudal_audit.excess_of(current_user) AS excess',
  });
  return rows[0]!.excess ?? undefined;
}
