/**
 * A cart that several devices change without asking each other: an add-wins set of lines with a counter for each device, and fields with
 * strategies. `merge` is commutative, associative and idempotent. See docs/carts.md.
 */
import { type Fields, mergeFields } from './fields.ts';
import { compareTexts } from './stamp.ts';

/** What one device has done to one line. The pair of a device and a number is a dot: the name of one change. */
export interface Entry {
  /** The number of the device's last change of the line. */
  seq: number;
  /** All pieces that the device has added less those that it has taken away, from `removedTotal` on. */
  total: number;
  /** When that was, by the device's clock, in milliseconds since 1970. */
  at: number;
  /** The last of these changes that a removal of the line has seen. */
  removedSeq: number;
  /** The total at that change: those pieces are gone. */
  removedTotal: number;
}

/** The entries of a line by device. */
export type Line = Map<string, Entry>;

export interface Cart {
  /** The number of each device's last change: `seen` of two devices says what one of them lacks. */
  seen: Map<string, number>;
  /** By the line's key. */
  lines: Map<string, Line>;
  fields: Fields;
}

/** The most pieces of a line that are shown or ordered. */
export const maxQuantity = 1_000_000_000;

export function emptyCart(): Cart {
  return { seen: new Map(), lines: new Map(), fields: new Map() };
}

/** What two devices know, together. */
export function merge(a: Cart, b: Cart): Cart {
  const seen = new Map(a.seen);
  for (const [device, seq] of b.seen) seen.set(device, Math.max(seq, seen.get(device) ?? 0));
  const lines = new Map(a.lines);
  for (const [key, line] of b.lines) {
    const own = a.lines.get(key);
    lines.set(key, own ? mergeLines(own, line) : line);
  }
  return { seen, lines, fields: mergeFields(a.fields, b.fields) };
}

function mergeLines(a: Line, b: Line): Line {
  const line = new Map(a);
  for (const [device, entry] of b) {
    const own = a.get(device);
    line.set(device, own ? mergeEntries(own, entry) : entry);
  }
  return line;
}

/** Each half is decided by its own number: a change and a removal that do not know of each other both count. */
function mergeEntries(a: Entry, b: Entry): Entry {
  // Equal numbers are the same change; that they differ is the work of a broken device, and all must agree.
  const changed = a.seq - b.seq || a.total - b.total || a.at - b.at;
  const removed = a.removedSeq - b.removedSeq || a.removedTotal - b.removedTotal;
  const { seq, total, at } = changed >= 0 ? a : b;
  const { removedSeq, removedTotal } = removed >= 0 ? a : b;
  return { seq, total, at, removedSeq, removedTotal };
}

/** The pieces that a device contributes to a line. May be below zero: it has taken away what others have added. */
export function contribution({ total, removedTotal }: Entry): number {
  return total - removedTotal;
}

/** The pieces of a line: 0 if it is not in the cart. */
export function quantityOf(line: Line | undefined): number {
  return Math.min(maxQuantity, Math.max(0, sumOf(line)));
}

function sumOf(line: Line | undefined): number {
  let pieces = 0;
  for (const entry of line?.values() ?? []) pieces += contribution(entry);
  return pieces;
}

/** Whether a removal has seen all changes of the line. */
export function isRemoved(line: Line): boolean {
  for (const { seq, removedSeq } of line.values()) if (seq > removedSeq) return false;
  return true;
}

/** The lines in the cart with their pieces, sorted by key. */
export function linesOf(cart: Cart): { key: string; quantity: number }[] {
  return [...cart.lines]
    .map(([key, line]) => ({ key, quantity: quantityOf(line) }))
    .filter(({ quantity }) => quantity > 0)
    .sort((a, b) => compareTexts(a.key, b.key));
}

/** The device that makes a change, and when. */
export interface By {
  device: string;
  nowMs: number;
}

/** Devices may have taken away the same pieces of a line, so that nothing is left, or less: then it is removed. */
export function atLeastNone(cart: Cart, key: string): Cart {
  return sumOf(cart.lines.get(key)) > 0 ? cart : removeLine(cart, key);
}

/** Adds pieces; fewer than none takes them away. To take the last one away removes the line: what others add at the same time stays. */
export function addToLine(cart: Cart, key: string, pieces: number, { device, nowMs }: By): Cart {
  const from = atLeastNone(cart, key);
  const line = new Map(from.lines.get(key));
  if (sumOf(line) + pieces <= 0) return removeLine(from, key);
  const own = line.get(device);
  // A new entry leaves out a number, which it calls removed: whoever still has an older entry of the device forgets its pieces.
  const seq = (cart.seen.get(device) ?? 0) + (own ? 1 : 2);
  const { removedSeq, removedTotal, total } = own ?? { removedSeq: seq - 1, removedTotal: 0, total: 0 };
  line.set(device, { seq, total: total + pieces, at: nowMs, removedSeq, removedTotal });
  return {
    ...from,
    seen: new Map(from.seen).set(device, seq),
    lines: new Map(from.lines).set(key, line),
  };
}

/** Sets the pieces of a line: the device adds what is missing, or takes away what is too much. */
export function setQuantity(cart: Cart, key: string, quantity: number, by: By): Cart {
  if (quantity === 0) return removeLine(cart, key);
  const difference = quantity - quantityOf(cart.lines.get(key));
  return difference === 0 ? cart : addToLine(cart, key, difference, by);
}

/** Removes a line: all changes of it that are known here. What another device adds at the same time stays. */
export function removeLine(cart: Cart, key: string): Cart {
  const line = cart.lines.get(key);
  if (!line || isRemoved(line)) return cart;
  const removed = new Map<string, Entry>();
  for (const [device, entry] of line)
    removed.set(device, { ...entry, removedSeq: entry.seq, removedTotal: entry.total });
  return { ...cart, lines: new Map(cart.lines).set(key, removed) };
}

/** Without the lines of these keys: for removed ones that all devices have seen. */
export function forgetLines(cart: Cart, keys: Iterable<string>): Cart {
  const lines = new Map(cart.lines);
  for (const key of keys) lines.delete(key);
  return { ...cart, lines };
}
