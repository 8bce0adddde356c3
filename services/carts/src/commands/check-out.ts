/**
 * Makes an order of a cart, exactly once. The cart fixes the order's id and lines before the order is placed, and gives up neither while
 * a call may still place it: so a repeat, by whichever caller, places the same order. See docs/carts.md, Checkout.
 */

import { noReply } from '@caudal/aggregates/no-reply.ts';
import type { Aggregates } from '@caudal/aggregates/types.ts';
import { CartView, type CheckedOutCart, type CheckOutCartRequest } from '@caudal/contract/gen/caudal/carts/v1/carts.ts';
import {
  type OrderQueryServiceService,
  type OrderServiceService,
  PlaceOrderRequest,
} from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import type { CommandId, Origin } from '@caudal/kernel/context.ts';
import { CaudalError, invalidField, isCode, isTransient } from '@caudal/kernel/errors.ts';
import { contentHash, derivedIdAt, timeOfId } from '@caudal/kernel/ids.ts';
import type { Call, Client } from '@caudal/rpc/types.ts';
import { cartMessage } from '../cart-message.ts';
import { cartDecider, checkedOut } from '../domain/cart-history.ts';
import { beginCheckout, endAttempt, finishCheckout, keysOf } from '../domain/checkout.ts';
import type { OrderedLine, StoredCart } from '../domain/stored-cart.ts';
import { type CartKey, customerKey } from '../store/keys.ts';
import { type ReserveDependencies, releaseReservations } from './reserve.ts';

export interface CheckOutDependencies extends ReserveDependencies {
  aggregates: Aggregates;
  orders: Client<OrderServiceService>;
  orderQueries: Client<OrderQueryServiceService>;
}

export function checkOutCart(dependencies: CheckOutDependencies) {
  const { store, seals, orders, ids, clock } = dependencies;
  return async (request: CheckOutCartRequest, call: Call): Promise<CheckedOutCart> => {
    const { customerId, expectedTotal } = request;
    // As PlaceOrder does: before anything else, so that an empty cart does not hide it.
    if (expectedTotal && expectedTotal.minorUnits < 0n)
      throw invalidField('expected_total.minor_units', 'must not be below zero');
    const key = await customerKey(seals, customerId);
    const attempt = ids();
    const begun = await begin(key, attempt, call);
    if (typeof begun === 'string') return answer(key, customerId, begun);
    const { orderId, lines } = begun.checkout!;
    await releaseReservations(dependencies, key, begun.reservations ?? [], call);
    const order = PlaceOrderRequest.fromPartial({
      ...{ orderId, customerId, country: request.country, paymentMethod: request.paymentMethod },
      lines: lines.map(({ productId, quantity }) => ({ productId, quantity: BigInt(quantity) })),
      expectedTotal,
    });
    const hash = contentHash(PlaceOrderRequest.encode(order).finish());
    const requestId = derivedIdAt(timeOfId(orderId) ?? clock().getTime(), orderId, Buffer.from(hash).toString('hex'));
    let ordered = lines;
    try {
      await orders.placeOrder({ ...order, requestId }, { origin: call.origin, signal: call.signal });
    } catch (error) {
      if (!isCode(error, 'ALREADY_EXISTS')) {
        // Of a refusal it is known that it has placed nothing; of a time-out it is not.
        if (error instanceof CaudalError && !isTransient(error)) await change(key, (cart) => endAttempt(cart, attempt));
        throw error;
      }
      ordered = (await placedLines(dependencies, orderId, call)) ?? undecided();
    }
    await finish(dependencies, { ...{ key, customerId, orderId, ordered }, ...call });
    return answer(key, customerId, orderId);
  };

  /**
   * The cart with its checkout begun; or the order's id, if this is the repeat of a call that has placed it. Both under the row's lock: what
   * another caller finishes in between must not look like a new command.
   */
  function begin(key: CartKey, attempt: string, { commandId, signal }: Call): Promise<StoredCart | string> {
    const keyed = commandId && { key: commandId.key, hash: Buffer.from(commandId.hash).toString('hex') };
    return store.change<StoredCart | string>({
      ...{ key, commandId, signal, isBegin: true },
      decide(row) {
        const stored = beginCheckout(row.stored, key.cartId, { attempt, keyed }, clock());
        return { row: { ...row, stored }, reply: stored };
      },
      repeat: (_, orderId) => orderId,
    });
  }

  function change(key: CartKey, act: (stored: StoredCart) => StoredCart): Promise<void> {
    return store.change({
      key,
      // A row that an erasure has deleted meanwhile stays away.
      decide: (row) => ({ row: row.exists ? { ...row, stored: act(row.stored) } : row, reply: undefined }),
      repeat: () => undefined,
    });
  }

  async function answer(key: CartKey, customerId: string, orderId: string): Promise<CheckedOutCart> {
    return { orderId, cart: cartMessage(await store.read(key), { customerId, view: CartView.CART_VIEW_BASIC }) };
  }
}

function undecided(): never {
  throw new CaudalError(
    'UNAVAILABLE',
    'CHECKOUT_UNDECIDED',
    'An earlier checkout of the cart may have placed its order. Repeat it in a moment.',
    { retryAfterMs: 1_000 },
  );
}

/** The lines of an order, as far as views know it. Errors: those of OrderQueryService but NOT_FOUND. */
export async function placedLines(
  { orderQueries }: Pick<CheckOutDependencies, 'orderQueries'>,
  orderId: string,
  { origin, signal }: Pick<Call, 'origin' | 'signal'>,
): Promise<OrderedLine[] | undefined> {
  try {
    const { lines } = await orderQueries.getOrder({ orderId, readMask: undefined }, { origin, signal });
    return lines.map(({ productId, quantity }) => ({ productId, quantity: Number(quantity) }));
  } catch (error) {
    if (isCode(error, 'NOT_FOUND')) return undefined;
    throw error;
  }
}

/**
 * Records the order, takes its lines out of the cart, and notes the idempotency keys of all calls that have begun it. May be repeated after
 * a crash in between.
 */
export async function finish(
  { aggregates, store, clock }: Pick<CheckOutDependencies, 'aggregates' | 'store' | 'clock'>,
  of: {
    key: CartKey;
    customerId: string;
    orderId: string;
    ordered: OrderedLine[];
    origin: Origin;
    commandId?: CommandId;
  },
): Promise<void> {
  const { key, customerId, orderId, ordered, origin, commandId } = of;
  await aggregates.execute({
    ...{ decider: cartDecider, id: customerId, origin },
    ...{ reply: () => undefined, replyCodec: noReply },
    decide: (state) => checkedOut(state, { customerId, orderId }),
  });
  await store.change({
    key,
    decide(row) {
      const stored = finishCheckout(row.stored, orderId, ordered, clock());
      const after = stored === row.stored ? row : { ...row, stored, changedAt: clock() };
      const keys = keysOf(row.stored, orderId).map((keyed) => ({
        key: keyed.key,
        hash: Buffer.from(keyed.hash, 'hex'),
      }));
      // Of a call that came while many others tried, the checkout has no note.
      if (commandId) keys.push({ key: commandId.key, hash: Buffer.from(commandId.hash) });
      const done = row.exists ? keys.map((one) => ({ ...one, answer: orderId })) : [];
      return { row: after, reply: undefined, done };
    },
    repeat: () => undefined,
  });
}
