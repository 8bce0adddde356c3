/**
 * A device's copy of a cart. It changes the copy at once, also offline for days, and sends what the server lacks when it can. A sync that
 * was lost on the way, or whose answer was, is sent again: it changes nothing twice.
 */
import { addToLine, type Cart, type Entry, emptyCart, isRemoved, type Line, merge } from './cart.ts';
import { restampFields } from './fields.ts';

export interface Replica {
  /** Of the cart that it is a copy of, as the server has answered it; empty before the first sync. */
  cartUid: string;
  /** A UUIDv7 that only this copy has: another cart, or a copy that was begun anew, has another one. */
  device: string;
  /** What the device knows. */
  cart: Cart;
  /** What the server has confirmed. */
  confirmed: Cart;
  /** The server's version of the cart that the device has seen; 0 before the first sync. */
  version: number;
}

export function newReplica(device: string): Replica {
  return { cartUid: '', device, cart: emptyCart(), confirmed: emptyCart(), version: 0 };
}

/** What `cart` has and `known` lacks. Merged with `known`, it gives `cart`. */
export function changesSince(cart: Cart, known: Cart): Cart {
  const changes = emptyCart();
  for (const [device, seq] of cart.seen) if (seq > (known.seen.get(device) ?? 0)) changes.seen.set(device, seq);
  for (const [key, line] of cart.lines) {
    const other = known.lines.get(key);
    const changed: Line = new Map();
    for (const [device, entry] of line) {
      const there = other?.get(device);
      if (entry.seq !== there?.seq || entry.removedSeq !== there.removedSeq) changed.set(device, entry);
    }
    if (changed.size > 0) changes.lines.set(key, changed);
  }
  for (const [name, field] of cart.fields) {
    if (JSON.stringify(field) !== JSON.stringify(known.fields.get(name))) changes.fields.set(name, field);
  }
  return changes;
}

/** What the device has to send. */
export function pendingChanges({ cart, confirmed }: Replica): Cart {
  return changesSince(cart, confirmed);
}

/** Whether the device has something to send. */
export function hasPending(replica: Replica): boolean {
  const { lines, fields } = pendingChanges(replica);
  return lines.size > 0 || fields.size > 0;
}

/** The answer to a sync: what the device lacked. */
export interface Answer {
  /** The version that the request named: of 0 the answer is the whole cart. */
  base: number;
  /** Absent from servers that know none. */
  cartUid?: string;
  version: number;
  changes: Cart;
}

/**
 * The copy after a sync: `sent` has arrived. Removed lines that the server knows are forgotten. Answers may arrive in any order: of one that
 * a later one has overtaken, only that `sent` has arrived is news.
 */
export function received(replica: Replica, sent: Cart, answer: Answer): Replica {
  const { base, cartUid = replica.cartUid, version, changes: answered } = answer;
  const isOvertaken = version < replica.version;
  // It lacks lines that were added since, and has some that are forgotten since.
  const changes = isOvertaken ? emptyCart() : answered;
  const cart = merge(replica.cart, changes);
  const arrived = merge(replica.confirmed, sent);
  const unsent = changesSince(replica.cart, arrived).lines;
  const confirmed = merge(arrived, changes);
  const isWhole = base === 0 && !isOvertaken;
  if (isWhole) for (const lines of [cart.lines, confirmed.lines]) dropGone(lines, changes.lines, unsent);
  for (const [key, line] of cart.lines) {
    const other = confirmed.lines.get(key);
    if (other !== undefined && isRemoved(line) && isRemoved(other)) cart.lines.delete(key);
  }
  // Also what was sent long ago and is forgotten since.
  for (const key of confirmed.lines.keys()) if (!cart.lines.has(key)) confirmed.lines.delete(key);
  // Each answer has the numbers of all devices that the server still knows.
  if (!isOvertaken) for (const { seen } of [cart, confirmed]) dropForgotten(seen, changes.seen, replica.device);
  return { ...replica, cartUid, cart, confirmed, version: Math.max(version, replica.version) };
}

