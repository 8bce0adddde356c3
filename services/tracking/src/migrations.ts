import type { MigrationSet } from '@caudal/postgres/migrate.ts';

/** The tables of traces and parcels. */
export const migrations: MigrationSet = { name: 'tracking', directory: new URL('../migrations/', import.meta.url) };
