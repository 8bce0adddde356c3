/** Answers from memory are encoded once. */
import { expect, test } from '@jest/globals';
import { encodeOnce } from './encode-once.ts';

test('what is remembered is encoded once, what is not each time', () => {
  const once = encodeOnce<string>();
  const answer = { count: 1 };
  let calls = 0;
  const encode = () => `${JSON.stringify(answer)} ${++calls}`;
  expect(once(answer, false, encode)).toBe('{"count":1} 1');
  expect(once(answer, true, encode)).toBe('{"count":1} 2');
  expect(once(answer, true, encode)).toBe('{"count":1} 2');
  expect(once({ count: 1 }, true, encode)).toBe('{"count":1} 3');
});

test('an answer that was read for this call is encoded anew, though its object was remembered before', () => {
  const once = encodeOnce<number>();
  const answer = { count: 1 };
  expect(once(answer, true, () => 1)).toBe(1);
  expect(once(answer, false, () => 2)).toBe(2);
});
