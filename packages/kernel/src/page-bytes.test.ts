import { expect, test } from '@jest/globals';
import { itemsOfPage, jsonBytes, pageBytes } from './page-bytes.ts';

test('a page ends with the item that reaches its bytes, and has one at least', () => {
  const of = (...sizes: number[]) => itemsOfPage(sizes, (size) => size);
  expect([of(), of(1, 2, 3), of(pageBytes * 2, 1), of(pageBytes - 1, 1, 1), of(pageBytes - 1, 5, 1)]).toEqual([
    0, 3, 1, 2, 2,
  ]);
});

test('an item takes the bytes of its JSON', () => {
  expect([jsonBytes({ a: 'ü' }), jsonBytes(undefined)]).toEqual([10, 0]);
});
