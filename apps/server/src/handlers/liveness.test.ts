import { systemClock } from '@caudal/kernel/time.ts';
import { expect, test } from '@jest/globals';
import { watchFeed, watchLoop } from './liveness.ts';

const deliver = async () => {};
const untold = new AbortController().signal;

test('a feed is healthy until it ends by itself', async () => {
  const ended = watchFeed({ run: async () => {} });
  expect(ended.problem()).toBeUndefined();
  await ended.watched.run(deliver, untold);
  expect(ended.problem()).toBe('it has ended');

  const failed = watchFeed({ run: () => Promise.reject(new Error('boom')) });
  await expect(failed.watched.run(deliver, untold)).rejects.toThrow('boom');
  expect(failed.problem()).toBe('it has ended: boom');

  const told = watchFeed({ run: async () => {} });
  await told.watched.run(deliver, AbortSignal.abort());
  expect(told.problem()).toBeUndefined();
});

test('a loop is healthy while it reads its clock', async () => {
  const { watched, problem } = watchLoop(systemClock, 200);
  expect(problem()).toBeUndefined();
  while (!problem()) await new Promise((resolve) => setTimeout(resolve, 20));
  expect(watched().getTime()).toBeGreaterThan(0);
  expect(problem()).toBeUndefined();
});
