/**
 * The key with which commands sign tokens: the configured one, or the one in the data directory of an embedded system.
 */
import { resolve } from 'node:path';
import { hasKey, type Identity, type IdentityValues, openIdentity } from '@caudal/server/identity.ts';
import type { RuntimeValues } from '@caudal/server/settings/settings.ts';
import { UsageError } from './usage.ts';

/** The settings that determine the key. */
export type SignerValues = IdentityValues & Pick<RuntimeValues, 'CAUDAL_DATA_DIR' | 'DATABASE_URL'>;

/** Opens the key, and prints its data directory to standard error. Never makes a key. Throws UsageError without one. */
export async function openSigner(values: SignerValues): Promise<Identity> {
  if (values.CAUDAL_AUTH === 'off') throw new UsageError('CAUDAL_AUTH is off: no call needs a token.');
  // With a configured signing key, the keys to check tokens with are not needed here.
  if (values.CAUDAL_USER_KEY || values.CAUDAL_SERVICE_KEY)
    return openIdentity({ ...values, CAUDAL_AUTH: 'off' }, undefined);
  if (values.DATABASE_URL || values.CAUDAL_JWKS || values.CAUDAL_OIDC_ISSUER) {
    throw new UsageError(
      'There is no key to sign with: set CAUDAL_USER_KEY, or CAUDAL_SERVICE_KEY if its public half is in CAUDAL_JWKS ("caudal keys" makes one).',
    );
  }
  const directory = resolve(values.CAUDAL_DATA_DIR);
  if (!hasKey(directory)) {
    throw new UsageError(
      `There is no key in the data directory ${directory}. Set CAUDAL_DATA_DIR to the data directory of the system that the token is for: ` +
        '"caudal start" prints it, and makes the key at its first start. For a system with configured keys, set CAUDAL_SERVICE_KEY.',
    );
  }
  console.error(`Signed with the key of the data directory ${directory}.`);
  return openIdentity(values, directory);
}
