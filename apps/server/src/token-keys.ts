/** The keys that seal the tokens of this process: of the setting, of the data directory, or derived. See docs/ids.md. */
import { createHmac, randomBytes } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createFileAtomic } from '@caudal/embedded-postgres/create-file-atomic.ts';
import { parseTokenKeys, setTokenKeys, type TokenKeys } from '@caudal/kernel/sealed-token.ts';
import { logger } from '@caudal/telemetry/log.ts';
import type { RuntimeValues } from './settings/settings.ts';
import { ownKey } from './settings/token-key-list.ts';

const log = logger('tokens');

type Values = Pick<RuntimeValues, 'CAUDAL_TOKEN_KEYS' | 'DATABASE_URL' | 'CAUDAL_DATA_DIR' | 'CAUDAL_ROLES'>;

/**
 * Sets the keys of the process. Without the setting, the embedded system makes a key in its data directory, and processes on a
 * database derive one from its credentials, which all of them have.
 */
export async function useTokenKeys(values: Values): Promise<void> {
  const { CAUDAL_TOKEN_KEYS: keys, DATABASE_URL, CAUDAL_DATA_DIR, CAUDAL_ROLES: roles } = values;
  const listed = keys ?? [ownKey];
  if (DATABASE_URL && !keys && (roles.includes('command') || roles.includes('query')))
    log.warn(
      `CAUDAL_TOKEN_KEYS is not set: page tokens and consistency tokens are sealed with a key that is derived from ${sourceOf(DATABASE_URL)}. Set it alike in all processes to ID:KEY, where "openssl rand -base64 32" prints a KEY.`,
    );
  const own = async () => (DATABASE_URL ? [derivedKey(DATABASE_URL)] : await keptKeys(CAUDAL_DATA_DIR));
  const all = await Promise.all(listed.map(async (key) => (key === ownKey ? await own() : [key])));
  setTokenKeys(all.flat() as TokenKeys);
}

const sourceOf = (url: string) =>
  new URL(url).password
    ? 'the password in DATABASE_URL, so it changes with the password, and must be the same in all processes'
    : 'DATABASE_URL, which has no password: whoever knows its user and database can make tokens';

/** Not of host and port: processes may reach the database in different ways. */
function derivedKey(url: string): TokenKeys[0] {
  const { username, password, pathname } = new URL(url);
  const of = JSON.stringify(['caudal tokens', username, pathname]);
  return { id: 'derived', key: createHmac('sha256', password).update(of).digest() };
}

/** The key in the data directory, which is made if it is missing. Processes that make it at the same moment agree on one. */
async function keptKeys(directory: string): Promise<TokenKeys> {
  const file = join(directory, 'token-keys');
  const read = async () => parseTokenKeys((await readFile(file, 'utf8')).trim());
  try {
    return await read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await createFileAtomic(file, `made:${randomBytes(32).toString('base64')}\n`);
  return read();
}
