import { expect, test } from '@jest/globals';
import type { Members } from './members.ts';
import { openRelayShares } from './relay-shares.ts';

const domains = ['catalog', 'customers', 'inventory', 'notifications', 'orders', 'payments', 'shipping'];

/** Processes that see each other at once. */
function givenProcesses(logsOf: Record<string, string[]>) {
  const runs = new Map<string, Set<string>>(); // `process domain` -> work
  const listeners = new Set<() => void>();
  const see = () => {
    for (const listener of listeners) listener();
  };
  const membersOf = (process: string, domain: string): Members => ({
    process,
    join(work) {
      const key = `${process} ${domain}`;
      runs.set(key, (runs.get(key) ?? new Set()).add(work));
      return () => void runs.get(key)!.delete(work);
    },
    all: () =>
      Object.keys(logsOf).map((other) => ({
        process: other,
        runs: [...(runs.get(`${other} ${domain}`) ?? [])],
        ageMs: 0,
      })),
    onSeen(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    stop: async () => {},
  });
  const shares = Object.entries(logsOf).map(([process, logs]) => ({
    logs,
    of: openRelayShares(new Map(logs.map((domain) => [domain, membersOf(process, domain)]))),
  }));
  see();
  const mine = () => shares.map(({ logs, of }) => logs.filter((domain) => of.turnAt(domain).isMine()));
  return { shares, mine, see };
}

test('seven logs over two processes are four and three, each at one of them', () => {
  const { mine, shares } = givenProcesses({ a: domains, b: domains });
  const [a, b] = mine();
  expect([a!.length, b!.length].sort()).toEqual([3, 4]);
  expect([...a!, ...b!].sort()).toEqual(domains);
  for (const { of } of shares) of.stop();
});

test('processes with different logs agree', () => {
  const { mine, shares } = givenProcesses({ a: domains, b: domains, c: ['orders'] });
  expect(mine().flat().sort()).toEqual(domains);
  for (const { of } of shares) of.stop();
});

test("a process that has failed at a log comes after others, and if all have, it is everybody's", () => {
  const { mine, shares, see } = givenProcesses({ a: ['orders'], b: ['orders'] });
  const [first, second] = mine()[0]!.length === 1 ? shares : shares.toReversed();
  first!.of.turnAt('orders').failed();
  see();
  expect(first!.of.turnAt('orders').isMine()).toBe(false);
  expect(second!.of.turnAt('orders').isMine()).toBe(true);
  second!.of.turnAt('orders').failed();
  see();
  expect(shares.map(({ of }) => of.turnAt('orders').isMine())).toEqual([undefined, undefined]);
  for (const { of } of shares) of.stop();
});
