import type { MigrationSet } from './migrate.ts';

/** The tables that this package needs in a schema. */
export const migrations: MigrationSet = { name: 'postgres', directory: new URL('../migrations/', import.meta.url) };
