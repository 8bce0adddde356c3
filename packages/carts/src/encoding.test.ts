/** What decodeCart refuses: all that would take long to read or to merge, whoever has made the bytes. */
import { expect, test } from '@jest/globals';
import { type Cart, emptyCart, type Line } from './cart.ts';
import { decodeCart, encodeCart } from './encoding.ts';
import { lineKey, maxOptions } from './line-key.ts';

const deviceOf = (n: number) => `00000000-0000-7000-8000-${String(n).padStart(12, '0')}`;
const lineOf = (devices: number): Line =>
  new Map(
    Array.from({ length: devices }, (_, n) => [
      deviceOf(n),
      { seq: 2, total: 1, at: 5, removedSeq: 1, removedTotal: 0 },
    ]),
  );
const cartOf = (keys: string[], devices = 1): Cart => ({
  ...emptyCart(),
  lines: new Map(keys.map((key) => [key, lineOf(devices)])),
});
const keys = (count: number) => Array.from({ length: count }, (_, n) => `P${n}`);
const withOptions = (count: number) =>
  lineKey({ productId: 'P', options: Object.fromEntries(keys(count).map((name) => [name, 'é &='])) });
const decoded = (cart: Cart) => decodeCart(encodeCart(cart));

test('as many options, lines and entries as fit come back', () => {
  const key = withOptions(maxOptions);
  expect([...decoded(cartOf([key])).lines.keys()]).toEqual([key]);
  expect(decoded(cartOf(keys(3_000))).lines.size).toBe(3_000);
  expect(decoded(cartOf(keys(160), 100)).lines.get('P159')!.size).toBe(100);
});

test.each([
  ['a line of too many options', cartOf([withOptions(maxOptions + 1)])],
  ['too many lines', cartOf(keys(3_001))],
  ['too many entries in all', cartOf(keys(161), 100)],
  ['a long key', cartOf([`P?a=${'x'.repeat(2_000)}`])],
  ['options that are not sorted', cartOf(['P?b=1&a=1'])],
  ['options that are encoded without need', cartOf(['P?a=%41'])],
])('%s: refused', (_, cart) => {
  expect(() => decoded(cart)).toThrow(RangeError);
});

const stamp = { ms: 1, count: 0, device: deviceOf(1) };
test.each([
  ['last-writer-wins', { text: '', stamp, more: 1 }],
  ['first-writer-wins', { text: '', stamp: { ...stamp, more: [] } }],
  ['last-writer-wins', { text: '', stamp: { ...stamp, device: 'x'.repeat(36) } }],
  ['siblings', [{ text: '', stamp, clock: [], more: '' }]],
  ['siblings', [{ text: '', stamp, clock: [[deviceOf(1), 1, 'more']] }]],
  ['sum', [['4111 1111 1111 1111', 1, 1]]],
] as const)('%s with something beside its state: refused', (strategy, state) => {
  const fields = new Map([['note', { strategy, state: state as unknown }]]);
  expect(() => decoded({ ...emptyCart(), fields })).toThrow(RangeError);
});

test.each([
  ['nothing', [null]],
  ['no text', [{ stamp: { ms: 1, count: 0, device: deviceOf(1) }, clock: [] }]],
  ['a clock of nothing', [{ text: '', stamp: { ms: 1, count: 0, device: deviceOf(1) }, clock: [null] }]],
  ['a clock of short names', [{ text: '', stamp: { ms: 1, count: 0, device: deviceOf(1) }, clock: [['a', 1]] }]],
  [
    'a clock that is not sorted',
    [
      {
        text: '',
        stamp: { ms: 1, count: 0, device: deviceOf(1) },
        clock: [
          [deviceOf(2), 1],
          [deviceOf(1), 1],
        ],
      },
    ],
  ],
  [
    'too many',
    Array.from({ length: 21 }, (__, n) => ({
      text: `${n}`,
      stamp: { ms: 1, count: 0, device: deviceOf(n) },
      clock: [[deviceOf(n), 1]],
    })),
  ],
])('siblings with %s: refused', (_, state) => {
  const fields = new Map([['address', { strategy: 'siblings' as const, state: state as unknown }]]);
  expect(() => decoded({ ...emptyCart(), fields })).toThrow(RangeError);
});
