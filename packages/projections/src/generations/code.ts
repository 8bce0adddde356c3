/** What a projection computes, as far as its text shows: views that other code has begun must not be gone on with. */
import { contentHash } from '@caudal/kernel/ids.ts';
import type { AnyProjection } from '../multi-stream/types.ts';

/**
 * A hash of the text of a projection's functions, and of what it declares. The code that these functions call in other
 * modules is not in it.
 */
export function codeOf<V>(projection: AnyProjection<V>): string {
  const seen = new Set<unknown>();
  const texts: string[] = [];

  function visit(name: string, value: unknown): void {
    if (typeof value === 'function') texts.push(`${name}=${value}`);
    else if (typeof value !== 'object' || value === null) texts.push(`${name}=${String(value)}`);
    else if (name === 'entity') texts.push(`${name}=${(value as { name: string }).name}`);
    else if (!seen.has(value)) {
      seen.add(value);
      for (const [key, child] of Object.entries(value)) visit(key, child);
    }
  }

  visit('projection', projection);
  return contentHash(Buffer.from(texts.join('\n'))).toString('hex');
}
