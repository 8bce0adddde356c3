/** A stored cart can always be read again, whatever was done to it. */
import { addToLine, type Cart, type Entry, emptyCart, linesOf, merge, removeLine } from '@caudal/carts/cart.ts';
import { decodeCart, encodeCart } from '@caudal/carts/encoding.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { expect, test } from '@jest/globals';
import { changedTo, newCart, type StoredCart, serverDevice, sync } from './stored-cart.ts';

const now = new Date('2026-01-01T00:00:00Z');
const by = { device: serverDevice, nowMs: now.getTime() };
const refusalOf = (act: () => unknown): unknown => {
  try {
    act();
  } catch (error) {
    return error;
  }
  return undefined;
};

test('removed lines are forgotten also if no device ever synchronises', () => {
  let stored = newCart();
  for (let n = 0; n < 5_000; n++) {
    stored = changedTo(stored, addToLine(stored.cart, `P${n}`, 1, by), now);
    stored = changedTo(stored, removeLine(stored.cart, `P${n}`), now);
  }
  expect([stored.version, stored.cart.lines.size, stored.changed.size]).toEqual([10_000, 0, 0]);
  // What is added again is there.
  stored = changedTo(stored, addToLine(stored.cart, 'P1', 3, by), now);
  expect(stored.cart.lines.size).toBe(1);
});

test('lines with long options are refused before the cart is too large to be read', () => {
  let stored: StoredCart = newCart();
  const adding = (n: number): Cart => addToLine(stored.cart, `P${n}?a=${'x'.repeat(1_900)}`, 1, by);
  let n = 0;
  let refusal: unknown;
  for (; refusal === undefined && n < 1_000; n++) {
    refusal = refusalOf(() => {
      stored = changedTo(stored, adding(n), now);
    });
  }
  expect(refusal).toMatchObject({ reason: 'CART_FULL', message: expect.stringContaining('192 KiB') });
  expect(n).toBeGreaterThan(90);
  expect(decodeCart(encodeCart(stored.cart)).lines.size).toBe(n - 1);
});

test('lines that are counted down to nothing, by one device or by two at once, are forgotten as removed ones are', () => {
  let stored = newCart();
  const keys = Array.from({ length: 3_100 }, (_, n) => `P${n}`);
  for (const key of keys) {
    stored = changedTo(stored, addToLine(stored.cart, key, 1, by), now);
    stored = changedTo(stored, addToLine(stored.cart, key, -1, by), now);
  }
  expect([stored.cart.lines.size, stored.changed.size]).toEqual([0, 0]);
  const two = changedTo(stored, addToLine(stored.cart, 'A', 5, by), now);
  const takers = [newId(), newId()].map((device) => addToLine(two.cart, 'A', -3, { ...by, device }));
  stored = changedTo(two, takers.reduce(merge), now);
  expect(stored.cart.lines.size).toBe(0);
  stored = changedTo(stored, addToLine(stored.cart, 'A', 1, by), now);
  expect(linesOf(stored.cart)).toEqual([{ key: 'A', quantity: 1 }]);
});

test('numbers that could not be read again are refused, also of a removal of what others have added', () => {
  const stored = changedTo(newCart(), addToLine(emptyCart(), 'A', 1, by), now);
  const removing = (removed: Partial<Entry>) => {
    const entry = { ...stored.cart.lines.get('A')!.get(serverDevice)!, ...removed };
    const changes = { ...emptyCart(), lines: new Map([['A', new Map([[serverDevice, entry]])]]) };
    const device = newId();
    return () => sync(stored, { device, baseVersion: 0, confirmedChange: 0, changes }, {}, new Date());
  };
  for (const wrong of [{ removedTotal: -Number.MAX_SAFE_INTEGER }, { removedSeq: -1 }])
    expect(refusalOf(removing(wrong))).toMatchObject({ code: 'INVALID_ARGUMENT', violations: [{ field: 'changes' }] });
  const much = { seq: 2, total: 2 ** 53, at: 0, removedSeq: 1, removedTotal: 0 };
  const cart = { ...emptyCart(), lines: new Map([['A', new Map([[serverDevice, much]])]]) };
  expect(refusalOf(() => changedTo(newCart(), cart, now))).toMatchObject({ reason: 'CART_FULL' });
});

test('a field with more than can be read is refused by its name', () => {
  const device = (n: number) => `00000000-0000-7000-8000-${String(n).padStart(12, '0')}`;
  const state = Array.from({ length: 21 }, (_, n) => ({
    ...{ text: `${n}`, stamp: { ms: 1, count: 0, device: device(n) } },
    clock: [[device(n), 1]],
  }));
  const cart = { ...emptyCart(), fields: new Map([['address', { strategy: 'siblings' as const, state }]]) };
  const refusal = refusalOf(() => changedTo(newCart(), cart, now));
  expect(refusal).toMatchObject({ reason: 'CART_FULL', message: expect.stringContaining('"address"') });
});
