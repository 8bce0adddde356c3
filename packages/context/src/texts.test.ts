import type { CaudalError } from '@caudal/kernel/errors.ts';
import { expect, test } from '@jest/globals';
import { pageLimit } from './page-limit.ts';
import { checkTexts } from './texts.ts';

const fieldsOf = (texts: Record<string, string>) => {
  try {
    checkTexts('policy', texts);
    return [];
  } catch (error) {
    return (error as CaudalError).violations.map(({ field }) => field);
  }
};

test('keys and values of a map of texts are bounded', () => {
  expect(fieldsOf({ ['k'.repeat(64)]: 'v'.repeat(200), tier: '' })).toEqual([]);
  expect(fieldsOf({ ['k'.repeat(65)]: '', tier: 'v'.repeat(201) })).toEqual(['policy', 'policy.tier']);
});

test('a page has the requested size, 20 if none is requested, and 100 at most', () => {
  expect([0, 1, 100, 101, 2_000_000_000].map(pageLimit)).toEqual([20, 1, 100, 100, 100]);
});
