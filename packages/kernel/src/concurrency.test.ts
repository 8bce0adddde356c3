import { describe, expect, test } from '@jest/globals';
import { forEachConcurrent, keyedQueue, oneAtATime } from './concurrency.ts';

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('forEachConcurrent', () => {
  test('processes all items, `limit` at a time, also of an iterable that can be read only once', async () => {
    let inFlight = 0;
    let most = 0;
    const done: number[] = [];
    await forEachConcurrent(Array(100).keys(), 8, async (item) => {
      most = Math.max(most, ++inFlight);
      await turn();
      inFlight -= 1;
      done.push(item);
    });
    expect([most, inFlight]).toEqual([8, 0]);
    expect(done.sort((a, b) => a - b)).toEqual([...Array(100).keys()]);
  });

  test('with fewer items than `limit`, or none, begins no further calls', async () => {
    const begun: string[] = [];
    const work = async (item: string) => {
      begun.push(item);
    };
    await forEachConcurrent([], 3, work);
    await forEachConcurrent(['a', 'b'], Number.POSITIVE_INFINITY, work);
    expect(begun).toEqual(['a', 'b']);
  });

  test('a slow item does not delay the others', async () => {
    const slow = Promise.withResolvers<void>();
    const done: number[] = [];
    const all = forEachConcurrent(Array(20).keys(), 2, async (item) => {
      if (item === 0) await slow.promise;
      done.push(item);
      if (done.length === 19) slow.resolve();
    });
    await all;
    expect(done).toHaveLength(20);
    expect(done.at(-1)).toBe(0);
  });

  test('after an error begins no further call, waits for those in flight, and throws the first error', async () => {
    const ended: number[] = [];
    const begun: number[] = [];
    const slow = Promise.withResolvers<void>();
    const work = async (item: number) => {
      begun.push(item);
      if (item === 0) await slow.promise;
      await turn();
      ended.push(item);
      if (item === 5) {
        setTimeout(slow.resolve, 5);
        throw new Error('the first');
      }
      if (item === 0) throw new Error('a later one');
    };
    await expect(forEachConcurrent(Array(100).keys(), 4, work)).rejects.toThrow('the first');
    expect(begun.length).toBeLessThan(10);
    expect(ended.toSorted((a, b) => a - b)).toEqual(begun.toSorted((a, b) => a - b));
    expect(ended.at(-1)).toBe(0);
  });

  test('an error that is thrown synchronously counts as well, and so does undefined', async () => {
    const thrown = () => {
      throw new Error('at once');
    };
    await expect(forEachConcurrent([1, 2], 2, thrown)).rejects.toThrow('at once');
    await expect(forEachConcurrent([1], 2, () => Promise.reject(undefined))).rejects.toBeUndefined();
  });
});

test('a keyed queue runs one at a time per key, in order, also after failures', async () => {
  const inTurn = keyedQueue();
  const seen: string[] = [];
  const work =
    (name: string, fails = false) =>
    async () => {
      seen.push(`${name} begins`);
      await turn();
      seen.push(`${name} ends`);
      if (fails) throw new Error(name);
      return name;
    };
  const a1 = inTurn('a', work('a1', true));
  const all = [inTurn('a', work('a2')), inTurn('b', work('b1'))];
  await expect(a1).rejects.toThrow('a1');
  expect(await Promise.all(all)).toEqual(['a2', 'b1']);
  expect(seen.filter((step) => step.startsWith('a'))).toEqual(['a1 begins', 'a1 ends', 'a2 begins', 'a2 ends']);
  expect(seen.indexOf('b1 begins')).toBeLessThan(seen.indexOf('a1 ends'));
});

test('oneAtATime runs all work in the order of the calls', async () => {
  const exclusively = oneAtATime();
  const seen: number[] = [];
  const work = (number: number) => async () => {
    await turn();
    seen.push(number);
    if (number === 1) throw new Error('no matter');
    return number;
  };
  const [first, ...others] = [1, 2, 3].map((number) => exclusively(work(number)));
  await expect(first).rejects.toThrow('no matter');
  expect(await Promise.all(others)).toEqual([2, 3]);
  expect(seen).toEqual([1, 2, 3]);
});
