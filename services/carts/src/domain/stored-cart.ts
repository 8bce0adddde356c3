/** A cart as it is stored, and what changes it: copies of devices that are merged, and commands of callers without a copy. */
import { atLeastNone, type Cart, emptyCart, isRemoved, merge } from '@caudal/carts/cart.ts';
import { isReadable } from '@caudal/carts/encoding.ts';
import { type FieldsConfig, latestStamp } from '@caudal/carts/fields.ts';
import { changesSince } from '@caudal/carts/replica.ts';
import { type CaudalError, invalidField, refused } from '@caudal/kernel/errors.ts';
import { timeOfId } from '@caudal/kernel/ids.ts';
import { assertBounds } from './bounds.ts';

export interface OrderedLine {
  productId: string;
  quantity: number;
}

/** An idempotency key and the hash of its request, in hexadecimal. */
export interface Keyed {
  key: string;
  hash: string;
}

/** A call: what it chose as its name, until when it may place the order, and its idempotency key. */
export type Attempt = [name: string, until: number, keyed?: Keyed];

/** What the cart has promised pieces with. */
export interface Reservation {
  id: string;
  untilMs: number;
  lines: OrderedLine[];
  /** Whether it is known to be made: of another one the call may still be on its way. */
  isMade?: boolean;
}

/** A checkout that has begun. */
export interface Checkout {
  orderId: string;
  lines: OrderedLine[];
  /** The removal of these lines: bytes of a cart in base64. */
  removal: string;
  /** Calls of which it is not known that they have failed. */
  attempts: Attempt[];
  /** Checkouts of the same order id that were given up: one of them may have placed it after all. */
  former: FormerCheckout[];
}

/** A checkout that was given up. */
export interface FormerCheckout {
  lines: OrderedLine[];
  removal: string;
}

/** A price as JSON has it. */
export interface Price {
  minorUnits: string;
  currency: string;
}

export interface StoredCart {
  /** Tells it from another cart whose versions a copy may have seen: a guest's before a login, or one that has expired. */
  uid?: string;
  version: number;
  cart: Cart;
  /** The copies that count: which version each has confirmed, and when it was last there. */
  devices: Map<string, { version: number; seenMs: number }>;
  /** By line: the version in which it last changed. */
  changed: Map<string, number>;
  /** The latest version of the removed lines that are forgotten: a copy with an older one may have them still. */
  forgottenUpTo: number;
  /** By line: its price when it was first seen. */
  prices: Map<string, Price>;
  checkout?: Checkout;
  /** The id of the next order, once a checkout has begun: it stays until an order is placed under it. */
  nextOrderId?: string;
  /** While there is no checkout: those of the next order's id that were given up. */
  formerCheckouts?: FormerCheckout[];
  /** How many orders it has become. */
  checkouts: number;
  lastOrderId: string;
  /** What it has reserved, the last one at the end: those before are yet to be released. */
  reservations?: Reservation[];
  /** For how long it has reserved since then without an order, and until when it does. */
  held?: { sinceMs: number; heldMs: number; untilMs: number };
}

/** The author of what callers without a copy do. */
export const serverDevice = '00000000-0000-7000-8000-000000000000';
/** A copy that has not been there for so long is forgotten. */
const deviceLifetimeMs = 30 * 86_400_000;
/** How far a device's clock may be ahead. */
const clockToleranceMs = 60_000;
const mostRemoved = 1_000;
const mostDevices = 64;
const maxTotal = 1e12;

export function newCart(): StoredCart {
  return {
    ...{ version: 0, cart: emptyCart(), devices: new Map(), changed: new Map(), forgottenUpTo: 0, prices: new Map() },
    ...{ checkouts: 0, lastOrderId: '' },
  };
}

/** The stored cart with an id of its own, if it has none yet. */
export function withUid(stored: StoredCart, uid: string): StoredCart {
  return stored.uid ? stored : { ...stored, uid };
}

export interface SyncRequest {
  device: string;
  /** Of the cart that the copy is of, if it knows. */
  cartUid?: string;
  baseVersion: number;
  confirmedChange: number;
  changes: Cart;
}

