/** What the contract can't see in a copy's bytes. */
import { addToLine, emptyCart } from '@caudal/carts/cart.ts';
import { encodeCart } from '@caudal/carts/encoding.ts';
import { type StrategyName, writeField } from '@caudal/carts/fields.ts';
import { lineKey } from '@caudal/carts/line-key.ts';
import { describe, expect, test } from '@jest/globals';
import { decodeChanges } from './decode-changes.ts';

const device = '01970000-0000-7000-8000-000000000001';
const by = { device, nowMs: 1_760_000_000_000 };
const sent = (cart: ReturnType<typeof emptyCart>) => Buffer.from(encodeCart(cart)).toString('base64url');
const noted = (value: string, strategy: StrategyName = 'last-writer-wins') => ({
  ...emptyCart(),
  fields: writeField(new Map(), { name: 'note', value, ...by }, { note: strategy }),
});

test('what is nested deeply is refused, soon', () => {
  const field = { strategy: 'last-writer-wins' as const, state: { text: '', stamp: { ms: 1, count: 0, device } } };
  const bytes = Buffer.from(encodeCart({ ...emptyCart(), fields: new Map([['note', field]]) }));
  const end = bytes.subarray(0, bytes.indexOf('last-writer-wins') + 'last-writer-wins'.length);
  const depth = 30_000;
  const state = Buffer.from(
    `{"text":"","stamp":${JSON.stringify(field.state.stamp)},"x":${'['.repeat(depth)}${']'.repeat(depth)}}`,
  );
  const length = Buffer.from([
    (state.length % 128) + 128,
    (Math.floor(state.length / 128) % 128) + 128,
    state.length >> 14,
  ]);
  expect(() => decodeChanges(Buffer.concat([end, length, state]).toString('base64url'))).toThrow(
    expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
  );
});

describe('a card number in what a copy sends', () => {
  const number = '4111 1111 1111 1111';
  test.each([
    ['a field', noted(number)],
    ['one of the values of a field', noted(`it is ${number}`, 'set-union')],
    ['a value that waits for a person', noted(number, 'siblings')],
    ["a line's option", addToLine(emptyCart(), lineKey({ productId: 'MUG', options: { engraving: number } }), 1, by)],
  ])('is refused in %s, and not repeated', (_, cart) => {
    let refusal: unknown;
    try {
      decodeChanges(sent(cart));
    } catch (error) {
      refusal = error;
    }
    expect(refusal).toMatchObject({ code: 'INVALID_ARGUMENT', violations: [{ field: 'changes' }] });
    expect(JSON.stringify(refusal)).not.toContain('4111');
  });

  test('is not seen in ids, dates and phone numbers', () => {
    const cart = noted(`+44 20 7946 0958 on 2026-11-30, ${device}`);
    expect(decodeChanges(sent(cart))).toEqual(cart);
  });
});
