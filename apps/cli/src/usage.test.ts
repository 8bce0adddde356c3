import { describe, expect, test } from '@jest/globals';
import { plain } from './output.ts';
import { closestNames, pick, unknownName } from './usage.ts';

describe('names', () => {
  const views = new Map([
    ['order-details', 1],
    ['stock-dashboard', 2],
  ]);

  test('are found', () => {
    expect(pick('view', 'order-details', views)).toBe(1);
  });

  test('that are unknown are answered with similar and with all known names', () => {
    expect(() => pick('view', 'orderdetails', views)).toThrow(
      'There is no view "orderdetails". Did you mean "order-details"? Known names: order-details, stock-dashboard.',
    );
    expect(() => pick('view', 'zebra', views)).toThrow(/^There is no view "zebra"\. Known names: order-details/);
    expect(unknownName('view', 'x', []).message).toBe('There is no view "x". None exists.');
    const many = Array.from({ length: 50 }, (_, number) => `view-${number}`);
    expect(unknownName('view', 'zebra', many).message).toMatch(/view-39 and 10 more\.$/);
  });

  test('may be abbreviated', () => {
    expect(closestNames('stock', [...views.keys()], 1)).toEqual(['stock-dashboard']);
  });
});

test('states become JSON', () => {
  const at = new Date(0);
  const state = { big: 12n, at, map: new Map([['a', new Set([1n])]]), bytes: Buffer.from('x'), none: undefined };
  expect(JSON.stringify(plain(state))).toBe(
    '{"big":"12","at":"1970-01-01T00:00:00.000Z","map":{"a":["1"]},"bytes":"eA=="}',
  );
});
