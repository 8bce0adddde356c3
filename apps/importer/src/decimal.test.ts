import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { formatDecimal, fromMinorUnits, parseDecimal, toMinorUnits } from './decimal.ts';

describe('parseDecimal', () => {
  test.each([
    ['2.55', 2_550_000n],
    ['0', 0n],
    ['-11062.06', -11_062_060_000n],
    ['0.001', 1_000n],
    [' 1.10 ', 1_100_000n],
    ['0.0000010', 1n],
    ['9007199254740993.01', 9_007_199_254_740_993_010_000n],
  ])('%s', (text, millionths) => {
    expect(parseDecimal(text)).toBe(millionths);
  });

  test.each(['', 'x', '1,5', '1e3', '.5', '+1', '--1', '1.2.3', '0.0000001', 'NaN'])(
    '"%s" is not a decimal number',
    (text) => {
      expect(parseDecimal(text)).toBeUndefined();
    },
  );

  test('reads decimal numbers', () => {
    fc.assert(fc.property(fc.bigInt(), (value) => expect(parseDecimal(formatDecimal(value))).toBe(value)));
  });
});

test('minor units are whole numbers, else undefined', () => {
  expect(toMinorUnits(2_550_000n)).toBe(255n);
  expect(toMinorUnits(-10_000n)).toBe(-1n);
  expect(toMinorUnits(1_000n)).toBeUndefined();
  expect(fromMinorUnits(255n)).toBe(2_550_000n);
});

test('formats at least two digits after the point', () => {
  expect(formatDecimal(373_086_011_000n)).toBe('373086.011');
  expect(formatDecimal(0n)).toBe('0.00');
  expect(formatDecimal(-2_500_000n)).toBe('-2.50');
  expect(formatDecimal(1n)).toBe('0.000001');
});
