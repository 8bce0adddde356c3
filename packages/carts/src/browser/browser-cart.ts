/**
 * A copy of a cart in a browser's IndexedDB, which all tabs share. Changes are on disk before they count, and are sent when there is a
 * network: `sync` may be called at any time, by any tab.
 */
import { openDB } from 'idb';
import { type By, type Cart, emptyCart } from '../cart.ts';
import { decodeCart, encodeCart } from '../encoding.ts';
import { newReplica, pendingChanges, type Replica, rebased, received, unconfirmed } from '../replica.ts';

/** The body of SyncCart or SyncGuestCart, but for what names the cart. */
export interface SyncBody {
  deviceId: string;
  baseVersion: string;
  confirmedChange: string;
  changes: string;
}

export interface BrowserCartOptions {
  /** The database: one for each cart, such as `cart-<id>`. Delete it on a logout. */
  name: string;
  /** Makes UUIDv7s. */
  newId(): string;
  nowMs(): number;
  /** Sends a sync. Throws what the server has refused, with its `reason`; anything else if there is no network. */
  send(body: SyncBody): Promise<{ version: string; changes: string }>;
  /** Called when another tab has changed the copy. */
  onChange?(): void;
}

export interface BrowserCart {
  /** The cart as this browser knows it. */
  read(): Promise<Cart>;
  /** Changes the copy, in one transaction. */
  change(act: (cart: Cart, by: By) => Cart): Promise<Cart>;
  /** Sends what was not sent, and takes what the copy lacks. Throws what `send` has thrown. */
  sync(): Promise<Cart>;
  close(): void;
}

/** As it is stored. */
interface Kept {
  device: string;
  version: number;
  cart: Uint8Array;
  confirmed: Uint8Array;
}

const storeName = 'copy';
/** A refusal that needs the copy to change is followed by one more attempt. */
const mostAttempts = 3;

export async function openBrowserCart(options: BrowserCartOptions): Promise<BrowserCart> {
  const { name, newId, nowMs, send, onChange } = options;
  const database = await openDB<{ copy: { key: string; value: Kept } }>(name, 1, {
    upgrade: (db) => void db.createObjectStore(storeName),
  });
  const tabs = new BroadcastChannel(name);
  tabs.onmessage = () => onChange?.();

  /** Reads and writes the copy in one transaction, so that tabs take turns. */
  async function update(act: (replica: Replica) => Replica): Promise<Replica> {
    const tx = database.transaction(storeName, 'readwrite');
    const kept = await tx.store.get('copy');
    const before = kept ? replicaOf(kept) : newReplica(newId());
    const after = act(before);
    if (!kept || after !== before) await tx.store.put(keptOf(after), 'copy');
    await tx.done;
    if (after !== before) tabs.postMessage('changed');
    return after;
  }

  const bodyOf = ({ device, version, confirmed }: Replica, changes: Cart): SyncBody => ({
    deviceId: device,
    baseVersion: String(version),
    confirmedChange: String(confirmed.seen.get(device) ?? 0),
    changes: toBase64Url(encodeCart(changes)),
  });

  async function attempt(replica: Replica): Promise<Replica> {
    const sent = pendingChanges(replica);
    const { version, changes } = await send(bodyOf(replica, sent));
    const answer = { base: replica.version, version: Number(version), changes: fromBase64Url(changes) };
    return update((now) => (now.device === replica.device ? received(now, sent, answer) : now));
  }

  /** Takes the cart anew under another device's id. */
  async function beginAnew(former: string): Promise<Replica> {
    const device = newId();
    const empty = newReplica(device);
    const { version, changes } = await send(bodyOf(empty, emptyCart()));
    const server = { version: Number(version), changes: fromBase64Url(changes) };
    return update((now) => (now.device === former ? rebased(now, server, device, nowMs()) : now));
  }

  return {
    read: async () => (await update((replica) => replica)).cart,
    async change(act) {
      const by = (device: string): By => ({ device, nowMs: nowMs() });
      return (await update((replica) => ({ ...replica, cart: act(replica.cart, by(replica.device)) }))).cart;
    },
    async sync() {
      let replica = await update((now) => now);
      for (let left = mostAttempts; ; left--) {
        try {
          return (await attempt(replica)).cart;
        } catch (error) {
          const { reason } = error as { reason?: string };
          if (left <= 1) throw error;
          if (reason === 'CART_DEVICE_EXPIRED') replica = await beginAnew(replica.device);
          else if (reason === 'CART_CHANGES_LOST') replica = await update(unconfirmed);
          else throw error;
        }
      }
    },
    close() {
      tabs.close();
      database.close();
    },
  };
}

function replicaOf({ device, version, cart, confirmed }: Kept): Replica {
  return { device, version, cart: decodeCart(cart), confirmed: decodeCart(confirmed) };
}

function keptOf({ device, version, cart, confirmed }: Replica): Kept {
  return { device, version, cart: encodeCart(cart), confirmed: encodeCart(confirmed) };
}

function toBase64Url(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

function fromBase64Url(text: string): Cart {
  const bytes = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  return decodeCart(Uint8Array.from(bytes, (character) => character.charCodeAt(0)));
}
