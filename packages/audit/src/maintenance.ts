/** The months of the audit log, and how long they are kept: docs/audit.md, Bounds. */
import type { Transaction } from '@caudal/postgres/database.ts';

/** Sets how many whole months are kept. Only the owner may. */
export async function setRetention(db: Transaction, months: number): Promise<void> {
  await db.query({ text: 'UPDATE caudal_audit.retention SET months = $1 WHERE months <> $1', values: [months] });
}

/** Makes the tables of this month and the next two. */
export async function makeMonths(db: Transaction): Promise<void> {
  await db.query({ text: 'SELECT caudal_audit.make_months()' });
}

/** Drops the months that are older than the retention. Returns their number. */
export async function dropExpired(db: Transaction): Promise<number> {
  const rows = await db.query<{ months: number }>({ text: 'SELECT caudal_audit.drop_expired() AS months' });
  return rows[0]!.months;
}
