import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { mayTake, next, type Share } from './shares.ts';

type Tested = Share<{ since: number }> & { name: string };
const share = (name: string, used: number, ...since: number[]): Tested => ({
  name,
  used,
  waiting: since.map((each) => ({ since: each })),
});
const nextOf = (shares: Tested[], size: number, prefers: (share: Tested) => boolean = () => false) =>
  next(new Set(shares), size, prefers)?.name;

describe('shares of a pool', () => {
  test('one that is alone may have all', () => {
    const alone = share('a', 3);
    expect(mayTake(alone, [alone], 4)).toBe(true);
    alone.used = 4;
    expect(mayTake(alone, [alone], 4)).toBe(false);
  });

  test('one connection is left for each share without one, half of the pool at most', () => {
    const may = (used: number, others: number, size: number) => {
      const busy = share('busy', used);
      return mayTake(busy, [busy, ...Array.from({ length: others }, (_, i) => share(`${i}`, 0))], size);
    };
    expect([may(5, 2, 8), may(6, 2, 8)]).toEqual([true, false]);
    expect([may(3, 6, 8), may(4, 6, 8)]).toEqual([true, false]);
    expect([may(1, 6, 2), may(0, 6, 2)]).toEqual([false, true]);
  });

  test('the share with the fewest connections is next, then the one whose waiter has waited longest', () => {
    expect(nextOf([share('a', 3, 1, 2, 3), share('b', 1, 9)], 8)).toBe('b');
    expect(nextOf([share('a', 1, 5), share('b', 1, 4)], 8)).toBe('b');
    expect(nextOf([share('a', 4), share('b', 4)], 8)).toBeUndefined();
  });

  test('among equals, the one to which the free connection already belongs', () => {
    expect(nextOf([share('a', 1, 5), share('b', 1, 4)], 8, ({ name }) => name === 'a')).toBe('a');
    expect(nextOf([share('a', 2, 5), share('b', 1, 4)], 8, ({ name }) => name === 'a')).toBe('b');
  });

  test('whatever is taken and released: never more than the size, no share waits without a cause, none starves', () => {
    const step = fc.tuple(fc.constantFrom('ask', 'end'), fc.nat({ max: 5 }));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.array(step, { maxLength: 80 }), (size, steps) => {
        const shares = Array.from({ length: 6 }, (_, index) => share(`${index}`, 0));
        const used = () => shares.reduce((sum, each) => sum + each.used, 0);
        const serve = () => {
          for (
            let each = next(new Set(shares), size, () => false);
            each;
            each = next(new Set(shares), size, () => false)
          ) {
            each.waiting.shift();
            each.used++;
          }
        };
        steps.forEach(([what, index], since) => {
          const each = shares[index]!;
          if (what === 'ask') each.waiting.push({ since });
          else if (each.used > 0) each.used--;
          serve();
          expect(used()).toBeLessThanOrEqual(size);
          // One without a connection waits only while all are in use.
          for (const { used: own, waiting } of shares) if (own === 0 && waiting.length > 0) expect(used()).toBe(size);
        });
        // When all work ends, nobody waits any more.
        for (let round = 0; round < 200 && used() > 0; round++) {
          for (const each of shares) each.used = 0;
          serve();
        }
        expect(shares.map(({ waiting }) => waiting.length)).toEqual([0, 0, 0, 0, 0, 0]);
      }),
      { numRuns: 300 },
    );
  });
});
