/**
 * A map whose entries expire: ids that an aggregate has dealt with, so that a repeat is recognised. Immutable plain data, so
 * that it can be part of an aggregate's state and of its snapshot. A trie over the ids' hashes: a leaf holds some entries, a
 * branch is an array of 4 nodes. The package's README has its costs and what was rejected.
 */

/** Values by id. Read it with `getEntry`: expired entries may still be in it. */
export interface ExpiringMap<V> {
  readonly size: number;
  readonly root: Node<V>;
}

type Node<V> = Leaf<V> | Branch<V>;
/** By the next bits of the hash, the lowest first. */
type Branch<V> = readonly Node<V>[];

/** Entries as columns, in the order in which they were set, which is about that of their expiry. */
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

/** The map with the value, which expires at `until` (a Date, or Infinity), and without some that have expired at `now`. */
export function setEntry<V>(
  map: ExpiringMap<V>,
  id: string,
  value: V,
  until: Date | number,
  now: Date,
): ExpiringMap<V> {
  return changed(map, id, (leaf) => {
    let first = 0;
    while (first < leaf.untils.length && leaf.untils[first]! <= now.getTime()) first++;
    return copied(leaf, first, leaf.ids.indexOf(id), { id, value, until: Number(until) });
  });
}

/** The map without the id. */
export function deleteEntry<V>(map: ExpiringMap<V>, id: string): ExpiringMap<V> {
  if (!leafOf(map, id).ids.includes(id)) return map;
  return changed(map, id, (leaf) => copied(leaf, 0, leaf.ids.indexOf(id)));
}

/** The leaf from the place `first` on, without the place `left` (-1: none), and with `added` behind. */
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

/** Of the exact length: an array that is pushed to reserves room that would stay unused. */
function column<T>(from: readonly T[], first: number, left: number, added: T | undefined): T[] {
  const length = from.length - first - (left >= first ? 1 : 0) + (added === undefined ? 0 : 1);
  const to = new Array<T>(length);
  let place = 0;
  for (let index = first; index < from.length; index++) if (index !== left) to[place++] = from[index]!;
  if (added !== undefined) to[place] = added;
  return to;
}

/**
 * About how many bytes it takes, with ids of some forty characters; `valueBytes` is what each value takes that is no other's,
 * 0 where values are shared.
 */
export function bytesOf({ size }: ExpiringMap<unknown>, valueBytes: number): number {
  return size * (120 + valueBytes);
}

/** All entries, expired ones that are still there included, in no particular order. For tests that compare states. @public */
export function* entriesOf<V>(map: ExpiringMap<V>): Iterable<[id: string, value: V]> {
  for (const { ids, values } of leaves(map.root)) for (const [place, id] of ids.entries()) yield [id, values[place]!];
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

/** The map with what `change` makes of the id's leaf. */
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
