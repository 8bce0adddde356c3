/**
 * What an aggregate remembers for a while: ids that it has dealt with, so that a repeat is recognised. Never changed in
 * place, and plain data, so that it can be part of an aggregate's state and of its snapshot.
 *
 * A plain Map would have to be copied for every event, which a product with 100,000 remembered reservations would feel.
 * So it is a trie over the ids' hashes: a leaf is a small Map, a branch an array of 32 nodes, and a change copies one leaf
 * and the branches above it, about a kilobyte. Rejected: a library of persistent maps (Immutable.js), whose maps are
 * class instances, which don't survive being written into a snapshot; and one flat list of slots, which was half of all
 * garbage of a hot product.
 */

/** Values under ids. Ask it with `recall`; those whose time has passed may still be in it. */
export interface Memory<V> {
  readonly size: number;
  readonly root: Node<V>;
}

type Node<V> = Leaf<V> | Branch<V>;
type Leaf<V> = ReadonlyMap<string, Remembered<V>>;
/** By the next five bits of the hash, the lowest first. */
type Branch<V> = readonly Node<V>[];

interface Remembered<V> {
  readonly value: V;
  /** Milliseconds since 1970 from which on it need not be remembered. */
  readonly until: number;
}

const bits = 5;
const fanOut = 1 << bits;
/** A leaf of more is split; one of the last level, whose ids differ in no bit that is looked at, is not. */
const leafSize = 16;
const lastLevel = 6;
const emptyLeaf: Leaf<never> = new Map();

/** A memory of nothing. */
export function emptyMemory<V>(): Memory<V> {
  return { size: 0, root: emptyLeaf };
}

/** What is remembered under the id, unless its time has passed at `now`. */
export function recall<V>(memory: Memory<V>, id: string, now?: Date): V | undefined {
  const entry = leafOf(memory, id).get(id);
  return entry && (!now || entry.until > now.getTime()) ? entry.value : undefined;
}

/** Remembers the value until `until` (a Date, or Infinity), and drops some of what need not be remembered at `now`. */
export function remember<V>(memory: Memory<V>, id: string, value: V, until: Date | number, now: Date): Memory<V> {
  return changed(memory, id, (entries) => {
    // Re-inserted at the end: entries stand in the order in which they were remembered, about that of their ends.
    entries.delete(id);
    for (const [oldest, { until: end }] of entries) {
      if (end > now.getTime()) break;
      entries.delete(oldest);
    }
    entries.set(id, { value, until: Number(until) });
  });
}

/** The memory without the id. */
export function forget<V>(memory: Memory<V>, id: string): Memory<V> {
  if (!leafOf(memory, id).has(id)) return memory;
  return changed(memory, id, (entries) => entries.delete(id));
}

/** All that is remembered, in no particular order. */
export function* remembered<V>(memory: Memory<V>): Iterable<[id: string, value: V]> {
  for (const leaf of leaves(memory.root)) for (const [id, { value }] of leaf) yield [id, value];
}

function* leaves<V>(node: Node<V>): Iterable<Leaf<V>> {
  if (isBranch(node)) for (const child of node) yield* leaves(child);
  else yield node;
}

function isBranch<V>(node: Node<V>): node is Branch<V> {
  return Array.isArray(node);
}

function leafOf<V>(memory: Memory<V>, id: string): Leaf<V> {
  let node = memory.root;
  for (let rest = hash(id); isBranch(node); rest >>>= bits) node = node[rest & (fanOut - 1)]!;
  return node;
}

/** The memory with another leaf for the id. `change` may change the Map that it gets. */
function changed<V>(memory: Memory<V>, id: string, change: (entries: Map<string, Remembered<V>>) => void): Memory<V> {
  let grownBy = 0;
  const next = (node: Node<V>, rest: number, level: number): Node<V> => {
    if (isBranch(node)) {
      const place = rest & (fanOut - 1);
      return node.with(place, next(node[place]!, rest >>> bits, level + 1));
    }
    const entries = new Map(node);
    change(entries);
    grownBy = entries.size - node.size;
    return entries.size > leafSize && level < lastLevel ? split(entries, level) : entries;
  };
  const root = next(memory.root, hash(id), 0);
  return { size: memory.size + grownBy, root };
}

/** A branch of leaves, which keep the order of the entries. */
function split<V>(leaf: Leaf<V>, level: number): Branch<V> {
  const branch: Node<V>[] = new Array(fanOut).fill(emptyLeaf);
  for (const [id, entry] of leaf) {
    const place = (hash(id) >>> (level * bits)) & (fanOut - 1);
    const before = branch[place] as Leaf<V>;
    branch[place] = new Map(before).set(id, entry);
  }
  return branch;
}

/** FNV-1a, 32 bits, over UTF-16 code units. */
function hash(id: string): number {
  let value = 0x811c9dc5;
  for (let index = 0; index < id.length; index++) value = Math.imul(value ^ id.charCodeAt(index), 0x01000193);
  return (value ^ (value >>> 15)) >>> 0;
}
