/**
 * What an aggregate remembers for a while: ids that it has dealt with, so that a repeat is recognised. Never changed in
 * place, and plain data, so that it can be part of an aggregate's state and of its snapshot.
 *
 * A plain Map would have to be copied for every event, which a product with 100,000 remembered reservations would feel.
 * So it is a trie over the ids' hashes: a leaf holds some entries, a branch is an array of 4 nodes, and a change copies one
 * leaf and the branches above it, about a kilobyte. What is remembered for days is much of a command process's memory, so a
 * leaf has columns instead of an object an entry: 120 bytes for an id of 38 characters and a value that others share.
 *
 * Rejected: a Map a leaf and branches of 32, whose leaves are nearly empty after a split (160 to 240 bytes, as fast); a library
 * of persistent maps (Immutable.js), whose maps are class instances, which don't survive being written into a snapshot; and
 * one flat list of slots, which was half of all garbage of a hot product.
 */

/** Values under ids. Ask it with `recall`; those whose time has passed may still be in it. */
export interface ExpiringMap<V> {
  readonly size: number;
  readonly root: Node<V>;
}

type Node<V> = Leaf<V> | Branch<V>;
/** By the next bits of the hash, the lowest first. */
type Branch<V> = readonly Node<V>[];

/** Entries by place, in the order in which they were remembered, which is about that of their ends. */
interface Leaf<V> {
  readonly ids: readonly string[];
  readonly values: readonly V[];
  /** Milliseconds since 1970 from which on an entry need not be remembered. */
  readonly untils: readonly number[];
}

const bits = 2;
const fanOut = 1 << bits;
/** A leaf of more is split; one of the last level, whose ids differ in no bit that is looked at, is not. */
const leafSize = 24;
const lastLevel = 15;
const emptyLeaf: Leaf<never> = { ids: [], values: [], untils: [] };

/** A memory of nothing. */
export function emptyExpiringMap<V>(): ExpiringMap<V> {
  return { size: 0, root: emptyLeaf };
}

/** What is remembered under the id, unless its time has passed at `now`. */
export function recall<V>(memory: ExpiringMap<V>, id: string, now?: Date): V | undefined {
  const { ids, values, untils } = leafOf(memory, id);
  const place = ids.indexOf(id);
  return place >= 0 && (!now || untils[place]! > now.getTime()) ? values[place] : undefined;
}

/** Remembers the value until `until` (a Date, or Infinity), and drops some of what need not be remembered at `now`. */
export function remember<V>(
  memory: ExpiringMap<V>,
  id: string,
  value: V,
  until: Date | number,
  now: Date,
): ExpiringMap<V> {
  return changed(memory, id, (leaf) => {
    let first = 0;
    while (first < leaf.untils.length && leaf.untils[first]! <= now.getTime()) first++;
    return copied(leaf, first, leaf.ids.indexOf(id), { id, value, until: Number(until) });
  });
}

/** The memory without the id. */
export function forget<V>(memory: ExpiringMap<V>, id: string): ExpiringMap<V> {
  if (!leafOf(memory, id).ids.includes(id)) return memory;
  return changed(memory, id, (leaf) => copied(leaf, 0, leaf.ids.indexOf(id)));
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

/** Not longer than it needs to be: an array that is pushed to gets room for more, which nobody would use. */
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

/** All that is remembered, in no particular order. For tests that compare states. @public */
export function* remembered<V>(memory: ExpiringMap<V>): Iterable<[id: string, value: V]> {
  for (const { ids, values } of leaves(memory.root))
    for (const [place, id] of ids.entries()) yield [id, values[place]!];
}

function* leaves<V>(node: Node<V>): Iterable<Leaf<V>> {
  if (isBranch(node)) for (const child of node) yield* leaves(child);
  else yield node;
}

function isBranch<V>(node: Node<V>): node is Branch<V> {
  return Array.isArray(node);
}

function leafOf<V>(memory: ExpiringMap<V>, id: string): Leaf<V> {
  let node = memory.root;
  for (let rest = hash(id); isBranch(node); rest >>>= bits) node = node[rest & (fanOut - 1)]!;
  return node;
}

/** The memory with what `change` makes of the id's leaf. */
function changed<V>(memory: ExpiringMap<V>, id: string, change: (leaf: Leaf<V>) => Leaf<V>): ExpiringMap<V> {
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
  const root = next(memory.root, hash(id), 0);
  return { size: memory.size + grownBy, root };
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
