/** The embedded PostgreSQL of a process: started, and migrated. */
import { holdEmbeddedPostgres } from '@caudal/embedded-postgres/embedded-postgres.ts';
import type { Lifecycle } from '@caudal/lifecycle/lifecycle.ts';
import { contexts } from './contexts.ts';
import { type DatabaseUrls, embeddedUrls, migratorOf } from './database-urls.ts';
import { migrateContexts } from './handlers/saga-starts.ts';
import type { RuntimeValues } from './settings/settings.ts';

/** Ends with the lifecycle. */
export async function startEmbedded(values: RuntimeValues, lifecycle: Lifecycle): Promise<DatabaseUrls> {
  const urls = embeddedUrls((await holdEmbeddedPostgres(values.CAUDAL_DATA_DIR, lifecycle)).url);
  const { url, application } = await migratorOf(urls);
  await migrateContexts(url, contexts, values, application);
  return urls;
}
