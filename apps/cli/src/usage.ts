/** Errors of wrong arguments, with suggestions. */
import { distance } from 'fastest-levenshtein';

/** Wrong arguments: exit code 2. The message names the fix. */
export class UsageError extends Error {
  override name = 'UsageError';
}

/** More names than this are not listed. */
const listedAtMost = 40;

/** An error for a name that is not in `known`. `kind`: the word for such a name in messages, `view`. */
export function unknownName(kind: string, name: string, known: Iterable<string>): UsageError {
  const names = [...known];
  const near = closestNames(name, names, 1).map((each) => `Did you mean "${each}"?`);
  const listed = names.slice(0, listedAtMost).join(', ');
  const more = names.length > listedAtMost ? ` and ${names.length - listedAtMost} more` : '';
  const all = names.length > 0 ? `Known names: ${listed}${more}.` : 'None exists.';
  return new UsageError([`There is no ${kind} "${name}".`, ...near, all].join(' '));
}

/** The most similar names, without those that are too different. */
export function closestNames(name: string, names: string[], count: number): string[] {
  return names
    .map((each) => ({ each, far: each.startsWith(name) ? 0 : distance(name, each) }))
    .filter(({ each, far }) => far <= Math.max(name.length, each.length) / 3)
    .sort((a, b) => a.far - b.far)
    .slice(0, count)
    .map(({ each }) => each);
}

/** The value of a name. Throws UsageError. */
export function pick<T>(kind: string, name: string, known: ReadonlyMap<string, T>): T {
  const value = known.get(name);
  if (value === undefined) throw unknownName(kind, name, known.keys());
  return value;
}
