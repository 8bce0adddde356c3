/** Reads by key that share reads while others are under way. */
import { expect, test } from '@jest/globals';
import { gatherReads } from './gathered-reads.ts';

/** A store whose reads end when the test says so. */
function heldStore() {
  const reads: { keys: string[]; end(): void; fail(error: Error): void }[] = [];
  const readMany = (keys: string[]) =>
    new Promise<Map<string, string>>((resolve, reject) => {
      const there = keys.filter((key) => key !== 'missing');
      reads.push({ keys, end: () => resolve(new Map(there.map((key) => [key, `of ${key}`]))), fail: reject });
    });
  return { reads, readMany };
}
const turn = () => new Promise((resolve) => setImmediate(resolve));

test('a read that comes alone begins at once, and gets undefined for what is not there', async () => {
  const { reads, readMany } = heldStore();
  const get = gatherReads({ readMany });
  const [a, missing] = [get('a'), get('missing')];
  expect(reads.map(({ keys }) => keys)).toEqual([['a'], ['missing']]);
  for (const { end } of reads) end();
  expect(await a).toBe('of a');
  expect(await missing).toBeUndefined();
});

test('beyond atOnce keys wait and share the next read, at most so many, each key once', async () => {
  const { reads, readMany } = heldStore();
  const get = gatherReads({ readMany, atOnce: 2, most: 3 });
  const got = ['a', 'b', 'c', 'd', 'd', 'e', 'f', 'g'].map(get);
  expect(reads.map(({ keys }) => keys)).toEqual([['a'], ['b']]);
  reads[0]!.end();
  await turn();
  expect(reads.map(({ keys }) => keys)).toEqual([['a'], ['b'], ['c', 'd', 'e']]);
  reads[1]!.end();
  await turn();
  expect(reads.at(-1)!.keys).toEqual(['f', 'g']);
  for (const { end } of reads) end();
  expect(await Promise.all(got)).toEqual(['a', 'b', 'c', 'd', 'd', 'e', 'f', 'g'].map((key) => `of ${key}`));
});

test('a key that is asked for while it is being read is read again, since it may have changed', async () => {
  const { reads, readMany } = heldStore();
  const get = gatherReads({ readMany, atOnce: 1 });
  const [first, second] = [get('a'), get('a')];
  reads[0]!.end();
  expect(await first).toBe('of a');
  await turn();
  expect(reads).toHaveLength(2);
  reads[1]!.end();
  expect(await second).toBe('of a');
});

test('a read that fails fails for its keys only, and the next ones are read', async () => {
  const { reads, readMany } = heldStore();
  const get = gatherReads({ readMany, atOnce: 1 });
  const [a, b] = [get('a'), get('b')];
  reads[0]!.fail(new Error('away'));
  await expect(a).rejects.toThrow('away');
  await turn();
  reads[1]!.end();
  expect(await b).toBe('of b');
  const c = get('c');
  await turn();
  reads[2]!.end();
  expect(await c).toBe('of c');
});
