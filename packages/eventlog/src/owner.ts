/** Which rights the role of a connection has on its log: docs/database-roles.md. */
import type { Transaction } from '@caudal/postgres/database.ts';

/** Whether the role owns the log, and can do with it what it likes. */
export async function ownsLog(db: Transaction): Promise<boolean> {
  const rows = await db.query<{ owns: boolean }>({
    text: "SELECT pg_has_role(c.relowner, 'USAGE') AS owns FROM pg_class c WHERE c.oid = 'events'::regclass",
  });
  return rows[0]!.owns;
}

/** What the role may do that an application may not, in words; undefined if there is nothing. */
export async function excessRights(db: Transaction): Promise<string | undefined> {
  const rows = await db.query<{ excess: string | null }>({ text: 'SELECT excess_of(current_user) AS excess' });
  return rows[0]!.excess ?? undefined;
}
