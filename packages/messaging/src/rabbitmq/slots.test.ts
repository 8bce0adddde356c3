import { fnv1a } from '@caudal/kernel/fnv1a.ts';
import { expect, test } from '@jest/globals';
import { matches } from './routing.ts';
import { partsOf, slotCount, slotKeyOf, slotOf, slotsOf } from './slots.ts';
import { partKeys } from './topology.ts';

test('the hash is FNV-1a, for ever: running systems have bindings by it', () => {
  expect([fnv1a(''), fnv1a('a'), fnv1a('foobar')]).toEqual([0x811c9dc5, 0xe40c292c, 0xbf9cf968]);
  expect(['orders.order/1', 'payments.wallet/ada', 'inventory.stock/Größe-42'].map(slotOf)).toEqual([6, 6, 14]);
  expect(slotCount).toBe(16);
});

test('streams with numbers, codes and UUIDs spread over all slots', () => {
  const names = {
    numbers: (n: number) => `orders.order/${n}`,
    codes: (n: number) => `inventory.stock/MUG-${10_000 + n}`,
    tens: (n: number) => `inventory.stock/${n * 10}`,
    uuids: (n: number) => `orders.order/0193${(n * 7919).toString(16).padStart(8, '0')}-7abc-8def-0123456789ab`,
  };
  for (const nameOf of Object.values(names)) {
    const counts = new Array<number>(slotCount).fill(0);
    for (let n = 0; n < 1_600; n++) counts[slotOf(nameOf(n))]! += 1;
    expect(Math.min(...counts)).toBeGreaterThan(60);
    expect(Math.max(...counts)).toBeLessThan(140);
  }
});

test('each slot has one part, and each event is bound to it by the key that it is sent with', () => {
  for (const parts of [1, 2, 4, 8, 16]) {
    const all = Array.from({ length: parts }, (_, part) => slotsOf(part, parts));
    expect(all.flat().sort((a, b) => a - b)).toEqual(Array.from({ length: 16 }, (_, slot) => slot));
    for (const of of all) expect(of).toHaveLength(16 / parts);
    const key = slotKeyOf({ stream: 'orders.order/17' });
    const bound = all.filter((_, part) => partKeys(['orders.order'], part, parts).some((one) => matches(one, key)));
    expect(bound).toHaveLength(1);
    // Bindings of version 0.2, and of other people, take it too.
    expect(matches('orders.order.#', key)).toBe(true);
  }
});

test('a number of parts that would divide slots unevenly is refused, by the name of the handler', () => {
  expect(partsOf({ name: 'list.v1' })).toBe(1);
  for (const parts of [0, 3, 5, 12, 32, 1.5])
    expect(() => partsOf({ name: 'list.v1', parts })).toThrow(/list\.v1: parts is .*: give 1, 2, 4, 8 or 16/);
});
