import type { MigrationSet } from '@caudal/postgres/migrate.ts';

/** The log's tables and functions. A log has a schema of its own. */
export const migrations: MigrationSet = { name: 'eventlog', directory: new URL('../migrations/', import.meta.url) };
