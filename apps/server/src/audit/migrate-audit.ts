/** The schema of the audit log, one a database: docs/audit.md. */
import { setRetention } from '@caudal/audit/maintenance.ts';
import { auditSchema, migrations } from '@caudal/audit/migrations.ts';
import { openDatabase } from '@caudal/postgres/database.ts';
import { migrate, pendingMigrations } from '@caudal/postgres/migrate.ts';
import { grantStatement } from '@caudal/postgres/roles.ts';
import type { RuntimeValues } from '../settings/settings.ts';

const of = { schema: auditSchema, sets: [migrations] };

/** Brings it up to date, as the role that owns it. Returns the names of the applied migrations. `application`: as in migrateContext. */
export async function migrateAudit(url: string, values: RuntimeValues, application?: string): Promise<string[]> {
  const applied = await migrate({ url, ...of, atEnd: grantStatement(application) });
  const database = openDatabase({ url, schema: auditSchema, poolSize: 1, applicationName: 'caudal-migrate' });
  try {
    await setRetention(database, values.CAUDAL_AUDIT_RETENTION_MONTHS);
  } finally {
    await database.close();
  }
  return applied;
}

/** The migrations that `migrateAudit` would apply: `audit audit/001_audit.sql`. */
export async function pendingAudit(url: string): Promise<string[]> {
  const files = await pendingMigrations({ url, ...of });
  return files.map((file) => `${auditSchema} ${file}`);
}
