import { deserialize, serialize } from 'node:v8';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { deleteEntry, type ExpiringMap, emptyExpiringMap, entriesOf, getEntry, setEntry } from './expiring-map.ts';

const day = (n: number) => new Date(Date.UTC(2026, 0, n));
const valuesOf = <V>(map: ExpiringMap<V>) => new Map([...entriesOf(map)].map(([id, value]) => [id, value]));

describe('an expiring map', () => {
  test('has the entries that a Map would have, and older versions of it do not change', () => {
    const change = fc.record({ id: fc.nat(200).map(String), value: fc.option(fc.nat(), { nil: undefined }) });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 500, size: 'max' }), (changes) => {
        const map = new Map<string, number>();
        let memory: ExpiringMap<number> = emptyExpiringMap();
        let earlier: [ExpiringMap<number>, Map<string, number>] = [memory, new Map()];
        changes.forEach(({ id, value }, index) => {
          if (value === undefined) {
            map.delete(id);
            memory = deleteEntry(memory, id);
          } else {
            map.set(id, value);
            memory = setEntry(memory, id, value, Number.POSITIVE_INFINITY, day(1));
          }
          if (index === Math.floor(changes.length / 2)) earlier = [memory, new Map(map)];
        });
        expect(valuesOf(memory)).toEqual(map);
        expect(memory.size).toBe(map.size);
        expect(valuesOf(earlier[0])).toEqual(earlier[1]);
      }),
    );
  });

  test('drops expired entries, and does not grow for ever', () => {
    let memory: ExpiringMap<string> = emptyExpiringMap();
    for (let n = 1; n <= 5000; n++) memory = setEntry(memory, `id${n}`, 'x', day(n + 30), day(n));
    expect(getEntry(memory, 'id4999', day(5000))).toBe('x');
    expect(getEntry(memory, 'id4960', day(5000))).toBeUndefined();
    expect(memory.size).toBeLessThan(200);
  });

  test('drops expired entries when entries are deleted, if it is told the time', () => {
    let memory: ExpiringMap<string> = emptyExpiringMap();
    for (let n = 1; n <= 1000; n++) memory = setEntry(memory, `id${n}`, 'x', day(n < 1000 ? 2 : 9), day(1));
    expect(deleteEntry(memory, 'unknown').size).toBe(1000);
    for (let n = 0; n < 1000; n++) memory = deleteEntry(memory, `other${n}`, day(3));
    expect([...entriesOf(memory)]).toEqual([['id1000', 'x', day(9).getTime()]]);
    expect(memory.size).toBe(1);
  });

  test('survives a snapshot', () => {
    const memory = setEntry(emptyExpiringMap<bigint>(), 'a', 1n, day(2), day(1));
    expect(getEntry(deserialize(serialize(memory)) as ExpiringMap<bigint>, 'a', day(1))).toBe(1n);
  });
});
