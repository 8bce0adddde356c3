import { randomBytes } from 'node:crypto';
import { parseTokenKeys, sealToken, setTokenKeys } from '@caudal/kernel/sealed-token.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { placeTokens } from './place-token.ts';

beforeAll(() => setTokenKeys(parseTokenKeys(`test:${randomBytes(32).toString('base64')}`)));
afterAll(() => setTokenKeys(undefined));

const errorOf = (work: () => unknown): unknown => {
  try {
    return work();
  } catch (error) {
    return error;
  }
};
const refusal = { code: 'INVALID_ARGUMENT', violations: [{ field: 'page_token' }] };

test('a token comes back as its place, for the same list and query', () => {
  const tokens = placeTokens('records', { subject: 'ada' });
  const token = tokens.seal('42');
  expect(token).not.toContain('42');
  expect(placeTokens('records', { subject: 'ada' }).open(token)).toBe('42');
});

test.each([
  ['made up', 'x'],
  ['empty', ''],
  ['readable', Buffer.from('["records","42"]').toString('base64url')],
  ['with a character that no token has', 'a\u0000b'],
])('a token that is %s is refused', (_, token) => {
  expect(errorOf(() => placeTokens('records').open(token))).toMatchObject(refusal);
});

test('a token of another list, of another query, or of a view is refused', () => {
  const { open } = placeTokens('records', { subject: 'ada' });
  const others = [placeTokens('others', { subject: 'ada' }), placeTokens('records', { subject: 'eve' })];
  for (const token of [
    ...others.map(({ seal }) => seal('42')),
    sealToken('page', '["view",1,[],"id"]'),
    sealToken('page', '7'),
  ])
    expect(errorOf(() => open(token))).toMatchObject(refusal);
});
