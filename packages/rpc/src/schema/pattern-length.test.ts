import { contract } from '@caudal/contract/descriptors.ts';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { longestMatch } from './pattern-length.ts';
import { sizesOf } from './rules.ts';

test.each([
  ['^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$', 64],
  ['^[A-Za-z0-9][A-Za-z0-9._-]{0,63}(~([2-9]|[1-9][0-9]))?$', 67],
  ['^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$', 10],
  ['^[A-Z]{3}$', 3],
  ['^(?:ab|c[\\]x]{2}|)$', 3],
  ['^(?=.{1,3}$)\\d{2}$', 2],
  ['^(ab){2,3}?c??$', 7],
  ['^a+$', undefined],
  ['^a{2,}$', undefined],
  ['^.*$', undefined],
  ['[a-z]{1,3}', undefined],
  ['^$', 0],
])('the longest text of %s has %s characters', (pattern, length) => {
  expect(longestMatch(pattern)).toBe(length);
});

const patterns = new Set(
  [...contract().registry]
    .filter((type) => type.kind === 'message')
    .flatMap((type) => type.fields.map((field) => /^must match (.*)$/.exec(sizesOf(field).advice ?? '')?.[1]))
    .filter((pattern) => pattern !== undefined),
);

test.each([...patterns])('no text of the pattern %s is longer', (pattern) => {
  const longest = longestMatch(pattern)!;
  expect(longest).toBeGreaterThan(0);
  fc.assert(
    fc.property(fc.stringMatching(new RegExp(pattern, 'u')), (text) => {
      expect([...text].length).toBeLessThanOrEqual(longest);
    }),
  );
});
