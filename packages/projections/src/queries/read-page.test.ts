/** Pages that are read in steps. */
import { pageBytes } from '@caudal/kernel/page-bytes.ts';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { StoredDocument } from '../stores/store.ts';
import { readPage } from './read-page.ts';

const idOf = (number: number) => String(number).padStart(5, '0');

/** A store of documents of these sizes, which notes how many it was asked for. */
function storeOf(sizes: number[]) {
  const all: StoredDocument[] = sizes.map((size, number) => ({
    ...{ id: idOf(number), revision: 1, streams: {} },
    view: 'x'.repeat(size),
  }));
  const asked: number[] = [];
  const read = (limit: number, after?: string) =>
    readPage({
      limit,
      after: after === undefined ? undefined : { keys: [], id: after },
      async find(behind, count) {
        asked.push(count);
        return all.filter(({ id }) => id > (behind?.id ?? '')).slice(0, count);
      },
      placeOf: ({ id }) => ({ keys: [], id }),
    });
  return { all, asked, read };
}

test('every document is on one page, in order; a page ends where it has its number or its bytes', async () => {
  const sizes = fc.array(fc.oneof(fc.nat(2_000), fc.nat(pageBytes * 2)), { maxLength: 60 });
  await fc.assert(
    fc.asyncProperty(sizes, fc.integer({ min: 1, max: 40 }), async (given, limit) => {
      const { all, asked, read } = storeOf(given);
      const seen: string[] = [];
      for (let more = true, after: string | undefined; more; after = seen.at(-1)) {
        const page = await read(limit, after);
        const bytes = page.documents.map(({ view }) => (view as string).length + 2);
        expect(page.documents.length).toBeLessThanOrEqual(limit);
        expect(bytes.slice(0, -1).reduce((sum, one) => sum + one, 0)).toBeLessThan(pageBytes);
        const isFull = page.documents.length === limit || bytes.reduce((sum, one) => sum + one, 0) >= pageBytes;
        expect(page.more && !isFull).toBe(false);
        seen.push(...page.documents.map(({ id }) => id));
        more = page.more;
      }
      expect(seen).toEqual(all.map(({ id }) => id));
      expect(Math.max(...asked)).toBeLessThanOrEqual(34);
    }),
    { numRuns: 200 },
  );
});

test('a page of the usual size is read at once, the largest one in three steps', async () => {
  const small = storeOf(Array(200).fill(400));
  expect((await small.read(20)).documents).toHaveLength(20);
  expect(small.asked).toEqual([21]);
  const largest = storeOf(Array(200).fill(400));
  const page = await largest.read(100);
  expect([page.more, page.documents.length]).toEqual([true, 100]);
  expect(largest.asked).toEqual([34, 34, 33]);
});

test('where documents are large, later steps are short', async () => {
  const { asked, read } = storeOf(Array(200).fill(15_000));
  expect((await read(100)).documents).toHaveLength(35);
  expect(asked).toEqual([34, 2]);
});
