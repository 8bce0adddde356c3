import type { MigrationSet } from '@caudal/postgres/migrate.ts';

/** The schema of the audit log: one a database. SQL names it, since it is read from the connections of any context. */
export const auditSchema = 'caudal_audit';

/** The tables and functions of the audit log. */
export const migrations: MigrationSet = { name: 'audit', directory: new URL('../migrations/', import.meta.url) };
