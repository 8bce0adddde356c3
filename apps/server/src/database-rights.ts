/** Refuses a role of the database that could change what was recorded, or warns of it: docs/database-roles.md. */
import { excessAuditRights } from '@caudal/audit/rights.ts';
import { ConfigError } from '@caudal/config/config.ts';
import { excessRights, ownsLog } from '@caudal/eventlog/owner.ts';
import type { Transaction } from '@caudal/postgres/database.ts';
import { logger } from '@caudal/telemetry/log.ts';
import type { RuntimeValues } from './settings/settings.ts';

const log = logger('database-rights');

type Values = Pick<RuntimeValues, 'DATABASE_URL' | 'CAUDAL_OWNER_DATABASE_URL'>;

const userOf = (url: string) => new URL(url).username;

/** Whether the settings name an owner beside the user of DATABASE_URL. After a change back to one role both are the same. */
const namesTwoRoles = ({ DATABASE_URL: url, CAUDAL_OWNER_DATABASE_URL: ownerUrl }: Values) =>
  url !== undefined && ownerUrl !== undefined && userOf(url) !== userOf(ownerUrl);

/**
 * Looks at every schema of the process. Where its role is meant to be another one than the owner (the settings say so, or it does not own the
 * log), more rights than an application has are a ConfigError. Else there is one role, which is a warning. UNAVAILABLE.
 */
export async function checkRights(
  values: Values,
  locals: { context: { name: string }; database: Transaction }[],
): Promise<void> {
  let owned: string | undefined;
  const refuse = (excess: string) => {
    const wrong = `its user may do more than an application may: ${excess}`;
    const fix = 'Revoke that, or name the user that "caudal migrate" has granted to: see docs/database-roles.md';
    throw new ConfigError([{ name: 'DATABASE_URL', wrong, fix }]);
  };
  for (const { database } of locals) {
    const excess = await excessRights(database);
    if (excess === undefined) continue;
    if (namesTwoRoles(values) || !(await ownsLog(database))) refuse(excess);
    owned ??= excess;
  }
  if (owned !== undefined) {
    log.warn(
      { excess: owned },
      'the role of DATABASE_URL owns the tables, so it can change and delete events: give the processes a role of their own (docs/database-roles.md)',
    );
    return;
  }
  // One for all contexts of the database.
  const excess = await excessAuditRights(locals[0]!.database);
  if (excess !== undefined) refuse(excess);
}
