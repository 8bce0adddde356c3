/** Gives the process the keys for personal data that its settings name. See docs/personal-data.md. */
import { ConfigError } from '@caudal/config/config.ts';
import { setPersonalDataCipher } from '@caudal/contract/personal.ts';
import { parsePersonalDataKeys, personalDataCipher } from '@caudal/eventlog/cipher.ts';
import type { RuntimeValues } from './settings.ts';

/** Without keys personal data is written as it is. Throws ConfigError if the keys can't be read. */
export function usePersonalDataKeys({ CAUDAL_PERSONAL_DATA_KEYS: text }: RuntimeValues): void {
  setPersonalDataCipher(text === undefined ? undefined : personalDataCipher(keysOf(text)));
}

function keysOf(text: string): ReturnType<typeof parsePersonalDataKeys> {
  try {
    return parsePersonalDataKeys(text);
  } catch (error) {
    throw new ConfigError([
      {
        name: 'CAUDAL_PERSONAL_DATA_KEYS',
        wrong: (error as Error).message,
        fix: 'Set it to <id>:<key>,... where a key is what "openssl rand -base64 32" prints; the current one first',
      },
    ]);
  }
}
