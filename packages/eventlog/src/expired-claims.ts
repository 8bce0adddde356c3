/**
 * Drops the partitions of claims that have all expired. A partition is first detached CONCURRENTLY, which stops nobody but
 * waits for older transactions and can't run in a transaction; then it is dropped. Each step may be interrupted: a later
 * round continues with the next one. An application's role can't do that: it calls a function, which drops at once.
 */
import type { Transaction } from '@caudal/postgres/database.ts';
import { isBusyError, sqlState } from '@caudal/postgres/errors.ts';
import { ownsLog } from './owner.ts';

interface Partition {
  name: string;
  /** `pending`: its detaching was interrupted. `detached`: it was not dropped yet. */
  state: 'attached' | 'pending' | 'detached';
}

/** Another process has done it meanwhile: the table is not there (42P01), no partition, or already pending (55000). */
const isDoneElsewhere = (error: unknown) => /^(42P01|55000|42809)$/.test(sqlState(error) ?? '');

/**
 * Drops what can be dropped. Returns the names of the partitions that an older transaction keeps: they are dropped by a later
 * call.
 */
export async function dropExpiredClaims(db: Transaction): Promise<{ dropped: string[]; inUse: string[] }> {
  if (!(await ownsLog(db))) {
    const [done] = await db.query<{ dropped: string[]; inUse: string[] }>({
      text: 'SELECT dropped, in_use AS "inUse" FROM drop_expired_claims()',
    });
    return done!;
  }
  const dropped: string[] = [];
  const inUse: string[] = [];
  const expired = await db.query<Partition>({ text: 'SELECT name, state FROM expired_claims()' });
  for (const { name, state } of expired) {
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
