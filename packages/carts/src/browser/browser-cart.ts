/**
 * A cart in a browser: one copy that all tabs share. A change is on disk before it is shown, and is kept until the server has confirmed
 * it, so a tab may end at any moment. See docs/carts.md.
 */
import { type By, type Cart, emptyCart } from '../cart.ts';
import { decodeCart, encodeCart } from '../encoding.ts';
import {
  hasPending,
  newReplica,
  pendingChanges,
  type Replica,
  rebased,
  received,
  redated,
  unconfirmed,
} from '../replica.ts';
import { fromBase64Url, toBase64Url } from './base64url.ts';
import { type Kept, openCopyStorage } from './copy-storage.ts';
import { newDeviceId } from './device-id.ts';
import { inTurn } from './in-turn.ts';

/** The body of SyncCart or SyncGuestCart, without what names the cart. */
export interface SyncBody {
  deviceId: string;
  cartUid: string;
  baseVersion: string;
  confirmedChange: string;
  changes: string;
}

/** What is answered. */
export interface SyncAnswer {
  cartUid?: string;
  version: string;
  changes: string;
  serverTime: string;
}

/** The cart as this browser knows it. */
export interface Shown {
  cart: Cart;
  /** Whether the server has confirmed all of it. */
  isSent: boolean;
}

export interface BrowserCartOptions {
  /** The database, one for each user of the browser. */
  name: string;
  /**
   * Sends a sync. Throws an Error with the fields of the problem (`reason`, `metadata`) if the server has refused it, and any other one if
   * there is no answer. Must end when the signal says so.
   */
  send(body: SyncBody, signal: AbortSignal): Promise<SyncAnswer>;
  /** Called after each change of the copy, by this tab or another one. */
  onChange?(shown: Shown): void;
  /** Called when a tab has deleted the copy (`deleteBrowserCart`). All calls fail from then on. */
  onDropped?(): void;
  /** The device's clock. */
  nowMs?(): number;
  /** Makes UUIDv7s of this time. */
  newId?(nowMs: number): string;
}

export interface BrowserCart {
  /** Whether the copy outlives the page. False if the browser lets the page store nothing: then each tab has a copy of its own. */
  readonly isKept: boolean;
  read(): Promise<Shown>;
  /**
   * Changes the copy, and returns once the change is on disk. `act` makes the new cart at once, without waiting for anything. If it throws, or
   * the disk is full (QuotaExceededError), nothing has changed.
   */
  change(act: (cart: Cart, by: By) => Cart): Promise<Shown>;
  /** Sends what was not sent, and takes what the copy lacks. Throws what `send` has thrown; nothing is lost then. */
  sync(): Promise<Shown>;
  /** From now on the server is one that has nothing of this copy: if the guest's cart has expired. A login needs none: `sync` notices it. */
  sendAnew(): Promise<Shown>;
  close(): void;
}

/** As it is in memory. */
interface Copy extends Replica {
  epoch: number;
  clockAheadMs: number;
}

/** A refusal that the copy can mend is followed by another attempt. */
const mostAttempts = 4;
const sendMs = 15_000;
/** How long a tab waits for another one's sync: a tab may have been stopped in the middle. */
const turnMs = 20_000;
/** A clock that is off by less is left alone: an answer takes as long. */
const clockToleranceMs = 2_000;

