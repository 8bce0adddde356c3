import { setImmediate } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import { sharedRefresh } from './shared-refresh.ts';

test('those that call before a refresh begins share it; those that call during one share the next', async () => {
  const begun: number[] = [];
  let finish = () => {};
  const refresh = sharedRefresh(() => {
    begun.push(performance.now());
    return new Promise((resolve) => {
      finish = resolve;
    });
  }, 30);
  const first = [refresh(), refresh(), refresh()];
  await setImmediate();
  while (begun.length < 1) await setImmediate();
  const second = [refresh(), refresh()];
  await setImmediate();
  expect(begun).toHaveLength(1);
  finish();
  await Promise.all(first);
  while (begun.length < 2) await setImmediate();
  finish();
  await Promise.all(second);
  expect(begun).toHaveLength(2);
  // A timer may be a millisecond early.
  expect(begun[1]! - begun[0]!).toBeGreaterThanOrEqual(28);
});

test('an error reaches all that share the refresh, and no later one', async () => {
  let fails = true;
  const refresh = sharedRefresh(async () => {
    if (fails) throw new Error('gone');
  }, 0);
  const both = [refresh(), refresh()];
  for (const call of both) await expect(call).rejects.toThrow('gone');
  fails = false;
  await refresh();
});
