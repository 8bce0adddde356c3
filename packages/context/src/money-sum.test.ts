import { expect, test } from '@jest/globals';
import { moneySum } from './money-sum.ts';

test('a sum becomes Money if it fits into an int64', () => {
  for (const minorUnits of [0n, 2n ** 63n - 1n, -(2n ** 63n)])
    expect(moneySum(minorUnits, 'GBP')).toEqual({ minorUnits, currency: 'GBP' });
  for (const sum of [2n ** 63n, -(2n ** 63n) - 1n])
    expect(() => moneySum(sum, 'GBP')).toThrow(
      expect.objectContaining({
        code: 'OUT_OF_RANGE',
        reason: 'SUM_TOO_LARGE',
        metadata: { currency: 'GBP', sum: String(sum) },
      }),
    );
});
