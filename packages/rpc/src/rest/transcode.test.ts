import { contract } from '@caudal/contract/descriptors.ts';
import { CartServiceService } from '@caudal/contract/gen/caudal/carts/v1/carts.ts';
import { OrderServiceService } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { GetWalletRequest, WalletQueryServiceService } from '@caudal/contract/gen/caudal/payments/v1/wallets.ts';
import { expect, test } from '@jest/globals';
import { jsonToBytes } from './transcode.ts';

const walletAt = contract().method(WalletQueryServiceService.getWallet.path).request;
const { request } = contract().method(OrderServiceService.placeOrder.path);

test('the search for wrong fields ends where the report does', () => {
  let looked = 0;
  const lines = new Proxy(Array(100_000).fill(1), {
    get(list, key, self) {
      if (typeof key === 'string' && /^\d+$/.test(key)) looked++;
      return Reflect.get(list, key, self);
    },
  });
  expect(() => jsonToBytes(request, { lines })).toThrow('lines[0] must be an object (PlaceOrderLine) (and more).');
  expect(looked).toBeLessThan(100);
});

test('whole numbers are decimal, also as strings', () => {
  const sent = (quantity: unknown) => jsonToBytes(request, { lines: [{ productId: 'p', quantity }] });
  for (const quantity of ['1', '-1', '0', '9223372036854775807', 1, null]) expect(sent(quantity)).toBeDefined();
  for (const quantity of ['', ' 1', '1 ', '\n1', '+1', '007', '0x10', '0b1', '1e3', '1.0', '9223372036854775808'])
    expect(() => sent(quantity)).toThrow('lines[0].quantity must be a whole number of 64 bits');
});

test('an amount says its number: what is absent is not zero', () => {
  const sent = (expectedTotal: unknown) => jsonToBytes(request, { expectedTotal });
  for (const minorUnits of ['0', 0, '650']) expect(sent({ minorUnits, currency: 'GBP' })).toBeDefined();
  expect(sent({ minor_units: '0', currency: 'GBP' })).toBeDefined();
  expect(sent(null)).toBeDefined();
  for (const amount of [{ currency: 'GBP' }, { currency: 'GBP', minorUnits: null }, {}])
    expect(() => sent(amount)).toThrow('expected_total.minor_units must be given: 0 if it is zero');
  const lines = [{ productId: 'p', quantity: '1', expectedUnitPrice: { currency: 'GBP' } }];
  expect(() => jsonToBytes(request, { lines })).toThrow('lines[0].expected_unit_price.minor_units must be given');
});

test('a request says its own number, too', () => {
  const { request: setQuantity } = contract().method(CartServiceService.setCartQuantity.path);
  expect(jsonToBytes(setQuantity, { productId: 'p', quantity: '0' })).toBeDefined();
  for (const json of [{}, { productId: 'p' }, { productId: 'p', quantity: null }])
    expect(() => jsonToBytes(setQuantity, json)).toThrow('quantity must be given: 0 if it is zero.');
  expect(() => jsonToBytes(setQuantity, { productId: 7 })).toThrow(
    'quantity must be given: 0 if it is zero (and 1 more).',
  );
});

test('a time exists: the day in the calendar, the hour on the clock', () => {
  const sent = (atTime: unknown) => GetWalletRequest.decode(jsonToBytes(walletAt, { atTime })).atTime?.toISOString();
  expect(sent('2024-02-29T23:59:59.999Z')).toBe('2024-02-29T23:59:59.999Z');
  expect(sent('2026-03-01T01:00:00+02:00')).toBe('2026-02-28T23:00:00.000Z');
  expect(sent('0001-01-01T00:00:00Z')).toBe('0001-01-01T00:00:00.000Z');
  expect(sent('9999-12-31T23:59:59.999Z')).toBe('9999-12-31T23:59:59.999Z');
  expect(sent(null)).toBeUndefined();
  const never = [
    ...['2026-02-30T12:00:00Z', '2025-02-29T12:00:00Z', '2026-04-31T12:00:00Z', '2026-06-31T00:00:00+01:00'],
    ...['2100-02-29T00:00:00Z', '2026-00-10T00:00:00Z', '2026-13-01T00:00:00Z', '2026-01-00T00:00:00Z'],
    ...['2026-01-31T24:00:00Z', '2026-01-31T12:60:00Z', '2026-01-31T12:00:60Z', '2026-01-31T12:00:00+24:00'],
    ...['2026-01-31T12:00:00+01:60', '0000-01-01T00:00:00Z', '0001-01-01T00:00:00+01:00', '10000-01-01T00:00:00Z'],
    ...['2026-01-31', '2026-01-31 12:00:00Z', '2026-01-31T12:00:00', '', '1769860800', 1769860800],
  ];
  for (const atTime of never)
    expect(() => jsonToBytes(walletAt, { atTime })).toThrow(
      'at_time must be a time of the calendar, like "2026-01-31T12:00:00Z"',
    );
  expect(() => jsonToBytes(walletAt, { at_time: '2026-02-30T12:00:00Z' })).toThrow('at_time must be a time');
});
