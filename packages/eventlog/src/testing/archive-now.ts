/** For tests: the job that archives months, as one call. */
import type { ArchiveStore } from '@caudal/archive-store/types.ts';
import type { Database } from '@caudal/postgres/database.ts';
import { openArchive } from '../archive/archive.ts';
import { type ArchiveOptions, archiveMonths } from '../archive/archive-months.ts';

/** Runs the job once. */
export function archiveNow(
  { database, url }: { database: Database; url: string },
  store: ArchiveStore,
  options: Partial<ArchiveOptions> = {},
): Promise<string[]> {
  return archiveMonths({
    ...{ database, plain: { url, schema: database.schema }, archive: openArchive(store), domain: 'orders' },
    ...{ afterMonths: 24, signal: new AbortController().signal, ...options },
  });
}
