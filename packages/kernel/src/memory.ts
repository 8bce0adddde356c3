/**
 * What an aggregate remembers for a while: ids that it has dealt with, so that a repeat is recognised. Never changed in
 * place, and plain data, so that it can be part of an aggregate's state and of its snapshot.
 *
 * A plain Map would have to be copied for every event, which a product with 100,000 remembered reservations would feel.
 * Here the ids are spread over about sqrt(n) slots and a change copies one of them. A library of persistent maps
 * (Immutable.js) was rejected: its maps are class instances, which don't survive being written into a snapshot.
 */

/** Values under ids. Ask it with `recall`; those whose time has passed may still be in it. */
export interface Memory<V> {
  readonly size: number;
  readonly slots: readonly ReadonlyMap<string, Remembered<V>>[];
}

interface Remembered<V> {
  readonly value: V;
  /** Milliseconds since 1970 from which on it need not be remembered. */
  readonly until: number;
}

/** A memory of nothing. */
export function emptyMemory<V>(): Memory<V> {
  return { size: 0, slots: [new Map()] };
}

/** What is remembered under the id, unless its time has passed at `now`. */
export function recall<V>(memory: Memory<V>, id: string, now?: Date): V | undefined {
  const entry = memory.slots[slotOf(memory, id)]!.get(id);
  return entry && (!now || entry.until > now.getTime()) ? entry.value : undefined;
}

/** Remembers the value until `until` (a Date, or Infinity), and drops some of what need not be remembered at `now`. */
export function remember<V>(memory: Memory<V>, id: string, value: V, until: Date | number, now: Date): Memory<V> {
  const roomy = memory.size < memory.slots.length ** 2 * 4 ? memory : grown(memory);
  const slot = slotOf(roomy, id);
  const entries = new Map(roomy.slots[slot]);
  // Re-inserted at the end: entries stand in the order in which they were remembered, about that of their ends.
  entries.delete(id);
  for (const [oldest, { until: end }] of entries) {
    if (end > now.getTime()) break;
    entries.delete(oldest);
  }
  entries.set(id, { value, until: Number(until) });
  return withSlot(roomy, slot, entries);
}

/** The memory without the id. */
export function forget<V>(memory: Memory<V>, id: string): Memory<V> {
  const slot = slotOf(memory, id);
  if (!memory.slots[slot]!.has(id)) return memory;
  const entries = new Map(memory.slots[slot]);
  entries.delete(id);
  return withSlot(memory, slot, entries);
}

/** All that is remembered, in no particular order. */
export function* remembered<V>(memory: Memory<V>): Iterable<[id: string, value: V]> {
  for (const slot of memory.slots) for (const [id, { value }] of slot) yield [id, value];
}

function withSlot<V>(memory: Memory<V>, slot: number, entries: ReadonlyMap<string, Remembered<V>>): Memory<V> {
  return {
    size: memory.size + entries.size - memory.slots[slot]!.size,
    slots: memory.slots.with(slot, entries),
  };
}

/** Twice as many slots. Entries keep their order: an old slot's are split over two new ones. */
function grown<V>(memory: Memory<V>): Memory<V> {
  const slots = Array.from({ length: memory.slots.length * 2 }, () => new Map<string, Remembered<V>>());
  for (const slot of memory.slots) for (const [id, entry] of slot) slots[hash(id) & (slots.length - 1)]!.set(id, entry);
  return { size: memory.size, slots };
}

/** The number of slots is a power of two. */
function slotOf(memory: Memory<unknown>, id: string): number {
  return hash(id) & (memory.slots.length - 1);
}

/** FNV-1a, 32 bits, over UTF-16 code units. */
function hash(id: string): number {
  let value = 0x811c9dc5;
  for (let index = 0; index < id.length; index++) value = Math.imul(value ^ id.charCodeAt(index), 0x01000193);
  return value ^ (value >>> 15);
}