/** Merges what a copy has changed. Throws CaudalError to refuse it. */
export function sync(stored: StoredCart, request: SyncRequest, fields: FieldsConfig, now: Date): StoredCart {
  const { device, baseVersion } = request;
  assertCurrent(stored, request, now);
  const accepted = acceptedOf(stored.cart, request, fields, now);
  const next = withContent(stored, merge(stored.cart, accepted));
  const known = next.devices.get(device);
  const devices = new Map(next.devices).set(device, {
    version: Math.max(known?.version ?? 0, baseVersion),
    seenMs: now.getTime(),
  });
  const synced = compacted({ ...next, devices }, now);
  if (next !== stored) assertBounds(synced.cart);
  return synced;
}

/** Whether a sync must be written: also if it changes nothing, what a copy has confirmed lets removed lines be forgotten. */
export function isWorthWriting(before: StoredCart, after: StoredCart, device: string): boolean {
  const [then, now] = [before.devices.get(device), after.devices.get(device)];
  if (after.version > before.version || after.uid !== before.uid) return true;
  return then?.version !== now?.version || now!.seenMs > then!.seenMs + 3_600_000;
}

/**
 * What a copy lacks that has seen `baseVersion`. `before`: the cart before its sync. Of the removals in it some may be forgotten with the
 * sync, for their number: this answer is the last that can tell the copy of them.
 */
export function answerTo({ cart, changed }: StoredCart, baseVersion: number, before: StoredCart): Cart {
  const isNews = (of: Map<string, number>, key: string) => (of.get(key) ?? 0) > baseVersion;
  const lines = [...cart.lines].filter(([key]) => isNews(changed, key));
  const forgotten = [...before.cart.lines].filter(
    ([key, line]) => !cart.lines.has(key) && isRemoved(line) && isNews(before.changed, key),
  );
  return { ...cart, lines: new Map([...lines, ...forgotten]) };
}

/** Refuses a copy of another cart, one that is older than what the cart remembers, and one that is newer than the cart. */
function assertCurrent(stored: StoredCart, request: SyncRequest, now: Date): void {
  const { device, cartUid, baseVersion, confirmedChange } = request;
  const isOfAnother = cartUid && stored.uid && cartUid !== stored.uid;
  // First: of a device that is forgotten the server has no number either, which is no loss.
  const isOld = !stored.devices.has(device) && (timeOfId(device) ?? 0) < now.getTime() - deviceLifetimeMs;
  if (isOld || isOfAnother || (baseVersion > 0 && baseVersion < stored.forgottenUpTo))
    throw refused(
      'CART_DEVICE_EXPIRED',
      'What this copy is based on is forgotten, or another cart. Take the cart anew under another device id, and do again what was not sent.',
      { metadata: { server_time: now.toISOString() } },
    );
  if (baseVersion > stored.version || confirmedChange > (stored.cart.seen.get(device) ?? 0))
    throw refused('CART_CHANGES_LOST', 'The server lacks changes that it has confirmed. Send all of the copy again.');
}

/**
 * The part of the changes that the device can have made: entries of its own, and removals of others' that the cart knows. What it says
 * of other devices beyond that would hide what these add later.
 */
