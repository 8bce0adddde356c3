/** What stores find, page by page, is what a model in memory finds: for any keys, order, conditions and place. */
import { describeWith } from '@caudal/testing/describe-with.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { findIn } from '../testing/memory-find.ts';
import { type TestStore, testStores } from '../testing/stores.ts';
import type { Collection, Layout, TypedCondition, TypedKey, Write } from './store.ts';

const layout: Layout = {
  keys: {
    owner: { type: 'keyword', many: false },
    amount: { type: 'long', many: false },
    at: { type: 'timestamp', many: false },
  },
  indexes: [['owner', 'at'], ['at'], ['amount']],
};

/** Few values, so that many are equal or absent. */
const values = {
  owner: fc.constantFrom(null, 'a', 'B', 'ä', '\u{1f600}', '\uffff'),
  amount: fc.constantFrom(null, -1n, 0n, 2n, 9_223_372_036_854_775_807n),
  at: fc.constantFrom(null, new Date(0), new Date(1), new Date('2026-01-01T00:00:00.123Z')),
};
type Key = keyof typeof values;
const names = Object.keys(values) as Key[];

const documents = fc
  .array(fc.record(values), { minLength: 1, maxLength: 25 })
  .map((all) => all.map((keys, place): Write => document(`${(place * 7) % 25}`, keys)));
const document = (id: string, keys: Write['keys']): Write => ({
  id,
  revision: 1,
  streams: {},
  keys,
  view: { id, keys: textOf(keys) },
});
const textOf = (keys: Write['keys']) =>
  Object.fromEntries(Object.entries(keys).map(([key, value]) => [key, String(value)]));

const condition = fc.constantFrom(...names).chain((key): fc.Arbitrary<TypedCondition> => {
  const value: fc.Arbitrary<TypedKey> = values[key];
  const present = value.filter((one) => one !== null);
  return fc.oneof(
    fc.constant({ key }),
    value.map((equals) => ({ key, equals })),
    fc.array(value, { minLength: 1, maxLength: 2 }).map((some) => ({ key, in: some })),
    present.map((atLeast) => ({ key, atLeast })),
    present.map((atMost) => ({ key, atMost })),
  );
});
const query = fc.record({
  where: fc.array(condition, { maxLength: 2 }),
  orderBy: fc.uniqueArray(fc.record({ key: fc.constantFrom(...names), descending: fc.boolean() }), {
    selector: ({ key }) => key,
    maxLength: 3,
  }),
  pageSize: fc.integer({ min: 1, max: 6 }),
});

for (const name of ['mongodb', 'postgres', 'elasticsearch'] as const) {
  describeWith([name], `pages in ${name}`, () => {
    let place: TestStore;
    let made = 0;
    beforeAll(async () => {
      place = await testStores[name]();
    });
    afterAll(() => place.remove());

    test('are those of the model', async () => {
      await fc.assert(
        fc.asyncProperty(documents, fc.array(query, { minLength: 8, maxLength: 8 }), async (writes, queries) => {
          made += 1;
          const collection = place.store.collection(`pages.v1.${made}`, layout);
          await collection.create();
          await collection.save(writes);
          await collection.refresh();
          for (const each of queries) await compare(collection, writes, each);
          await collection.drop();
        }),
        { numRuns: name === 'elasticsearch' ? 6 : 15 },
      );
    }, 120_000);
  });
}

type Asked = typeof query extends fc.Arbitrary<infer T> ? T : never;

/** All pages, and each page against the model's. */
async function compare(collection: Collection, writes: Write[], { where, orderBy, pageSize }: Asked): Promise<void> {
  const model = writes.map((write) => ({ document: write, keys: write.keys }));
  const keysOf = new Map(writes.map(({ id, keys }) => [id, keys]));
  let after: { keys: TypedKey[]; id: string } | undefined;
  for (let page = 0; page <= writes.length; page++) {
    const find = { where, orderBy, limit: pageSize, ...(after && { after }) };
    const found = (await collection.find(find)).map(({ id }) => id);
    expect({ find, found }).toEqual({ find, found: findIn(model, find).map(({ id }) => id) });
    const last = found.at(-1);
    if (last === undefined) return;
    after = { keys: orderBy.map(({ key }) => keysOf.get(last)![key] as TypedKey), id: last };
  }
}
