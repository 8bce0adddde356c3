import type { MigrationSet } from '@caudal/postgres/migrate.ts';

/** The tables that subscriptions need in a schema, beside those of @caudal/postgres. */
export const migrations: MigrationSet = { name: 'messaging', directory: new URL('../migrations/', import.meta.url) };
