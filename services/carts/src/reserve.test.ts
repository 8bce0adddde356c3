/** What carts may reserve, on a real PostgreSQL. */
import { AddToCartRequest, CheckOutCartRequest } from '@caudal/contract/gen/caudal/carts/v1/carts.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { refusalOf, testCall } from '@caudal/testing/call.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type CartWorld, cartWorld } from './testing/world.ts';

const day = 86_400_000;

describeWith(['postgres'], 'a cart', () => {
  let world: CartWorld;
  const customerId = newId();
  beforeAll(async () => {
    world = await cartWorld();
  }, 60_000);
  afterAll(() => world?.drop());

  const add = (productId: string, quantity: number) =>
    world.carts.addToCart(
      AddToCartRequest.fromPartial({ customerId, productId, quantity: BigInt(quantity) }),
      testCall(),
    );

  test('reserves for an hour a day and 100 pieces at most, until the cart becomes an order', async () => {
    const limit = { code: 'FAILED_PRECONDITION', reason: 'CART_RESERVATION_LIMIT' };
    await add('MUG', 60);
    const holdFor = (minutes: number) =>
      world.carts.reserveCart({ customerId, ttl: { seconds: BigInt(minutes * 60), nanos: 0 } }, testCall());
    for (let n = 0; n < 4; n++) {
      await holdFor(15);
      // What replaces it within its time adds nothing.
      await holdFor(10);
      world.pass(15 * 60_000);
    }
    expect(await refusalOf(holdFor(15))).toEqual(limit);
    expect(await refusalOf(holdFor(1))).toEqual(limit);
    const order = {
      customerId,
      country: 'GB',
      paymentMethod: { method: { $case: 'cardToken' as const, value: 'tok' } },
    };
    await world.carts.checkOutCart(CheckOutCartRequest.fromPartial(order), testCall());
    await add('MUG', 60);
    await holdFor(15);
    await add('TEA', 41);
    expect(await refusalOf(holdFor(15))).toEqual(limit);
    await add('TEA', -1);
    await holdFor(15);
    world.pass(day);
    for (let n = 0; n < 4; n++) {
      await holdFor(15);
      world.pass(15 * 60_000);
    }
    expect(await refusalOf(holdFor(1))).toEqual(limit);
    world.pass(day);
    await holdFor(15);
  });
});
