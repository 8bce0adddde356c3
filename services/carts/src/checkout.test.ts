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
import { deleteCart } from './store/cart-rows.ts';
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
    world.reserving({});
    world.reserved.clear();
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
  const rowsOf = () =>
    world.database.query({ text: 'SELECT FROM carts WHERE cart_id = $1', values: [`c/${customerId}`] });
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

  test.each([
    ['whose checkout is still noted', [], { TEA: 1 }],
    [
      'after more checkouts than are noted',
      ['A', 'B', 'C', 'D', 'E', 'F'],
      { A: 1, B: 1, C: 1, D: 1, E: 1, F: 1, TEA: 1 },
    ],
  ])('that arrives after its checkout has lapsed, %s, takes out its own lines only', async (_, others, expected) => {
    await add('MUG', 2);
    let arrive = () => {};
    world.placing(async (run) => {
      arrive = run;
      throw unavailable('orders');
    });
    await checkOut().catch(() => {});
    world.placing(async () => {
      throw unavailable('orders');
    });
    for (const product of others) {
      world.pass(120_000);
      await add(product, 1);
      await checkOut().catch(() => {});
    }
    world.pass(2 * 3_600_000);
    await settleCheckouts.run(jobTools(), run());
    await add('TEA', 1);
    world.placing(async (run) => {
      arrive();
      return run();
    });
    await checkOut();
    expect(ordersOf().map(piecesOf)).toEqual([{ MUG: 2 }]);
    expect(await linesNow()).toEqual(expected);
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

  const reserve = () => world.carts.reserveCart({ customerId, ttl: undefined }, testCall());

  test('releases what was reserved at the same time: one reservation is open, whatever the order', async () => {
    await add('MUG', 2);
    const made = await Promise.all([reserve(), reserve(), reserve()]);
    const open = made.filter(({ reservationId }) => world.reserved.get(reservationId) === 'open');
    expect(open).toHaveLength(1);
    // The first one's call is still on its way when the second one ends it.
    let isFirst = true;
    world.reserving({
      async reserve() {
        if (!isFirst) return;
        isFirst = false;
        await reserve();
      },
    });
    const { reservationId } = await reserve();
    expect(world.reserved.get(reservationId)).toBe('released');
    expect([...world.reserved.values()].filter((state) => state === 'open')).toHaveLength(1);
    await checkOut();
    expect([...world.reserved.values()].filter((state) => state === 'open')).toHaveLength(0);
  });

  test('releases later what could not be released at once', async () => {
    await add('MUG', 2);
    const { reservationId } = await reserve();
    world.reserving({
      async release() {
        throw unavailable('inventory');
      },
    });
    await reserve();
    expect(world.reserved.get(reservationId)).toBe('open');
    world.reserving({});
    await checkOut();
    expect([...world.reserved.values()].filter((state) => state === 'open')).toHaveLength(0);
  });

  test('that is refused after an erasure brings no row back', async () => {
    await add('MUG', 2);
    await reserve();
    world.placing(async () => {
      await deleteCart(world.database, `c/${customerId}`);
      throw refused('PRICE_CHANGED', 'Prices have changed.');
    });
    expect(await refusalOf(checkOut())).toMatchObject({ reason: 'PRICE_CHANGED' });
    expect(await rowsOf()).toHaveLength(0);
  });

  test('lines that come again after an order have the price of today', async () => {
    const priceOf = async () => {
      const view = CartView.CART_VIEW_EXPLAINED;
      const { lines } = await world.queries.getCart({ customerId, view, readMask: undefined }, testCall());
      return lines.map(({ firstUnitPrice, problems }) => [firstUnitPrice?.minorUnits, problems]);
    };
    world.sell('PEN');
    await add('PEN', 1);
    await checkOut();
    world.sell('PEN', { price: { minorUnits: 800n, currency: 'GBP' } });
    world.pass(10_000);
    await add('PEN', 1);
    expect(await priceOf()).toEqual([[800n, []]]);
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

  test('that died is not made again by a repeat, whoever has ended it', async () => {
    const dying = async (requestId: string) => {
      world.placing(async (place) => {
        place();
        throw unavailable('orders');
      });
      await checkOut(requestId).catch(() => {});
      world.placing(async (place) => place());
    };
    const [byJob, byOther] = [newId(), newId()];
    await add('MUG', 2);
    await dying(byJob);
    world.pass(120_000);
    await settleCheckouts.run(jobTools(), run());
    await add('TEA', 1);
    expect((await checkOut(byJob)).orderId).toBe(ordersOf()[0]!.order.orderId);
    await dying(byOther);
    const { orderId } = await checkOut(newId());
    await add('MUG', 1);
    expect((await checkOut(byOther)).orderId).toBe(orderId);
    expect(ordersOf().map(piecesOf)).toEqual([{ MUG: 2 }, { TEA: 1 }]);
    expect(await linesNow()).toEqual({ MUG: 1 });
    expect(await refusalOf(checkOut(byOther, 'another card'))).toMatchObject({ reason: 'REQUEST_ID_REUSED' });
  });

  test('that can not be ended does not hold up those of other customers', async () => {
    const broken = `c/${newId()}`;
    await world.database.query({
      text: `INSERT INTO carts (cart_id, version, content, lines, may_remind, checking_out, changed_at)
        VALUES ($1, 1, '', 0, false, true, $2)`,
      values: [broken, new Date(0)],
    });
    await add('MUG', 2);
    world.placing(async (place) => {
      place();
      throw unavailable('orders');
    });
    await checkOut().catch(() => {});
    world.pass(120_000);
    await expect(settleCheckouts.run(jobTools(), run())).rejects.toThrow('failed at 1 carts');
    expect(await linesNow()).toEqual({});
    await deleteCart(world.database, broken);
  });

  test('is in the log also if the row has expired since the last one', async () => {
    for (const expected of [1n, 2n, 3n]) {
      world.pass(1_000);
      await add('MUG', 1);
      const requestId = newId();
      await checkOut(requestId);
      await checkOut(requestId);
      expect(await history()).toMatchObject({ checkouts: expected });
      await deleteCart(world.database, `c/${customerId}`);
    }
  });

  test('all carts that nobody changes are found in one run', async () => {
    world.pass(2 * day);
    const count = 1_001;
    const like = `c/idle-${customerId}-%`;
    await world.database.query({
      text: `INSERT INTO carts (cart_id, version, content, lines, may_remind, checking_out, changed_at)
        SELECT 'c/idle-' || $1 || '-' || n, 1, '', 1, false, false, $2 FROM generate_series(1, $3::int) n`,
      values: [customerId, new Date(world.clock().getTime() - 2 * day), count],
    });
    await findAbandoned.run(jobTools(), run());
    const text = 'SELECT FROM carts WHERE cart_id LIKE $1 AND abandoned_at IS NOT NULL';
    expect(await world.database.query({ text, values: [like] })).toHaveLength(count);
    await world.database.query({ text: 'DELETE FROM carts WHERE cart_id LIKE $1', values: [like] });
  }, 60_000);

  test('carts that nobody changes are abandoned once, and expire; guests sooner', async () => {
    const guest = await world.guests.createGuestCart({}, testCall());
    const ask = () =>
      world.guests.syncGuestCart(
        { ...guest, deviceId: newId(), cartUid: '', baseVersion: 0n, confirmedChange: 0n, changes: '' },
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
    expect(await rowsOf()).toHaveLength(0);
  });
});
