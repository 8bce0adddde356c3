/** Gives the process the keys for personal data that its settings name. See docs/personal-data.md. */
import { setPersonalDataCipher } from '@caudal/contract/personal.ts';
import { personalDataCipher } from '@caudal/eventlog/cipher.ts';
import type { RuntimeValues } from './settings/settings.ts';

/** Without keys personal data is written as it is. */
export function usePersonalDataKeys({ CAUDAL_PERSONAL_DATA_KEYS: keys }: RuntimeValues): void {
  setPersonalDataCipher(keys && personalDataCipher(keys));
}
