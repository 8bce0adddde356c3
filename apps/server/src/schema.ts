/** Refuses a database whose schemas are not up to date: it must be migrated once, before all processes start. */
import { ConfigError } from '@caudal/config/config.ts';
import type { Context } from '@caudal/context/context.ts';
import { isTransient } from '@caudal/kernel/errors.ts';
import { backoffMs, sleep } from '@caudal/kernel/time.ts';
import { sqlState } from '@caudal/postgres/errors.ts';
import { logger } from '@caudal/telemetry/log.ts';
import { pendingAudit } from './audit/migrate-audit.ts';
import { contexts } from './contexts.ts';
import { pendingOf } from './local-context.ts';
import type { RuntimeValues } from './settings/settings.ts';

const log = logger('schema');
const listedAtMost = 3;
const insufficientPrivilege = '42501';

/** The contexts that the settings name. */
export function contextsOf({ CAUDAL_CONTEXTS }: Pick<RuntimeValues, 'CAUDAL_CONTEXTS'>): Context[] {
  return contexts.filter(({ name }) => CAUDAL_CONTEXTS.includes(name));
}

/**
 * Returns once the schemas of the contexts are known to be up to date. Waits up to `waitMs` for a server that can't be
 * reached (a deployment may start it at the same time), then throws UNAVAILABLE. ConfigError if anything is pending.
 */
export async function awaitMigrated(options: {
  url: string;
  contexts: Context[];
  waitMs: number;
  signal: AbortSignal;
}): Promise<void> {
  const giveUpAt = performance.now() + options.waitMs;
  for (let attempt = 1; ; attempt++) {
    try {
      refuse([...(await pendingOf(options.url, options.contexts)), ...(await pendingAudit(options.url))]);
      return;
    } catch (error) {
      if (sqlState(error) === insufficientPrivilege) throw withoutGrants(error);
      if (!isTransient(error) || options.signal.aborted || performance.now() >= giveUpAt) throw error;
      log.warn({ err: error }, 'waiting for PostgreSQL');
    }
    await sleep(backoffMs(attempt, { firstMs: 200, maxMs: 5_000 }), options.signal);
  }
}

function withoutGrants(cause: unknown): ConfigError {
  const error = new ConfigError([
    {
      name: 'DATABASE_URL',
      wrong: `its user lacks rights that an application needs (${(cause as Error).message})`,
      fix: 'Run "caudal migrate" with the same settings and CAUDAL_OWNER_DATABASE_URL: see docs/database-roles.md',
    },
  ]);
  error.cause = cause;
  return error;
}

function refuse(pending: string[]): void {
  if (pending.length === 0) return;
  const more = pending.length > listedAtMost ? ` and ${pending.length - listedAtMost} more` : '';
  const wrong = `its schemas are not up to date (pending: ${pending.slice(0, listedAtMost).join(', ')}${more})`;
  throw new ConfigError([{ name: 'DATABASE_URL', wrong, fix: 'Run "caudal migrate" with the same settings first' }]);
}
