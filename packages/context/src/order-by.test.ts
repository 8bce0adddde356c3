import { describe, expect, test } from '@jest/globals';
import { listOrder } from './order-by.ts';

const orders = {
  product_id: [],
  available: [{ key: 'available' }],
  'available desc': [{ key: 'available', descending: true }],
};

describe('the order of a list', () => {
  test.each([
    ['', 'product_id'],
    ['  ', 'product_id'],
    ['product_id', 'product_id'],
    ['productId', 'product_id'],
    ['product_id asc', 'product_id'],
    ['available', 'available'],
    [' available  asc ', 'available'],
    [' available   desc', 'available desc'],
  ] as const)('%j is %s', (asked, order) => {
    expect(listOrder(asked, orders)).toEqual({ order, orderBy: orders[order] });
  });

  test.each([
    'price',
    'available up',
    'available, product_id',
    'available desc desc',
    ',',
    'toString',
    'available asc desc',
    'available DESC',
  ])('%j is refused, naming those there are', (asked) => {
    expect(() => listOrder(asked, orders)).toThrow(
      expect.objectContaining({
        code: 'INVALID_ARGUMENT',
        violations: [
          { field: 'order_by', description: 'must be one of "product_id", "available", "available desc", or absent' },
        ],
      }),
    );
  });
});
