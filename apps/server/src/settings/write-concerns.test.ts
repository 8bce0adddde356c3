import { expect, test } from '@jest/globals';
import { parseActiveShards, parseWriteConcern } from './write-concerns.ts';

test('a write concern is the majority, a number of members, or a name; never "do not tell"', () => {
  expect(['majority', '1', '50', 'MultiRegion'].map(parseWriteConcern)).toEqual(['majority', 1, 50, 'MultiRegion']);
  for (const wrong of ['0', '51', '-1', '', 'two members', '1.5'])
    expect(() => parseWriteConcern(wrong)).toThrow(`"${wrong}" is no write concern`);
});

test('active shards are all, or a number of copies', () => {
  expect(['all', '1', '20'].map(parseActiveShards)).toEqual(['all', 1, 20]);
  for (const wrong of ['0', '21', 'some', '']) expect(() => parseActiveShards(wrong)).toThrow('is no number of copies');
});
