/** Checkout: one order, whatever fails in between; and what the jobs do later. */

import type { Values } from '@caudal/config/config.ts';
import { AddToCartRequest, CartView, CheckOutCartRequest } from '@caudal/contract/gen/caudal/carts/v1/carts.ts';
import { refused, unavailable } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { refusalOf, testCall } from '@caudal/testing/call.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { cartDecider } from './domain/cart-history.ts';
import { expireCarts, findAbandoned, settleCheckouts } from './jobs/keep-carts.ts';
import { erasures } from './sagas/erasures.ts';
import type { CartSettings } from './settings.ts';
import { type CartWorld, cartWorld } from './testing/world.ts';

const day = 86_400_000;

describeWith(['postgres'], 'checkout', () => {
  let world: CartWorld;
  let customerId: string;
  beforeAll(async () => {
    world = await cartWorld();
  }, 60_000);
  beforeEach(() => {
    customerId = newId();
    world.placing(async (run) => run());
  });
  afterAll(() => world?.drop());

  const add = (productId: string, quantity: number) =>
    world.carts.addToCart(
      AddToCartRequest.fromPartial({ customerId, productId, quantity: BigInt(quantity) }),
      testCall(),
    );
  const checkOut = (requestId?: string, cardToken = 'tok') =>
    world.carts.checkOutCart(
      CheckOutCartRequest.fromPartial({
        ...{ customerId, country: 'GB' },
        paymentMethod: { method: { $case: 'cardToken', value: cardToken } },
      }),
      testCall({ requestId, content: cardToken }),
    );
  const linesNow = async () => {
    const view = CartView.CART_VIEW_BASIC;
    const { lines } = await world.queries.getCart({ customerId, view, readMask: undefined }, testCall());
    return Object.fromEntries(lines.map((line) => [line.productId, Number(line.quantity)]));
  };
  const ordersOf = () => [...world.orders.values()].filter(({ order }) => order.customerId === customerId);
  const piecesOf = ({ order }: { order: { lines: { productId: string; quantity: bigint }[] } }) =>
    Object.fromEntries(order.lines.map((line) => [line.productId, Number(line.quantity)]));
  const history = async () => (await world.aggregates.load(cartDecider, customerId)).state;

  test('orders what is in the cart, empties it, and says so in the log', async () => {
    await add('MUG', 2);
    await add('TEA', 1);
    const { orderId, cart } = await checkOut();
    expect(ordersOf().map(piecesOf)).toEqual([{ MUG: 2, TEA: 1 }]);
    expect(cart).toMatchObject({ lines: [], lastOrderId: orderId, checkingOut: false });
    expect(await history()).toMatchObject({ customerId, checkouts: 1n });
    expect(await refusalOf(checkOut())).toMatchObject({ reason: 'CART_EMPTY' });
    await add('TEA', 4);
    await checkOut();
    expect(ordersOf().map(piecesOf)).toEqual([{ MUG: 2, TEA: 1 }, { TEA: 4 }]);
  });

  test('names a total that can not be, whatever is in the cart', async () => {
    const request = CheckOutCartRequest.fromPartial({
      ...{ customerId, country: 'GB', expectedTotal: { minorUnits: -1n, currency: 'GBP' } },
      paymentMethod: { method: { $case: 'cardToken', value: 'tok' } },
    });
    await expect(world.carts.checkOutCart(request, testCall())).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      violations: [{ field: 'expected_total.minor_units' }],
    });
  });

  test('of many callers at once, and repeated, is one order', async () => {
    await add('MUG', 2);
    const requestId = newId();
    const outcomes = await Promise.allSettled([
      checkOut(requestId),
      checkOut(),
      checkOut(newId()),
      checkOut(requestId),
    ]);
    const done = outcomes.flatMap((each) => (each.status === 'fulfilled' ? [each.value.orderId] : []));
    expect(new Set(done).size).toBe(1);
    expect(ordersOf()).toHaveLength(1);
    await add('TEA', 1);
    // The first call's repeat is not another order.
    if (outcomes[0]!.status === 'fulfilled') expect((await checkOut(requestId)).orderId).toBe(done[0]);
    expect(ordersOf()).toHaveLength(1);
    expect(await linesNow()).toEqual({ TEA: 1 });
  });

  test('leaves in the cart what is added while the order is placed', async () => {
    await add('MUG', 2);
    world.placing(async (run) => {
      await add('MUG', 3);
      await add('TEA', 1);
      return run();
    });
    await checkOut();
    expect(ordersOf().map(piecesOf)).toEqual([{ MUG: 2 }]);
    expect(await linesNow()).toEqual({ MUG: 3, TEA: 1 });
  });

  test('whose answer was lost places the same order when it is repeated, with another card, too', async () => {
    await add('MUG', 2);
    world.placing(async (run) => {
      run();
      throw unavailable('orders');
    });
    expect(await refusalOf(checkOut())).toMatchObject({ code: 'UNAVAILABLE' });
    await add('TEA', 1);
    world.placing(async (run) => run());
    await checkOut(newId(), 'another card');
    expect(ordersOf().map(piecesOf)).toEqual([{ MUG: 2 }]);
    expect(await linesNow()).toEqual({ TEA: 1 });
  });

  test('that was refused takes the cart as it is then', async () => {
    await add('MUG', 2);
    world.placing(async () => {
      throw refused('PRICE_CHANGED', 'Prices have changed.');
    });
    expect(await refusalOf(checkOut())).toMatchObject({ reason: 'PRICE_CHANGED' });
    await add('MUG', 1);
    world.placing(async (run) => run());
    await checkOut();
    expect(ordersOf().map(piecesOf)).toEqual([{ MUG: 3 }]);
    expect(await linesNow()).toEqual({});
  });

  test('that arrives long after its caller has gone is found by the next one, and takes out its own lines only', async () => {
    await add('MUG', 2);
    let arrive = () => {};
    world.placing(async (run) => {
      arrive = run;
      throw unavailable('orders');
    });
    expect(await refusalOf(checkOut())).toMatchObject({ code: 'UNAVAILABLE' });
    world.pass(120_000);
    await add('TEA', 1);
    world.placing(async (run) => {
      arrive();
      return run();
    });
    await checkOut();
    expect(ordersOf().map(piecesOf)).toEqual([{ MUG: 2 }]);
    expect(await linesNow()).toEqual({ TEA: 1 });
  });

  test('releases what the cart has reserved before the order reserves', async () => {
    await add('MUG', 2);
    const { reservationId } = await world.carts.reserveCart({ customerId, ttl: undefined }, testCall());
    expect(world.reserved.get(reservationId)).toBe('open');
    let atOrder: string | undefined;
    world.placing(async (run) => {
      atOrder = world.reserved.get(reservationId);
      return run();
    });
    await checkOut();
    expect(atOrder).toBe('released');
  });

  const jobTools = () => {
    const { database, seals, aggregates, clock, orderQueries } = world;
    const settings = { CARTS_ABANDONED_AFTER: day, CARTS_KEPT: 180 * day, CARTS_GUESTS_KEPT: 30 * day };
    return {
      ...{ database, aggregates, clock, tables: { database, seals }, client: () => orderQueries },
      settings: settings as Values<CartSettings>,
    } as never;
  };
  const run = () => ({ now: world.clock(), token: 1, signal: new AbortController().signal });

  test('that has placed its order and died is ended by the job', async () => {
    await add('MUG', 2);
    world.placing(async (place) => {
      place();
      throw unavailable('orders');
    });
    await checkOut().catch(() => {});
    world.pass(120_000);
    await settleCheckouts.run(jobTools(), run());
    expect(await linesNow()).toEqual({});
    expect(await history()).toMatchObject({ checkouts: 1n });
    await settleCheckouts.run(jobTools(), run());
    expect(ordersOf()).toHaveLength(1);
  });

  test('carts that nobody changes are abandoned once, and expire; guests sooner', async () => {
    const guest = await world.guests.createGuestCart({}, testCall());
    const ask = () =>
      world.guests.syncGuestCart(
        { ...guest, deviceId: newId(), baseVersion: 0n, confirmedChange: 0n, changes: '' },
        testCall(),
      );
    await ask();
    await add('MUG', 2);
    await findAbandoned.run(jobTools(), run());
    expect(await history()).toMatchObject({ abandonedSince: 0 });
    world.pass(2 * day);
    await findAbandoned.run(jobTools(), run());
    await findAbandoned.run(jobTools(), run());
    const { version } = await world.aggregates.load(cartDecider, customerId);
    expect(version).toBe(1);
    world.pass(30 * day);
    await expireCarts.run(jobTools(), run());
    expect(await refusalOf(ask())).toMatchObject({ reason: 'GUEST_CART_NOT_FOUND' });
    expect(await linesNow()).toEqual({ MUG: 2 });
    world.pass(180 * day);
    await expireCarts.run(jobTools(), run());
    expect(await linesNow()).toEqual({});
  });

  test('the cart of an erased customer is deleted', async () => {
    await add('MUG', 2);
    const saga = erasures({ database: world.database });
    const state = { customerId, deleted: false };
    const step = saga.next(state)!;
    expect(await saga.run(step, state, {} as never)).toMatchObject([{ $case: 'deleted' }]);
    const rows = await world.database.query({
      text: 'SELECT FROM carts WHERE cart_id = $1',
      values: [`c/${customerId}`],
    });
    expect(rows).toHaveLength(0);
  });
});
