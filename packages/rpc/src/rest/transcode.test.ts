import { contract } from '@caudal/contract/descriptors.ts';
import { OrderServiceService } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { expect, test } from '@jest/globals';
import { jsonToBytes } from './transcode.ts';

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
