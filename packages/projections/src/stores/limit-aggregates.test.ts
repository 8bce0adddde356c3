import { expect, test } from '@jest/globals';
import { limitAggregates } from './limit-aggregates.ts';
import type { Collection, ViewStore } from './store.ts';

const tooMany = { code: 'RESOURCE_EXHAUSTED', reason: 'TOO_MANY_AGGREGATES', retryAfterMs: 1_000 };

/** A collection with limits, whose counts end when the test ends them. */
function limited(limits: Parameters<typeof limitAggregates>[1]) {
  const open: PromiseWithResolvers<number>[] = [];
  const count = () => {
    open.push(Promise.withResolvers());
    return open.at(-1)!.promise;
  };
  const collection = { count, load: async () => [] } as unknown as Collection;
  const store = { name: 'the store', collection: () => collection } as unknown as ViewStore;
  return { open, views: limitAggregates(store, limits).collection('views', { keys: {}, indexes: [] }) };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

test('only so many run at once; the others follow in order, even if those before them fail', async () => {
  const { open, views } = limited({ running: 2, waiting: 2 });
  const calls = Array.from({ length: 4 }, () => views.count([]));
  await expect(views.count([])).rejects.toMatchObject(tooMany);
  // Reads of views do not wait for them.
  expect(await views.load(['a'])).toEqual([]);
  expect(open).toHaveLength(2);
  open[1]!.reject(new Error('lost'));
  await expect(calls[1]).rejects.toThrow('lost');
  await settled();
  expect(open).toHaveLength(3);
  for (const place of [0, 2]) open[place]!.resolve(place);
  await settled();
  open[3]!.resolve(3);
  expect(await Promise.all([calls[0], calls[2], calls[3]])).toEqual([0, 2, 3]);
  // All places are free again.
  const again = [views.count([]), views.count([])];
  expect(open).toHaveLength(6);
  for (const { resolve } of open.slice(4)) resolve(9);
  expect(await Promise.all(again)).toEqual([9, 9]);
});

test('a call that waits too long is refused, and takes no place', async () => {
  const { open, views } = limited({ running: 1, waiting: 5, waitMs: 20 });
  const first = views.count([]);
  await expect(views.count([])).rejects.toMatchObject(tooMany);
  open[0]!.resolve(1);
  expect(await first).toBe(1);
  const next = views.count([]);
  expect(open).toHaveLength(2);
  open[1]!.resolve(2);
  expect(await next).toBe(2);
});
