/**
 * A checkout: the cart as it was when it began, and the order that it becomes. What it takes out of the cart in the end is what it has
 * seen then; what devices add at the same time stays.
 */
import { type Cart, linesOf, merge, removeLine, setQuantity } from '@caudal/carts/cart.ts';
import { decodeCart, encodeCart } from '@caudal/carts/encoding.ts';
import { itemOf } from '@caudal/carts/line-key.ts';
import { changesSince } from '@caudal/carts/replica.ts';
import { refused } from '@caudal/kernel/errors.ts';
import { derivedIdAt } from '@caudal/kernel/ids.ts';
import {
  type Attempt,
  type Checkout,
  type FormerCheckout,
  type Keyed,
  type OrderedLine,
  type StoredCart,
  serverDevice,
  withContent,
} from './stored-cart.ts';

/** How long a call may still place its order: as long as calls wait, and far more. */
export const attemptMs = 60_000;
const lapseMs = 3_600_000;
const mostFormer = 5;
const mostAttempts = 20;

/**
 * Begins a checkout, or joins the one whose outcome is not known. The call's idempotency key is kept with it, for whoever finishes it: the
 * call may not live to do so. Throws CART_EMPTY.
 */
export function beginCheckout(
  stored: StoredCart,
  cartId: string,
  { attempt, keyed }: { attempt: string; keyed?: Keyed },
  now: Date,
): StoredCart {
  const { checkout, formerCheckouts, ...rest } = stored;
  const untilMs = now.getTime() + attemptMs;
  const begun: Attempt = keyed ? [attempt, untilMs, keyed] : [attempt, untilMs];
  const attempts = [...(checkout?.attempts ?? []), begun].slice(-mostAttempts);
  if (checkout && isUndecided(checkout, now)) return { ...stored, checkout: { ...checkout, attempts } };
  const { cart } = stored;
  const quantities = new Map<string, number>();
  let emptied = cart;
  for (const { key, quantity } of linesOf(cart)) {
    const { productId } = itemOf(key);
    quantities.set(productId, (quantities.get(productId) ?? 0) + quantity);
    emptied = removeLine(emptied, key);
  }
  if (quantities.size === 0)
    throw refused('CART_EMPTY', 'There is nothing in the cart.', { metadata: { last_order_id: stored.lastOrderId } });
  const lines = [...quantities].map(([productId, quantity]) => ({ productId, quantity }));
  const removal = Buffer.from(encodeCart(changesSince(emptied, cart))).toString('base64');
  // The same id until one order is placed under it: so that there is one, whatever becomes of the calls.
  const orderId = stored.nextOrderId ?? derivedIdAt(now.getTime(), 'checkout', cartId, stored.checkouts + 1);
  const former = checkout ? withFormer(checkout) : (formerCheckouts ?? []);
  return { ...rest, nextOrderId: orderId, checkout: { orderId, lines, removal, attempts, former } };
}

/** A checkout that is given up, and those before it. */
function withFormer({ lines, removal, former }: Checkout): FormerCheckout[] {
  return [{ lines, removal }, ...former].slice(0, mostFormer);
}

/** Whether a call may still place the order. */
function isUndecided({ attempts }: Checkout, now: Date): boolean {
  return attempts.some(([, until]) => until > now.getTime());
}

/** An attempt was refused: the next checkout takes the cart as it is then, unless another attempt may have succeeded. */
export function endAttempt(stored: StoredCart, attempt: string): StoredCart {
  const { checkout, ...rest } = stored;
  if (!checkout) return stored;
  const attempts = checkout.attempts.filter(([name]) => name !== attempt);
  if (attempts.length === 0) return { ...rest, formerCheckouts: checkout.former };
  return { ...rest, checkout: { ...checkout, attempts } };
}

/** The idempotency keys of all calls that may have placed this order. */
export function keysOf({ checkout }: StoredCart, orderId: string): Keyed[] {
  return checkout?.orderId === orderId ? checkout.attempts.flatMap(([, , keyed]) => keyed ?? []) : [];
}

/**
 * Without a checkout whose calls have ended long ago: views would know its order, as a rule. It may be placed all the same, so it stays noted
 * until the order's id is used.
 */
export function withoutLapsed(stored: StoredCart, now: Date): StoredCart {
  const { checkout, ...rest } = stored;
  const isLapsed = checkout?.attempts.every(([, until]) => until + lapseMs < now.getTime());
  return isLapsed ? { ...rest, formerCheckouts: withFormer(checkout!) } : stored;
}

/** The order is placed, with these lines: they leave the cart. A repeat changes nothing. */
export function finishCheckout(stored: StoredCart, orderId: string, ordered: OrderedLine[], now: Date): StoredCart {
  const { checkout } = stored;
  if (checkout?.orderId !== orderId) return stored;
  const { cart } = stored;
  const noted = [checkout, ...checkout.former].find(({ lines }) => isSame(lines, ordered));
  const left = noted ? merge(cart, removedBy(noted.removal, cart)) : withoutPieces(cart, ordered, now);
  const { checkout: _, nextOrderId: __, held: ___, ...rest } = withContent(stored, left);
  return { ...rest, checkouts: stored.checkouts + 1, lastOrderId: orderId };
}

/** Without what was ordered, for an order of which no checkout is noted any more: of each product at most the pieces of the order. */
function withoutPieces(cart: Cart, ordered: OrderedLine[], now: Date): Cart {
  let left = cart;
  for (const { productId, quantity } of ordered) {
    let pieces = quantity;
    for (const line of linesOf(cart)) {
      if (itemOf(line.key).productId !== productId) continue;
      const taken = Math.min(pieces, line.quantity);
      const by = { device: serverDevice, nowMs: now.getTime() };
      left = setQuantity(left, line.key, line.quantity - taken, by);
      pieces -= taken;
    }
  }
  return left;
}

/** The removal, as far as the cart still has the lines: those that are forgotten must not come back. */
function removedBy(removal: string, { lines }: Cart): Cart {
  const removed = decodeCart(Buffer.from(removal, 'base64'));
  return { ...removed, lines: new Map([...removed.lines].filter(([key]) => lines.has(key))) };
}

function isSame(a: OrderedLine[], b: OrderedLine[]): boolean {
  const quantities = new Map(b.map(({ productId, quantity }) => [productId, quantity]));
  return a.length === b.length && a.every(({ productId, quantity }) => quantities.get(productId) === quantity);
}