/** Drops what the whole cart lacks, also of others, and was sent: it was removed and is forgotten, or the server has lost it. */
function dropGone(lines: Map<string, Line>, whole: Map<string, Line>, unsent: Map<string, Line>): void {
  for (const [key, line] of lines) {
    const isKept = (device: string) => whole.get(key)?.has(device) || unsent.get(key)?.has(device);
    const kept = [...line].filter(([device]) => isKept(device));
    if (kept.length === 0) lines.delete(key);
    else if (kept.length < line.size) lines.set(key, new Map(kept));
  }
}

/** Drops the devices that the server has forgotten: over years there are more of them than a cart can have. */
function dropForgotten(seen: Map<string, number>, known: Map<string, number>, own: string): void {
  for (const device of seen.keys()) if (device !== own && !known.has(device)) seen.delete(device);
}

/** The copy as one that has sent nothing yet: for another guest's cart, or when the server has lost what it had. */
export function unconfirmed(replica: Replica): Replica {
  return { ...replica, cartUid: '', confirmed: emptyCart(), version: 0 };
}

/** The copy with nothing that it has not sent dated after `nowMs`: for a device that finds that its clock was ahead. */
export function redated(replica: Replica, nowMs: number): Replica {
  const { cart, confirmed, device } = replica;
  const unsent = changesSince(cart, confirmed);
  const lines = new Map(cart.lines);
  for (const key of unsent.lines.keys()) {
    const line = cart.lines.get(key)!;
    const own = line.get(device);
    if (own && own.at > nowMs) lines.set(key, new Map(line).set(device, { ...own, at: nowMs }));
  }
  const fields = restampFields(cart.fields, { names: unsent.fields.keys(), known: confirmed.fields, device, nowMs });
  return { ...replica, cart: { ...cart, lines, fields } };
}

/**
 * The copy anew over the server's cart, under another device's id, when the server has forgotten what the old copy was based on, or has
 * another cart: after a login.
 * What the device has added, taken away and removed since its last sync is done again.
 */
export function rebased(replica: Replica, server: Omit<Answer, 'base'>, device: string, nowMs: number): Replica {
  const { cart: own, confirmed, device: former } = replica;
  let cart = server.changes;
  // The server may have got what it has not confirmed, and others may have removed it since.
  const arrived = cart.seen.get(former) ?? 0;
  for (const [key, line] of own.lines) {
    const there = cart.lines.get(key);
    if (there) cart = { ...cart, lines: new Map(cart.lines).set(key, withRemovals(there, line)) };
    const mine = line.get(former);
    if (!mine) continue;
    // The latest of the device's changes that are counted already, or were removed.
    const known = [confirmed.lines.get(key)?.get(former), there?.get(former)].reduce<Change>(
      (last, entry) => (entry && entry.seq > last.seq ? entry : last),
      removedAt(mine),
    );
    if (mine.seq > Math.max(arrived, known.seq) && mine.total !== known.total)
      cart = addToLine(cart, key, mine.total - known.total, { device, nowMs });
  }
  const { fields } = merge(cart, { ...emptyCart(), fields: changesSince(own, confirmed).fields });
  const { cartUid = '', version, changes } = server;
  return { cartUid, device, cart: { ...cart, fields }, confirmed: changes, version };
}

/** A change of a device, and its total then. */
type Change = Pick<Entry, 'seq' | 'total'>;

function removedAt({ removedSeq, removedTotal }: Entry): Change {
  return { seq: removedSeq, total: removedTotal };
}

/** The server's line with what the copy's has removed: of each device the changes that the copy has seen, and no others. */
function withRemovals(there: Line, line: Line): Line {
  const removed = new Map(there);
  for (const [device, entry] of there) {
    const own = line.get(device);
    if (!own || own.removedSeq <= entry.removedSeq) continue;
    // Of the device's own changes the server may lack some that were removed with the others.
    const { seq, total } = own.removedSeq < entry.seq ? removedAt(own) : entry;
    removed.set(device, { ...entry, removedSeq: seq, removedTotal: total });
  }
  return removed;
}
