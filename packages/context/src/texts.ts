/** Bounds for the keys and values of maps of texts, which the contract's validation rules do not cover. */
import { CaudalError } from '@caudal/kernel/errors.ts';

const longestKey = 64;
const longestValue = 200;

/** Throws INVALID_ARGUMENT if a key or a value of the map is too long. `field`: the map's name in the request. */
export function checkTexts(field: string, texts: Readonly<Record<string, string>>): void {
  const violations = Object.entries(texts).flatMap(([key, value]) => {
    if (key.length > longestKey) {
      return [{ field, description: `a key has ${key.length} characters: at most ${longestKey}` }];
    }
    if (value.length > longestValue) {
      return [{ field: `${field}.${key}`, description: `must have at most ${longestValue} characters` }];
    }
    return [];
  });
  if (violations.length > 0) {
    throw new CaudalError('INVALID_ARGUMENT', 'INVALID_FIELD', `${field} has a text that is too long.`, { violations });
  }
}
