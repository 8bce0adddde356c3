import { expect, test } from '@jest/globals';
import { openRecovery } from './recovery.ts';

function opened() {
  let now = 0;
  const recovery = openRecovery(() => now);
  const after = (ms: number) => {
    now += ms;
    return recovery.isReturning();
  };
  return { recovery, after };
}

test('without an illness nothing returns: a queue that does not confirm is broken at once', () => {
  expect(opened().after(0)).toBe(false);
});

test('after an illness, queues have 10 s from the first that confirms', () => {
  const { recovery, after } = opened();
  recovery.isIll();
  expect([after(60_000), after(9_999), after(1), after(0)]).toEqual([true, true, false, false]);
});

test('the 10 s begin anew if the broker is ill again, and end when everything confirms', () => {
  const { recovery, after } = opened();
  recovery.isIll();
  expect(after(0)).toBe(true);
  recovery.isIll();
  expect([after(9_000), after(9_999)]).toEqual([true, true]);
  recovery.isOver();
  expect(after(0)).toBe(false);
});
