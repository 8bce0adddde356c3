/** The key that commands sign tokens with: the configured one, or that of the embedded system of the data directory. */
import { resolve } from 'node:path';
import { hasKey, type Identity, type IdentityValues, openIdentity } from '@caudal/server/identity.ts';
import type { RuntimeValues } from '@caudal/server/settings/settings.ts';
import { UsageError } from './usage.ts';

/** What a key is searched by. */
export type SignerValues = IdentityValues & Pick<RuntimeValues, 'CAUDAL_DATA_DIR' | 'DATABASE_URL'>;

/** Signs with the key, and says on standard error which data directory it is from. Makes none. Throws UsageError without one. */
export async function openSigner(values: SignerValues): Promise<Identity> {
  if (values.CAUDAL_AUTH === 'off') throw new UsageError('CAUDAL_AUTH is off: no call needs a token.');
  // With a key of its own to sign with, the keys to check with do not matter here.
  if (values.CAUDAL_SERVICE_KEY) return openIdentity({ ...values, CAUDAL_AUTH: 'off' }, undefined);
  if (values.DATABASE_URL || values.CAUDAL_JWKS) {
    throw new UsageError('There is no key to sign with: set CAUDAL_SERVICE_KEY ("caudal keys" makes one).');
  }
  const directory = resolve(values.CAUDAL_DATA_DIR);
  if (!hasKey(directory)) {
    throw new UsageError(
      `There is no key in the data directory ${directory}. Set CAUDAL_DATA_DIR to that of the system which the token is for: ` +
        '"caudal start" prints it, and makes the key at its first start. For a system with keys of its own, set CAUDAL_SERVICE_KEY.',
    );
  }
  console.error(`Signed with the key of the data directory ${directory}.`);
  return openIdentity(values, directory);
}