function acceptedOf(cart: Cart, { device, changes }: SyncRequest, fields: FieldsConfig, now: Date): Cart {
  const latest = now.getTime() + clockToleranceMs;
  const seenSeq = cart.seen.get(device) ?? 0;
  const ownSeq = changes.seen.get(device) ?? seenSeq;
  const accepted = emptyCart();
  if (changes.seen.has(device)) accepted.seen.set(device, ownSeq);
  let lastAt = latestStamp(changes.fields)?.ms ?? 0;
  for (const [key, line] of changes.lines) {
    const entries = [...line].flatMap(([of, entry]) => {
      const known = cart.lines.get(key)?.get(of);
      if (of === device) {
        lastAt = Math.max(lastAt, entry.at);
        const isRight =
          entry.seq <= ownSeq &&
          entry.removedSeq <= entry.seq &&
          Math.abs(entry.total) <= maxTotal &&
          Math.abs(entry.removedTotal) <= maxTotal &&
          isReadable(entry);
        if (!isRight) throw impossible();
        // A request that was long on its way: the line was removed since, and all have forgotten it.
        return known || entry.seq > seenSeq ? [[of, entry] as const] : [];
      }
      if (!known || entry.removedSeq > known.seq) return [];
      const { removedSeq, removedTotal } = entry;
      const removed = { ...known, removedSeq, removedTotal };
      if (!isReadable(removed)) throw impossible();
      return [[of, removed] as const];
    });
    if (entries.length > 0) accepted.lines.set(key, new Map(entries));
  }
  for (const [name, field] of changes.fields) {
    if (!Object.hasOwn(fields, name) || fields[name] !== field.strategy)
      throw invalidField(
        'changes',
        `has the field "${name}" with the strategy ${field.strategy}, which CARTS_FIELDS does not name`,
      );
    accepted.fields.set(name, field);
  }
  if (lastAt > latest)
    throw refused('CART_CLOCK_AHEAD', "The device's clock is more than a minute ahead of the server's.", {
      metadata: { server_time: now.toISOString() },
    });
  return accepted;
}

function impossible(): CaudalError {
  return invalidField('changes', 'has an entry with numbers that no device makes');
}

/**
 * The stored cart with another content, without the removed lines that all copies have seen. The same one if nothing has changed.
 * Throws CART_FULL.
 */
export function changedTo(stored: StoredCart, cart: Cart, now: Date): StoredCart {
  const next = withContent(stored, cart);
  if (next === stored) return stored;
  const kept = compacted(next, now);
  assertBounds(kept.cart);
  return kept;
}

/** The stored cart with another content, under the next version, whatever its bounds. The same one if nothing has changed. */
export function withContent(stored: StoredCart, content: Cart): StoredCart {
  // A line of which devices have taken away the same pieces would hide what others add to it, and would never be forgotten.
  const cart = [...content.lines.keys()].reduce(atLeastNone, content);
  const { lines, fields, seen } = changesSince(cart, stored.cart);
  if (lines.size + fields.size + seen.size === 0) return stored;
  const version = stored.version + 1;
  const changed = new Map(stored.changed);
  for (const key of lines.keys()) changed.set(key, version);
  return { ...stored, cart, version, changed };
}

/** Forgets copies that have not been there for long, and removed lines that all others have seen. */
export function compacted(stored: StoredCart, now: Date): StoredCart {
  const recent = [...stored.devices]
    .filter(([, { seenMs }]) => seenMs >= now.getTime() - deviceLifetimeMs)
    .sort(([, a], [, b]) => b.seenMs - a.seenMs)
    .slice(0, mostDevices);
  const devices = new Map(recent);
  const removed = [...stored.cart.lines].flatMap(([key, line]) => (isRemoved(line) ? [key] : []));
  const everyoneHas = Math.min(stored.version, ...recent.map(([, { version }]) => version));
  // So many removed lines that some copies have to begin anew.
  const upTo = removed.length > mostRemoved ? stored.version : everyoneHas;
  const forgotten = removed.filter((key) => (stored.changed.get(key) ?? 0) <= upTo);
  if (forgotten.length === 0 && devices.size === stored.devices.size) return stored;
  const lines = new Map(stored.cart.lines);
  const changed = new Map(stored.changed);
  const prices = new Map(stored.prices);
  let { forgottenUpTo } = stored;
  for (const key of forgotten) {
    forgottenUpTo = Math.max(forgottenUpTo, changed.get(key) ?? 0);
    for (const map of [lines, changed, prices]) map.delete(key);
  }
  const named = new Set([...lines.values()].flatMap((line) => [...line.keys()]));
  // Of a young copy requests may still be on their way.
  const isYoung = (device: string) => (timeOfId(device) ?? 0) >= now.getTime() - deviceLifetimeMs;
  const isKept = (device: string) =>
    device === serverDevice || devices.has(device) || named.has(device) || isYoung(device);
  const seen = new Map([...stored.cart.seen].filter(([device]) => isKept(device)));
  return { ...stored, devices, changed, prices, forgottenUpTo, cart: { ...stored.cart, seen, lines } };
}
