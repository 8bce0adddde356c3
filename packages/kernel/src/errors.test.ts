import { expect, test } from '@jest/globals';
import { CaudalError, isTransient, notFound, unavailable } from './errors.ts';

test('what waiting may mend is transient; a request that is too long is as long the next time', () => {
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
