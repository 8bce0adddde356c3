/** Records where the sagas of contexts begin, when a database is migrated: before any process runs that knows them. */
import type { Context } from '@caudal/context/context.ts';
import { openEventLog } from '@caudal/eventlog/event-log.ts';
import { openDatabase } from '@caudal/postgres/database.ts';
import { type LogEnd, readEnd, recordStarts } from '@caudal/sagas/start-positions.ts';
import { migrateAudit } from '../audit/migrate-audit.ts';
import { migrateContext } from '../local-context.ts';
import type { RuntimeValues } from '../settings/settings.ts';
import { sagaDefinitions } from './definitions.ts';

/**
 * Brings the schemas of contexts and the audit log's up to date, and records where sagas begin. `application`: the role of the
 * processes, if it is not the one of `url`, which owns the schemas.
 */
export async function migrateContexts(
  url: string,
  contexts: Context[],
  values: RuntimeValues,
  application?: string,
): Promise<void> {
  for (const context of contexts) await migrateContext(url, context, application);
  await migrateAudit(url, values, application);
  await recordSagaStarts(url, contexts, values);
}

/** Records where the sagas of contexts begin, whose schemas are up to date. */
export async function recordSagaStarts(url: string, contexts: Context[], values: RuntimeValues): Promise<void> {
  const names = new Set(contexts.map(({ name }) => name));
  for (const context of contexts) {
    const sagas = await sagaDefinitions(context, values);
    if (sagas.length === 0) continue;
    const database = openDatabase({ url, schema: context.name, poolSize: 1, applicationName: 'caudal-migrate' });
    try {
      await recordStarts({
        database,
        sagas,
        // The log of a context of another deployment is asked when the saga starts.
        headOf: async (domain) => (names.has(domain) ? headOf(url, domain) : undefined),
      });
    } finally {
      await database.close();
    }
  }
}

async function headOf(url: string, domain: string): Promise<LogEnd> {
  const database = openDatabase({ url, schema: domain, poolSize: 1, applicationName: 'caudal-migrate' });
  const log = openEventLog({ database, domain });
  try {
    return await readEnd(log);
  } finally {
    await log.stop();
    await database.close();
  }
}
