import { describe, expect, test } from '@jest/globals';
import { figureOf, isMet, median, number, percentile, ratioOf } from './figures.ts';

describe('figures', () => {
  test('the median, and percentiles by nearest rank', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
    const sorted = Array.from({ length: 100 }, (_, n) => n + 1);
    expect([0, 0.5, 0.99, 1].map((share) => percentile(sorted, share))).toEqual([1, 50, 99, 100]);
    expect(percentile([], 0.5)).toBeNaN();
  });

  test('a figure is the median of its rounds, with their spread', () => {
    const name = { bench: 'b', metric: 'm', unit: '/s' };
    expect(figureOf(name, [10, 30, 20])).toEqual({ ...name, value: 20, spread: [10, 30] });
    expect(figureOf(name, [10])).toEqual({ ...name, value: 10 });
    for (const rounds of [[], [1, Number.NaN], [Number.POSITIVE_INFINITY]])
      expect(() => figureOf(name, rounds)).toThrow('without a value');
  });

  test('ratios are taken within each round', () => {
    // The ratio of the medians would be 1. In the second round the machine was slow for both.
    expect(ratioOf({ bench: 'b', metric: 'm' }, [20, 10, 30], [10, 5, 10])).toMatchObject({ value: 2, spread: [2, 3] });
  });

  test('goals', () => {
    const figure = (value: number, goal?: Parameters<typeof isMet>[0]['goal']) =>
      isMet({ bench: 'b', metric: 'm', unit: 'x', value, goal });
    expect(figure(1)).toBeUndefined();
    expect([0.9, 1, 1.1].map((value) => figure(value, { kind: 'atLeast', value: 1 }))).toEqual([false, true, true]);
    expect([0.9, 1, 1.1].map((value) => figure(value, { kind: 'atMost', value: 1 }))).toEqual([true, true, false]);
  });

  test('numbers are shown with three significant digits', () => {
    expect([0, 0.4123, 8.414, 84.14, 841.4, 16_934, 0.00123].map(number)).toEqual([
      '0',
      '0.412',
      '8.41',
      '84.1',
      '841',
      '16,900',
      '0.001',
    ]);
  });
});
