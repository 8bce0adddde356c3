import type { MigrationSet } from '@caudal/postgres/migrate.ts';

/** Cursors and timers: in the schema of the context that the sagas belong to. The name is on record in databases: it stays. */
export const migrations: MigrationSet = { name: 'processes', directory: new URL('../migrations/', import.meta.url) };
