import { expect, test } from '@jest/globals';
import type { Collection, ViewStore } from '../stores/store.ts';
import { memoryStore } from '../testing/memory-store.ts';
import { changeGenerations, readGenerations } from './generations.ts';

/** The memory store, with the ids of each read. */
function watchedStore() {
  const store = memoryStore();
  const reads: string[][] = [];
  const watched: ViewStore = {
    ...store,
    collection(name, layout) {
      const collection: Collection = store.collection(name, layout);
      const load: Collection['load'] = (ids) => {
        reads.push(ids);
        return collection.load(ids);
      };
      return { ...collection, load };
    },
  };
  return { store: watched, reads };
}

test('records that are read in one turn of the event loop are one call to the store', async () => {
  const { store, reads } = watchedStore();
  const names = ['orders', 'sales', 'nothing'];
  for (const name of names.slice(0, 2))
    await changeGenerations({ name, version: 1 }, store, (record) => ({ ...record, last: name.length }));
  reads.splice(0);
  const found = await Promise.all(names.map((name) => readGenerations({ name, version: 1 }, store)));
  expect(found).toEqual([{ last: 6, generations: [] }, { last: 5, generations: [] }, undefined]);
  expect(reads).toEqual([['orders.v1', 'sales.v1', 'nothing.v1']]);
  await readGenerations({ name: 'sales', version: 1 }, store);
  expect(reads).toHaveLength(2);
});
