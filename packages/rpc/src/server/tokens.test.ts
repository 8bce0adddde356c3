import { afterEach, expect, jest, test } from '@jest/globals';
import { renewing } from './tokens.ts';

afterEach(() => {
  jest.useRealTimers();
});

/** A source of tokens for 100 s, and what it says after the clock was set to these seconds, one after the other. */
async function tokensAt(...seconds: number[]): Promise<string[]> {
  jest.useFakeTimers({ doNotFake: ['nextTick', 'queueMicrotask', 'setImmediate'] });
  let count = 0;
  const source = renewing(async () => `token-${++count}`, 100);
  const tokens: string[] = [];
  for (const at of seconds) {
    jest.setSystemTime(at * 1_000);
    tokens.push(await source());
  }
  return tokens;
}

test('a token is used until a fifth of its time is left', async () => {
  expect(await tokensAt(1_000, 1_001, 1_079, 1_080)).toEqual(['token-1', 'token-1', 'token-1', 'token-2']);
});

test('a token is not used once the clock was set back to before it was signed', async () => {
  expect(await tokensAt(1_000, 999, 1_000, 1_078, 1_079)).toEqual([
    'token-1',
    'token-2',
    'token-2',
    'token-2',
    'token-3',
  ]);
});
