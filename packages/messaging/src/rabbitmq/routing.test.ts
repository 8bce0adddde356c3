import { expect, test } from '@jest/globals';
import { matches } from './routing.ts';

test('binding keys of a topic exchange: a star is one word, a hash any number', () => {
  const cases: [string, string, boolean][] = [
    ['orders.order.#', 'orders.order.created.v1', true],
    ['orders.order.#', 'orders.order', true],
    ['orders.order.#', 'orders.orders.created.v1', false],
    ['#', 'orders.order.created.v1', true],
    ['#.v1', 'orders.order.created.v1', true],
    ['#.v1', 'orders.order.created.v2', false],
    ['orders.*.created.v1', 'orders.order.created.v1', true],
    ['orders.*.v1', 'orders.order.created.v1', false],
    ['orders.#.created.#', 'orders.order.created.v1', true],
    ['orders.order.created.v1', 'orders.order.created.v1', true],
    ['orders.order.created.v1', 'orders.order.created.v10', false],
    ['*', '', true],
    ['#.#', 'orders', true],
    ['#', '', true],
  ];
  for (const [key, type, expected] of cases) expect([key, type, matches(key, type)]).toEqual([key, type, expected]);
});

test('a key of many hashes is no work', () => {
  // Tried one way after the other, this would take years.
  expect(matches(`${'#.'.repeat(5_000)}x`, 'orders.order.created.v1')).toBe(false);
});
