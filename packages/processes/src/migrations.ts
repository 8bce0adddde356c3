import type { MigrationSet } from '@caudal/postgres/migrate.ts';

/** Cursors and timers: in the schema of the context that the processes belong to. */
export const migrations: MigrationSet = { name: 'processes', directory: new URL('../migrations/', import.meta.url) };
