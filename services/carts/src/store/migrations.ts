import type { MigrationSet } from '@caudal/postgres/migrate.ts';

/** The tables of carts, in the schema of the context. */
export const migrations: MigrationSet = { name: 'carts', directory: new URL('../../migrations/', import.meta.url) };
