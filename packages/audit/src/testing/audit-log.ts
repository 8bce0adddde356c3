/** For tests: an empty audit log on the real PostgreSQL. */
import { openDatabase } from '@caudal/postgres/database.ts';
import { migrate } from '@caudal/postgres/migrate.ts';
import { freshDatabase } from '@caudal/testing/servers.ts';
import { auditSchema, migrations } from '../migrations.ts';
import { type AuditEntry, emptyEntry } from '../types.ts';

/** In a database of its own, which `drop` deletes. */
export async function freshAuditLog() {
  const fresh = await freshDatabase();
  await migrate({ url: fresh.url, schema: auditSchema, sets: [migrations] });
  const database = openDatabase({ url: fresh.url, schema: auditSchema, derived: true });
  return {
    database,
    url: fresh.url,
    async drop() {
      await database.close();
      await fresh.drop();
    },
  };
}

export const entry = (fields: Partial<AuditEntry> = {}): AuditEntry => ({
  ...emptyEntry,
  ...{
    kind: 'ACT',
    subject: 'ada',
    method: 'caudal.payments.v1.WalletService/Deposit',
    resource: 'w-1',
    outcome: 'OK',
  },
  ...fields,
});
