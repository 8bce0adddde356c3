/**
 * Headers that are sent twice. Which of two tokens counts, a proxy may see otherwise than the process behind it; so of these headers
 * a call has one, or it is refused.
 */
import { CaudalError } from '@caudal/kernel/errors.ts';
import { headerNames } from '../headers.ts';

const single: ReadonlySet<string> = new Set([...Object.values(headerNames), 'consistency-token', 'traceparent']);

/** The first header of Caudal that is there twice. `raw`: names and values in turn, as Node has received them. */
export function repeatedIn(raw: readonly string[]): string | undefined {
  const seen: string[] = [];
  for (let place = 0; place < raw.length; place += 2) {
    const name = raw[place]!.toLowerCase();
    if (!single.has(name)) continue;
    if (seen.includes(name)) return name;
    seen.push(name);
  }
  return undefined;
}

/** The error for a header that is there twice. */
export const repeated = (name: string): CaudalError =>
  new CaudalError(
    'INVALID_ARGUMENT',
    'MALFORMED_REQUEST',
    `The header "${name}" is there more than once: send it once.`,
  );

/** Throws INVALID_ARGUMENT if a header of Caudal is there twice. */
export function refuseRepeated(raw: readonly string[]): void {
  const name = repeatedIn(raw);
  if (name !== undefined) throw repeated(name);
}
