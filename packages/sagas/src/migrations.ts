import type { MigrationSet } from '@caudal/postgres/migrate.ts';

/**
 * Tables for cursors and timers, in the schema of the sagas' context. The name is recorded in databases, so it stays.
 */
export const migrations: MigrationSet = { name: 'processes', directory: new URL('../migrations/', import.meta.url) };
