/** Output of commands on standard output: lines for people, JSON for machines. */

/** Writes a line. */
export function say(line = ''): void {
  process.stdout.write(`${line}\n`);
}

/** Writes a value as one line of JSON. */
export function sayJson(value: unknown): void {
  say(JSON.stringify(plain(value)));
}

/** A value that JSON can represent: the state of an aggregate may have bigint, Map, Set and bytes. */
export function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  if (value instanceof Date) return value;
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, item]) => [String(key), plain(item)]));
  if (value instanceof Set) return [...value].map(plain);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
}

/** The text with each line indented. */
export function indented(text: string, by = '      '): string {
  return text.replace(/^/gm, by);
}
