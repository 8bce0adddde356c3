/** Shares by what a process sees of the others: those that come, freeze, die, can't, or know another number of parts. */
import { afterEach, expect, jest, test } from '@jest/globals';
import type { Member, Members } from './members.ts';
import { openPartShares } from './part-shares.ts';

const handler = 'list.v1';

/** What `me` sees is what the test says. */
function given(parts = 8) {
  const runs = new Set<string>();
  const listeners = new Set<() => void>();
  let others: Member[] = [];
  const members: Members = {
    process: 'me',
    join(work) {
      runs.add(work);
      return () => void runs.delete(work);
    },
    all: () => [...others, { process: 'me', runs: [...runs], ageMs: 0 }],
    onSeen(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    stop: async () => {},
  };
  const shares = openPartShares({ members, handler, parts });
  const see = (...now: (Partial<Member> & { process: string })[]) => {
    others = now.map((one) => ({ runs: [`${handler}/${parts}`], ageMs: 0, ...one }));
    for (const listener of listeners) listener();
  };
  const firsts = () => Array.from({ length: parts }, (_, part) => part).filter((part) => shares.role(part) === 'first');
  return { shares, see, firsts, runs };
}

afterEach(() => {
  jest.useRealTimers();
});

test('a process alone has all parts, and half of them when another one comes', () => {
  const { shares, see, firsts } = given();
  expect(shares.held()).toBe(8);
  see({ process: 'other' });
  expect(firsts()).toHaveLength(4);
  for (let part = 0; part < 8; part++) expect(shares.role(part)).toBeDefined();
  see();
  expect(shares.held()).toBe(8);
});

test('the parts of a frozen process are orphaned until it is back, or for 30 s; those of one that has left are not', () => {
  jest.useFakeTimers();
  const { shares, see, firsts } = given();
  see({ process: 'other' });
  const mine = firsts();
  see({ process: 'other', ageMs: 3_500 });
  const orphaned = shares.orphaned();
  expect([...orphaned, ...mine].sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  expect(orphaned.every((part) => !shares.isFirstThere(part))).toBe(true);
  see({ process: 'other' });
  expect(shares.orphaned()).toEqual([]);
  see({ process: 'other', ageMs: 4_000 });
  // After 5 s its row is not seen any more, but the broker still holds its parts for it.
  see();
  expect(shares.orphaned().sort()).toEqual(orphaned.sort());
  jest.advanceTimersByTime(31_000);
  see();
  expect(shares.orphaned()).toEqual([]);
  see({ process: 'other' });
  see();
  expect(shares.orphaned()).toEqual([]);
});

test('if most processes are stale at once, none counts as frozen', () => {
  const { shares, see } = given();
  const stale = ['a', 'b', 'c'].map((process) => ({ process, ageMs: 4_000 }));
  see(...stale);
  expect(shares.orphaned()).toEqual([]);
});

test('a process that can not do its share gets none, unless none can', () => {
  const { shares, see, runs } = given();
  see({ process: 'other' });
  shares.setAble(false);
  expect([...runs]).toEqual([`${handler}/8!`]);
  see({ process: 'other' });
  expect(shares.held()).toBe(0);
  see({ process: 'other', runs: [`${handler}/8!`] });
  expect(shares.held()).toBe(4);
  shares.setAble(true);
  see({ process: 'other', runs: [`${handler}/8!`] });
  expect(shares.held()).toBe(8);
});

test('a process with another number of parts has no share, but is noticed until it is gone for 10 s', () => {
  jest.useFakeTimers();
  const { shares, see } = given();
  jest.advanceTimersByTime(11_000);
  see();
  expect(shares.isMixed()).toBe(false);
  see({ process: 'old', runs: [`${handler}/4`] });
  expect(shares.held()).toBe(8);
  expect(shares.isMixed()).toBe(true);
  see();
  expect(shares.isMixed()).toBe(true);
  jest.advanceTimersByTime(11_000);
  expect(shares.isMixed()).toBe(false);
});
