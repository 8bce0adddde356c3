/** Parses CAUDAL_TOKEN_KEYS: docs/ids.md, Keys. */
import { parseTokenKeys, type TokenKey } from '@caudal/kernel/sealed-token.ts';

/** Stands for the key that a process has without the setting, so that a change to keys of the setting refuses no token. */
export const ownKey = 'derived';

/** The keys in their order. Throws an Error that names the fault and contains no key. */
export function parseTokenKeyList(text: string): (TokenKey | typeof ownKey)[] {
  const parts = text.split(',').map((part) => part.trim());
  const place = parts.indexOf(ownKey);
  if (place === -1) return parseTokenKeys(text);
  if (parts.lastIndexOf(ownKey) !== place) throw new Error(`"${ownKey}" is given twice`);
  const others = parts.toSpliced(place, 1);
  const keys: ReturnType<typeof parseTokenKeyList> = others.length === 0 ? [] : parseTokenKeys(others.join(','));
  return keys.toSpliced(place, 0, ownKey);
}
