/** All kinds of stock. A new kind is a module in kinds/ and a line here. */
import type { Kind } from './kind.ts';
import { premium } from './kinds/premium.ts';
import { standard } from './kinds/standard.ts';

const kinds = new Map([standard, premium].map((kind) => [kind.name, kind]));

/** The kind of this name, if there is one. */
export function kindNamed(name: string): Kind | undefined {
  return kinds.get(name);
}

/** The names of all kinds, for messages. */
export const kindNames = [...kinds.keys()];
