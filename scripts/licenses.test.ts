import { expect, test } from '@jest/globals';
import { locked, read, refused } from './licenses.ts';

test('all packages of the lock file have allowed licences', () => {
  expect(Object.keys(locked()).length).toBeGreaterThan(500);
  expect(refused(locked())).toEqual([]);
});

test('every package that was read is in the lock file still', () => {
  const names = new Set(Object.keys(locked()).map((folder) => folder.split('node_modules/').at(-1)));
  expect(Object.keys(read).filter((name) => !names.has(name))).toEqual([]);
});

test.each([
  ['GPL-3.0-only', ['a 1.0.0: GPL-3.0-only, and it is shipped']],
  ['MIT AND GPL-2.0-only', ['a 1.0.0: MIT AND GPL-2.0-only, and it is shipped']],
  [undefined, ['a 1.0.0: no licence, and it is shipped']],
  ['SEE LICENSE IN LICENSE.txt', ['a 1.0.0: SEE LICENSE IN LICENSE.txt, and it is shipped']],
  ['(MIT OR GPL-3.0-only)', []],
  ['Apache-2.0 AND BSD-3-Clause', []],
])('a package with %s', (license, lines) => {
  expect(refused({ '': {}, 'node_modules/a': { version: '1.0.0', ...(license && { license }) } })).toEqual(lines);
});

test('what was read must not be shipped', () => {
  expect(refused({ 'node_modules/x/node_modules/ssh2': { version: '1.0.0', dev: true } })).toEqual([]);
  expect(refused({ 'node_modules/ssh2': { version: '1.0.0' } })).toHaveLength(1);
});
