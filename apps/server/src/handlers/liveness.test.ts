import { expect, test } from '@jest/globals';
import { watchFeed, watchRounds } from './liveness.ts';

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

test('loops are healthy while each of them makes rounds', async () => {
  const { onRound, problem } = watchRounds(['poll', 'one'], 200);
  expect(problem()).toBeUndefined();
  // Rounds of one loop say nothing about the other.
  do {
    await new Promise((resolve) => setTimeout(resolve, 20));
    // Right before the look: on a loaded machine the pause may be longer than the bound.
    onRound('poll');
  } while (!problem());
  expect(problem()).toMatch(/^one has made no round/);
  onRound('one');
  expect(problem()).toBeUndefined();
});
