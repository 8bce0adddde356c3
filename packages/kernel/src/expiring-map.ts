/**
 * A map whose entries expire: the ids that an aggregate has processed, so that it recognises repeats. It is immutable
 * plain data, so it can be part of an aggregate's state and of its snapshot. It is a trie over the ids' hashes: a leaf
 * holds entries, a branch is an array of 4 nodes. See README, Why so.
 */

/** Values by id. Read it with `getEntry`: expired entries may still be in it. */
export interface ExpiringMap<V> {
  readonly size: number;
  readonly root: Node<V>;
}

type Node<V> = Leaf<V> | Branch<V>;
/** Indexed by the next two bits of the hash, the lowest first. */
type Branch<V> = readonly Node<V>[];

/** Entries as columns, in the order in which they were set. That is about the order in which they expire. */
interface Leaf<V> {
  readonly ids: readonly string[];
  readonly values: readonly V[];
  /** When each entry expires, in milliseconds since 1970. */
  readonly untils: readonly number[];
}

const bits = 2;
const fanOut = 1 << bits;
/** A larger leaf is split, except on the last level, where all bits of the hash are used. */
const leafSize = 24;
const lastLevel = 15;
const emptyLeaf: Leaf<never> = { ids: [], values: [], untils: [] };

/** A map without entries. */
export function emptyExpiringMap<V>(): ExpiringMap<V> {
  return { size: 0, root: emptyLeaf };
}

/** The value of the id, unless it has expired at `now`. */
export function getEntry<V>(map: ExpiringMap<V>, id: string, now?: Date): V | undefined {
  const { ids, values, untils } = leafOf(map, id);
  const place = ids.indexOf(id);
  return place >= 0 && (!now || untils[place]! > now.getTime()) ? values[place] : undefined;
}

/**
 * The map with the value, which expires at `until` (a Date, or Infinity). Drops some entries that have expired at
 * `now`.
 */
export function setEntry<V>(
  map: ExpiringMap<V>,
  id: string,
  value: V,
  until: Date | number,
  now: Date,
): ExpiringMap<V> {
  return changed(map, id, (leaf) =>
    copied(leaf, expiredIn(leaf.untils, now), leaf.ids.indexOf(id), { id, value, until: Number(until) }),
  );
}

/** The map without the id. With `now`, drops some entries that have expired then, too. */
export function deleteEntry<V>(map: ExpiringMap<V>, id: string, now?: Date): ExpiringMap<V> {
  const { ids, untils } = leafOf(map, id);
  const first = now ? expiredIn(untils, now) : 0;
  if (first === 0 && !ids.includes(id)) return map;
  return changed(map, id, (leaf) => copied(leaf, first, leaf.ids.indexOf(id)));
}

/** How many of the first entries of a leaf have expired. */
function expiredIn(untils: readonly number[], now: Date): number {
  let first = 0;
  while (first < untils.length && untils[first]! <= now.getTime()) first++;
  return first;
}

/**
 * The entries of the leaf from index `first` on, without the one at index `left` (-1: none), and with `added` at the
 * end.
 */
function copied<V>(
  leaf: Leaf<V>,
  first: number,
  left: number,
  added?: { id: string; value: V; until: number },
): Leaf<V> {
  return {
    ids: column(leaf.ids, first, left, added?.id),
    values: column(leaf.values, first, left, added?.value),
    untils: column(leaf.untils, first, left, added?.until),
  };
}

/** An array of the exact length, since one that is pushed to reserves space that would stay unused. */
function column<T>(from: readonly T[], first: number, left: number, added: T | undefined): T[] {
  const length = from.length - first - (left >= first ? 1 : 0) + (added === undefined ? 0 : 1);
  const to = new Array<T>(length);
  let place = 0;
  for (let index = first; index < from.length; index++) if (index !== left) to[place++] = from[index]!;
  if (added !== undefined) to[place] = added;
  return to;
}

/**
 * About how many bytes the map takes, with ids of some forty characters. `valueBytes`: the bytes of each value; 0 if
 * values are shared.
 */
export function bytesOf({ size }: ExpiringMap<unknown>, valueBytes: number): number {
  return size * (120 + valueBytes);
}

/** All entries with the times at which they expire, in no particular order; also expired ones that were not dropped. */
export function* entriesOf<V>(map: ExpiringMap<V>): Iterable<[id: string, value: V, until: number]> {
  for (const { ids, values, untils } of leaves(map.root))
    for (const [place, id] of ids.entries()) yield [id, values[place]!, untils[place]!];
}

function* leaves<V>(node: Node<V>): Iterable<Leaf<V>> {
  if (isBranch(node)) for (const child of node) yield* leaves(child);
  else yield node;
}

function isBranch<V>(node: Node<V>): node is Branch<V> {
  return Array.isArray(node);
}

function leafOf<V>(map: ExpiringMap<V>, id: string): Leaf<V> {
  let node = map.root;
  for (let rest = hash(id); isBranch(node); rest >>>= bits) node = node[rest & (fanOut - 1)]!;
  return node;
}

/** The map, with the id's leaf replaced by the result of `change`. */
function changed<V>(map: ExpiringMap<V>, id: string, change: (leaf: Leaf<V>) => Leaf<V>): ExpiringMap<V> {
  let grownBy = 0;
  const next = (node: Node<V>, rest: number, level: number): Node<V> => {
    if (isBranch(node)) {
      const place = rest & (fanOut - 1);
      return node.with(place, next(node[place]!, rest >>> bits, level + 1));
    }
    const leaf = change(node);
    grownBy = leaf.ids.length - node.ids.length;
    return leaf.ids.length > leafSize && level < lastLevel ? split(leaf, level) : leaf;
  };
  const root = next(map.root, hash(id), 0);
  return { size: map.size + grownBy, root };
}

/** A branch of leaves, which keep the order of the entries. */
function split<V>(leaf: Leaf<V>, level: number): Branch<V> {
  const placeOf = (id: string) => (hash(id) >>> (level * bits)) & (fanOut - 1);
  return Array.from({ length: fanOut }, (_, place) => {
    const isHere = (_: unknown, index: number) => placeOf(leaf.ids[index]!) === place;
    const ids = leaf.ids.filter(isHere);
    return ids.length === 0
      ? emptyLeaf
      : { ids, values: leaf.values.filter(isHere), untils: leaf.untils.filter(isHere) };
  });
}

/** FNV-1a, 32 bits, over UTF-16 code units. */
function hash(id: string): number {
  let value = 0x811c9dc5;
  for (let index = 0; index < id.length; index++) value = Math.imul(value ^ id.charCodeAt(index), 0x01000193);
  return (value ^ (value >>> 15)) >>> 0;
}
