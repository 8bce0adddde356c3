/** With which roles a process connects to PostgreSQL: docs/database-roles.md. */
import { createHmac } from 'node:crypto';
import { ConfigError } from '@caudal/config/config.ts';
import { ensureApplicationRole } from '@caudal/postgres/roles.ts';
import type { RuntimeValues } from './settings/settings.ts';

export interface DatabaseUrls {
  /** Of the application's role, or of the owner's where there is only one. */
  url: string;
  /** Of the role that owns the tables; undefined if it is not known. */
  ownerUrl: string | undefined;
}

/** The application's role in an embedded PostgreSQL. */
const embeddedRole = 'caudal_app';

/**
 * The URLs of an embedded PostgreSQL. The password of the application's role follows from the owner's, so that no second one has to
 * be kept, and a command that joins a running system knows it.
 */
export function embeddedUrls(ownerUrl: string): DatabaseUrls {
  const url = new URL(ownerUrl);
  const key = decodeURIComponent(url.password);
  url.username = embeddedRole;
  url.password = createHmac('sha256', key).update(embeddedRole).digest('base64url');
  return { url: url.href, ownerUrl };
}

/** The URLs that the settings give. Throws ConfigError if there is none. */
export function configuredUrls(
  values: Pick<RuntimeValues, 'DATABASE_URL' | 'CAUDAL_OWNER_DATABASE_URL'>,
): DatabaseUrls {
  const { DATABASE_URL: url, CAUDAL_OWNER_DATABASE_URL: ownerUrl } = values;
  if (url) return { url, ownerUrl };
  throw new ConfigError([
    {
      name: 'DATABASE_URL',
      wrong: 'it is not set, but CAUDAL_OWNER_DATABASE_URL is',
      fix: 'Set it to the same database, as the user that the processes are to use',
    },
  ]);
}

/** As whom migrations run, and the role that they grant to; made if it is not there. */
export async function migratorOf({ url, ownerUrl }: DatabaseUrls): Promise<{ url: string; application?: string }> {
  if (ownerUrl === undefined) return { url };
  return { url: ownerUrl, application: await ensureApplicationRole({ ownerUrl, url }) };
}
