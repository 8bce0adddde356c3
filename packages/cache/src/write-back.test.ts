import { until } from '@caudal/testing/until.ts';
import { afterEach, expect, test } from '@jest/globals';
import { openWriteBack, type WriteBack, type WriteBackOptions } from './write-back.ts';

const opened: WriteBack<number>[] = [];
afterEach(async () => {
  for (const each of opened.splice(0)) await each.stop();
});

function open(options: Partial<WriteBackOptions<number>> = {}) {
  const store = new Map<string, number>();
  const state = { flushes: 0, sizes: [] as number[], error: undefined as unknown };
  const back = openWriteBack<number>({
    ...{ name: 'test', everyMs: 3_600_000, stopMs: 500 },
    merge: (first, second) => first + second,
    async flush(changes) {
      state.flushes += 1;
      state.sizes.push(changes.size);
      if (state.error) throw state.error;
      for (const [key, change] of changes) store.set(key, (store.get(key) ?? 0) + change);
    },
    ...options,
  });
  opened.push(back);
  return { back, store, state };
}

test('changes of a key are one write, by time', async () => {
  const { back, store, state } = open({ everyMs: 50 });
  for (let i = 0; i < 100; i++) back.add('a', 1);
  back.add('b', 5);
  expect([back.pending('a'), back.pending('b'), back.pending('c'), store.size]).toEqual([100, 5, undefined, 0]);
  await until(() => store.size === 2);
  expect([...store]).toEqual([
    ['a', 100],
    ['b', 5],
  ]);
  expect([state.flushes, back.pending('a')]).toEqual([1, undefined]);
});

test('by size, in parts', async () => {
  const { back, store, state } = open({ maxKeys: 100, atOnce: 20 });
  for (let i = 0; i < 50; i++) back.add(`k${i}`, 1);
  await until(() => store.size === 50);
  expect(state.sizes).toEqual([20, 20, 10]);
});

test('when the process ends', async () => {
  const { back, store } = open();
  back.add('a', 3);
  await back.stop();
  expect(store.get('a')).toBe(3);
});

test('while the store fails they are kept, up to the bound', async () => {
  const { back, store, state } = open({ maxKeys: 10, everyMs: 20 });
  state.error = new Error('away');
  for (let i = 0; i < 30; i++) back.add(`k${i}`, 1);
  await until(() => state.flushes >= 3);
  back.add('k0', 1);
  expect(back.pending('k0')).toBe(2);
  expect(back.pending('k29')).toBeUndefined();
  state.error = undefined;
  await until(() => store.size === 10);
  expect(store.get('k0')).toBe(2);
});

test('a store that hangs does not hold up the end', async () => {
  const { back } = open({ flush: () => new Promise(() => {}) });
  back.add('a', 1);
  const begun = performance.now();
  await back.stop();
  expect(performance.now() - begun).toBeLessThan(5_000);
});
