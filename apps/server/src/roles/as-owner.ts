/** Work that needs the rights of the tables' owner: docs/database-roles.md. */
import { ownsLog } from '@caudal/eventlog/owner.ts';
import { guardedDatabase } from '@caudal/jobs/guarded-database.ts';
import type { GuardedDatabase } from '@caudal/jobs/types.ts';
import { type Database, openDatabase } from '@caudal/postgres/database.ts';
import type { LocalContext } from '../local-context.ts';

export interface OwnersDatabases {
  /** Its transactions commit only while the run holds its lease. */
  database: GuardedDatabase;
  plain: Pick<Database, 'url' | 'schema'>;
}

type Local = Pick<LocalContext, 'context' | 'database' | 'ownerUrl'>;

/**
 * Does the work on a database of the context whose role owns the log. Throws an Error that names the setting if this process connects as an
 * application, and knows no owner.
 */
export async function onOwnersDatabase<T>(
  { context, database, ownerUrl }: Local,
  work: (database: Database) => Promise<T>,
): Promise<T> {
  if (await ownsLog(database)) return work(database);
  if (!ownerUrl)
    throw new Error(
      `This needs the owner of the log of ${context.name}, which the user of DATABASE_URL is not: set CAUDAL_OWNER_DATABASE_URL.`,
    );
  const own = openDatabase({ url: ownerUrl, schema: context.name, poolSize: 2, applicationName: 'caudal-owner' });
  try {
    return await work(own);
  } finally {
    await own.close();
  }
}

/** The same for a job's run. */
export function asOwner<T>(
  local: Local,
  run: { name: string; token: number; database: GuardedDatabase },
  work: (databases: OwnersDatabases) => Promise<T>,
): Promise<T> {
  return onOwnersDatabase(local, (own) =>
    own === local.database
      ? work({ database: run.database, plain: own })
      : work({ database: guardedDatabase(own, { name: run.name, epoch: run.token }), plain: own }),
  );
}
