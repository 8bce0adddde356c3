import { expect, test } from '@jest/globals';
import { CaudalError, isTransient, notFound, unavailable } from './errors.ts';

test('errors that a repeat may cure are transient; that of a request that is too large is not', () => {
  const exhausted = (reason: string) => new CaudalError('RESOURCE_EXHAUSTED', reason, 'Too much.');
  const errors = [
    unavailable('PostgreSQL'),
    exhausted('SERVER_BUSY'),
    exhausted('REQUEST_TOO_LARGE'),
    notFound('order', '1'),
  ];
  expect(errors.map(isTransient)).toEqual([true, true, false, false]);
  expect(isTransient(new Error('bug'))).toBe(false);
});
