import type { MigrationSet } from '@caudal/postgres/migrate.ts';

/** The functions that make tables of views in a schema that has a log. */
export const migrations: MigrationSet = { name: 'projections', directory: new URL('../migrations/', import.meta.url) };
