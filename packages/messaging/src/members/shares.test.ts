import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { shareOut } from './shares.ts';

const piecesOf = (count: number) => Array.from({ length: count }, (_, part) => `order-list.v1.p${part}`);
const processes = fc.uniqueArray(fc.uuid(), { minLength: 1, maxLength: 12 });
const parts = fc.integer({ min: 1, max: 16 });

test('every piece has one first, no process has more than one piece more than another, and order does not matter', () => {
  fc.assert(
    fc.property(parts, processes, (count, names) => {
      const shares = shareOut(piecesOf(count), names);
      expect([...shares.keys()].sort()).toEqual(piecesOf(count).sort());
      const held = names.map((name) => [...shares.values()].filter(({ first }) => first === name).length);
      expect(held.reduce((sum, each) => sum + each, 0)).toBe(count);
      expect(Math.max(...held) - Math.min(...held)).toBeLessThanOrEqual(1);
      expect(shareOut(piecesOf(count).reverse(), names.toReversed())).toEqual(shares);
    }),
  );
});

test('the second of a piece is its first when the first goes', () => {
  fc.assert(
    fc.property(parts, processes, fc.nat(), (count, names, which) => {
      const gone = names[which % names.length]!;
      const before = shareOut(piecesOf(count), names);
      const after = shareOut(
        piecesOf(count),
        names.filter((name) => name !== gone),
      );
      for (const [piece, { first, second }] of before) {
        expect(second).not.toBe(first);
        if (first === gone) expect(after.get(piece)?.first).toBe(second);
      }
    }),
  );
});

test('when a process joins, few pieces move between those that were there', () => {
  let moved = 0;
  let all = 0;
  for (let round = 0; round < 200; round++) {
    const names = Array.from({ length: 1 + (round % 7) }, (_, n) => `process-${round}-${n}`);
    const before = shareOut(piecesOf(8), names);
    const after = shareOut(piecesOf(8), [...names, `process-${round}-new`]);
    for (const [piece, { first }] of after) {
      all += 1;
      if (first !== before.get(piece)!.first && first !== `process-${round}-new`) moved += 1;
    }
  }
  // With quotas and no memory some move; by remainders alone (part mod processes) it is most of them.
  expect(moved / all).toBeLessThan(0.2);
});

test('without a process there are no shares, and one alone has no second', () => {
  expect(shareOut(piecesOf(2), []).size).toBe(0);
  expect([...shareOut(piecesOf(2), ['one']).values()]).toEqual([
    { first: 'one', second: undefined },
    { first: 'one', second: undefined },
  ]);
});