/** Opens the copy of this browser, which is empty at first. */
export async function openBrowserCart(options: BrowserCartOptions): Promise<BrowserCart> {
  const { name, send, onChange, onDropped, nowMs = Date.now, newId = newDeviceId } = options;
  const tabs = new BroadcastChannel(name);
  let isOpen = true;
  const storage = await openCopyStorage(name, dropped);

  function dropped(): void {
    if (!isOpen) return;
    isOpen = false;
    tabs.close();
    onDropped?.();
  }

  /** Changes the copy in one transaction, so that no two tabs give the same number to two changes. */
  async function update(act: (copy: Copy) => Copy): Promise<Copy> {
    let after: Copy | undefined;
    let isNew = false;
    await storage.update((kept) => {
      after = act(kept ? copyOf(kept) : { ...newReplica(newId(nowMs())), epoch: 0, clockAheadMs: 0 });
      const next = keptOf(after);
      isNew = !kept || !isSame(kept, next);
      return isNew ? next : undefined;
    });
    if (isNew && isOpen) {
      onChange?.(shownOf(after!));
      tabs.postMessage('changed');
    }
    return after!;
  }

  async function read(): Promise<Shown> {
    const kept = await storage.read();
    return shownOf(kept ? copyOf(kept) : await update((copy) => copy));
  }

  async function ask({ device, cartUid, version, confirmed, clockAheadMs }: Copy, changes: Cart) {
    const body: SyncBody = {
      deviceId: device,
      cartUid,
      baseVersion: String(version),
      confirmedChange: String(confirmed.seen.get(device) ?? 0),
      changes: toBase64Url(encodeCart(changes)),
    };
    const answer = await send(body, AbortSignal.timeout(sendMs));
    return {
      cartUid: answer.cartUid,
      version: Number(answer.version),
      changes: decodeCart(fromBase64Url(answer.changes)),
      clockAheadMs: aheadOf(answer.serverTime, clockAheadMs),
    };
  }

  /** How far the clock is ahead, if the server's says `time`. */
  function aheadOf(time: string, before: number): number {
    const ahead = nowMs() - Date.parse(time);
    return Math.abs(ahead - before) > clockToleranceMs ? ahead : before;
  }

  async function attempt(copy: Copy): Promise<Copy> {
    const sent = pendingChanges(copy);
    const { clockAheadMs, ...answer } = await ask(copy, sent);
    return update((now) =>
      now.epoch === copy.epoch
        ? { ...now, ...received(now, sent, { ...answer, base: copy.version }), clockAheadMs }
        : now,
    );
  }

  /** Takes the cart anew under another device's id, which is of the server's time: a clock that is behind would make one that has expired. */
  async function beginAnew(former: Copy, serverTime: string | undefined): Promise<Copy> {
    const aheadMs = serverTime ? aheadOf(serverTime, former.clockAheadMs) : former.clockAheadMs;
    const device = newId(nowMs() - aheadMs);
    const { clockAheadMs, ...server } = await ask({ ...former, ...newReplica(device) }, emptyCart());
    return update((now) => {
      if (now.epoch !== former.epoch) return now;
      const serverMs = nowMs() - clockAheadMs;
      const anew = rebased(redated(now, serverMs), server, device, serverMs);
      return { ...anew, clockAheadMs, epoch: now.epoch + 1 };
    });
  }

  function correctClock(serverTime: string): Promise<Copy> {
    return update((now) => {
      const clockAheadMs = aheadOf(serverTime, now.clockAheadMs);
      return { ...now, ...redated(now, nowMs() - clockAheadMs), clockAheadMs };
    });
  }

  const sendAnew = () => update((now) => ({ ...now, ...unconfirmed(now), epoch: now.epoch + 1 }));

  /** The copy after what a refusal asks for, ready for another attempt. Throws the error if it asks for nothing. */
  async function mended(copy: Copy, error: unknown): Promise<Copy> {
    const { reason, metadata } = error as { reason?: string; metadata?: { server_time?: string } };
    if (reason === 'CART_DEVICE_EXPIRED') return beginAnew(copy, metadata?.server_time);
    if (reason === 'CART_CHANGES_LOST') return sendAnew();
    if (reason === 'CART_CLOCK_AHEAD' && metadata?.server_time) return correctClock(metadata.server_time);
    throw error;
  }

  async function syncNow(): Promise<Shown> {
    let copy = await update((now) => now);
    for (let left = mostAttempts; ; left--) {
      try {
        return shownOf(await attempt(copy));
      } catch (error) {
        if (left <= 1) throw error;
        copy = await mended(copy, error);
      }
    }
  }

  tabs.onmessage = ({ data }) => {
    if (data !== 'dropped') return void read().then(onChange, () => {});
    storage.close();
    dropped();
  };
  /** A sync that has not begun: it will send what changes until then. */
  let waiting: Promise<Shown> | undefined;
  return {
    isKept: storage.isKept,
    read,
    change: async (act) =>
      shownOf(
        await update((copy) => {
          const by = { device: copy.device, nowMs: nowMs() - copy.clockAheadMs };
          return { ...copy, cart: act(copy.cart, by) };
        }),
      ),
    sync() {
      waiting ??= inTurn(`${name} sync`, turnMs, () => {
        waiting = undefined;
        return syncNow();
      });
      return waiting;
    },
    sendAnew: async () => shownOf(await sendAnew()),
    close() {
      isOpen = false;
      tabs.close();
      storage.close();
    },
  };
}

function shownOf(copy: Copy): Shown {
  return { cart: copy.cart, isSent: !hasPending(copy) };
}

function copyOf({ cartUid = '', cart, confirmed, ...rest }: Kept): Copy {
  return { cartUid, ...rest, cart: decodeCart(cart), confirmed: decodeCart(confirmed) };
}

/** Throws a RangeError if the cart has become too large to be read again. */
function keptOf({ cartUid, device, version, epoch, clockAheadMs, ...carts }: Copy): Kept {
  const cart = encodeCart(carts.cart);
  const confirmed = encodeCart(carts.confirmed);
  for (const bytes of [cart, confirmed]) decodeCart(bytes);
  return { cartUid, device, version, epoch, clockAheadMs, cart, confirmed };
}

function isSame(a: Kept, b: Kept): boolean {
  const isEqual = (one: Uint8Array, other: Uint8Array) =>
    one.length === other.length && one.every((byte, at) => byte === other[at]);
  return (
    a.cartUid === b.cartUid &&
    a.device === b.device &&
    a.version === b.version &&
    a.epoch === b.epoch &&
    a.clockAheadMs === b.clockAheadMs &&
    isEqual(a.cart, b.cart) &&
    isEqual(a.confirmed, b.confirmed)
  );
}
