import type { MigrationSet } from '@caudal/postgres/migrate.ts';

/** The table of a context's jobs, in the context's schema. */
export const migrations: MigrationSet = { name: 'jobs', directory: new URL('../migrations/', import.meta.url) };
