import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { openPool } from './pool.ts';

describe('a pool', () => {
  test.each([
    [512, 7, 448],
    [1_000, 1, 500],
    [8, 1, 4],
    [2, 7, 2],
    [1, 1, 1],
  ])('of %i with alpha %i gives one caller alone %i', (all, alpha, most) => {
    const pool = openPool(all, alpha);
    let taken = 0;
    while (pool.take('greedy')) taken++;
    expect(taken).toBe(most);
  });

  test('leaves something for a further caller, whatever greedy ones do', () => {
    const wants = fc.array(fc.nat({ max: 7 }), { maxLength: 2_000 });
    fc.assert(
      fc.property(wants, fc.integer({ min: 1, max: 8 }), fc.constantFrom(1, 4, 7), (order, greedy, alpha) => {
        const pool = openPool(300, alpha);
        for (const caller of order) pool.take(`greedy-${caller % greedy}`);
        for (let caller = 0; caller < greedy; caller++) while (pool.take(`greedy-${caller}`));
        expect(pool.take('modest')).toBeDefined();
      }),
      { numRuns: 200 },
    );
  });

  test('lets a greedy caller shrink to what the others leave', () => {
    const pool = openPool(300, 1);
    const given: (() => void)[] = [];
    for (let give = pool.take('hog'); give; give = pool.take('hog')) given.push(give);
    let others = 0;
    for (let n = 0; n < 200; n++) {
      if (pool.take(`other ${n % 10}`)) others++;
      given.pop()?.();
      const again = pool.take('hog');
      if (again) given.push(again);
    }
    expect(others).toBeGreaterThan(150);
    expect(given.length).toBeLessThan(100);
  });

  test('takes back each one once', () => {
    const pool = openPool(4, 7);
    const give = pool.take('a')!;
    pool.take('b');
    give();
    give();
    expect(pool.used()).toBe(1);
  });

  test('gives more to callers of more weight', () => {
    const pool = openPool(100, 1);
    let taken = 0;
    while (pool.take('shop', 4)) taken++;
    expect(taken).toBe(80);
  });
});
