import { describe, expect, test } from '@jest/globals';
import { closedLoop, takeTurns } from './load.ts';

describe('load', () => {
  test('a closed loop has as many operations in flight as clients, and counts those that ended in time', async () => {
    let underWay = 0;
    let most = 0;
    const measured = await closedLoop({
      clients: 5,
      seconds: 0.2,
      async work() {
        most = Math.max(most, ++underWay);
        await new Promise((resolve) => setTimeout(resolve, 5));
        underWay--;
      },
    });
    expect(most).toBe(5);
    expect(underWay).toBe(0);
    expect(measured.operations).toBeGreaterThan(0);
    expect(measured.rate).toBe(measured.operations / 0.2);
    expect(measured.p50).toBeLessThanOrEqual(measured.p99);
    expect(measured.p99).toBeLessThanOrEqual(measured.max);
  });

  test('a failed operation ends it', async () => {
    const work = () => Promise.reject(new Error('no'));
    await expect(closedLoop({ clients: 2, seconds: 5, work })).rejects.toThrow('no');
  });

  test('contenders alternate, each round begins with another one, and the first round does not count', async () => {
    const order: string[] = [];
    const contender = (name: string) => async () => {
      order.push(name);
      return order.length;
    };
    const results = await takeTurns({ a: contender('a'), b: contender('b') }, { rounds: 2, say() {} });
    expect(order).toEqual(['a', 'b', 'b', 'a', 'a', 'b']);
    expect(results).toEqual({ a: [4, 5], b: [3, 6] });
  });
});
