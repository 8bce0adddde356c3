/** Turns of tabs; in Node, Web Locks are the same. */
import { setTimeout as delay } from 'node:timers/promises';
import { expect, jest, test } from '@jest/globals';
import { inTurn } from './in-turn.ts';

test('one at a time', async () => {
  let running = 0;
  let most = 0;
  const work = async () => {
    running += 1;
    most = Math.max(most, running);
    await delay(5);
    running -= 1;
  };
  await Promise.all(Array.from({ length: 5 }, () => inTurn(`turn ${process.pid} a`, 30_000, work)));
  expect(most).toBe(1);
});

test('one that never ends its turn stops nobody for long', async () => {
  const name = `turn ${process.pid} b`;
  let end = () => {};
  const stopped = inTurn(name, 30_000, () => new Promise<void>((resolve) => (end = resolve)));
  expect(await inTurn(name, 50, async () => 'done')).toBe('done');
  end();
  await stopped;
});

test('without Web Locks the work begins as well, but not before the call has returned', async () => {
  const without = jest.replaceProperty(globalThis, 'navigator', {} as Navigator);
  try {
    let hasBegun = false;
    const turn = inTurn(`turn ${process.pid} d`, 30_000, async () => {
      hasBegun = true;
      return 'done';
    });
    expect(hasBegun).toBe(false);
    expect(await turn).toBe('done');
  } finally {
    without.restore();
  }
});

test('an error of the work is an error of the turn, and the work is not done twice', async () => {
  let times = 0;
  const work = async () => {
    times += 1;
    throw new Error('no');
  };
  await expect(inTurn(`turn ${process.pid} c`, 30_000, work)).rejects.toThrow('no');
  expect(times).toBe(1);
});
