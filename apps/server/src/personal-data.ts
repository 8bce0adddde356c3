/** Sets the process's keys for personal data. See docs/personal-data.md. */
import { setPersonalDataCipher } from '@caudal/contract/personal.ts';
import { personalDataCipher } from '@caudal/eventlog/cipher.ts';
import type { RuntimeValues } from './settings/settings.ts';

/** Without keys personal data is written in plain text. */
export function usePersonalDataKeys({ CAUDAL_PERSONAL_DATA_KEYS: keys }: RuntimeValues): void {
  setPersonalDataCipher(keys && personalDataCipher(keys));
}
