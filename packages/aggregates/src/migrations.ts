import type { MigrationSet } from '@caudal/postgres/migrate.ts';

/** The tables that aggregates need in the schema of their log. */
export const migrations: MigrationSet = { name: 'aggregates', directory: new URL('../migrations/', import.meta.url) };
