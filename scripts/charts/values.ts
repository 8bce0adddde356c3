/** charts/caudal/values.yaml: its keys with their defaults and the comments above them. */
import { isMap, isPair, isScalar, type Pair, parseDocument, type YAMLMap } from 'yaml';

export interface ValueKey {
  /** `keda.pollingInterval`, as its parts. */
  path: string[];
  value: unknown;
  comment: string;
  /** Whether further keys are below it. */
  parent: boolean;
}

/** Every key, parents before their children. Throws if a key has no comment, because the README lists all. */
export function valueKeys(text: string): ValueKey[] {
  const document = parseDocument(text);
  const keys: ValueKey[] = [];
  walk(document.contents as YAMLMap, [], firstComment(document.contents as YAMLMap), keys);
  const silent = keys.filter(({ comment, parent }) => !comment && !parent).map(({ path }) => path.join('.'));
  if (silent.length > 0) throw new Error(`values.yaml: there is no comment above ${silent.join(', ')}`);
  return keys;
}

function walk(map: YAMLMap, above: string[], first: string, keys: ValueKey[]): void {
  map.items.forEach((pair: Pair, index) => {
    if (!isPair(pair) || !isScalar(pair.key)) return;
    const path = [...above, String(pair.key.value)];
    // The parser attaches the comment of a map's first key to the map.
    const comment = clean(pair.key.commentBefore ?? (index === 0 ? first : ''));
    const parent = isMap(pair.value) && pair.value.flow !== true && pair.value.items.length > 0;
    const value = isMap(pair.value) || !isScalar(pair.value) ? (pair.value as YAMLMap).toJSON() : pair.value.value;
    keys.push({ path, value, comment, parent });
    if (parent) walk(pair.value as YAMLMap, path, firstComment(pair.value as YAMLMap), keys);
  });
}

const firstComment = (map: YAMLMap) => map.commentBefore ?? '';
/** The last paragraph: the paragraphs above it are about the file. */
const clean = (comment: string) =>
  comment
    .split(/\n\s*\n/)
    .at(-1)!
    .replace(/\s+/g, ' ')
    .trim();
