import { createDecipheriv, createHmac, randomBytes } from 'node:crypto';
import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { keyedDigest, openToken, parseTokenKeys, sealToken, setTokenKeys, type TokenKey } from './sealed-token.ts';

const keyOf = (id: string): TokenKey => ({ id, key: randomBytes(32) });
const [one, two] = [keyOf('one'), keyOf('two')];

beforeEach(() => setTokenKeys([one]));
afterAll(() => setTokenKeys(undefined));

test('a token has its content for its own use, and shows nothing of it', () => {
  for (const content of ['', 'x', '["orders.order/o1",7]', 'ł€😀'.repeat(500)]) {
    const token = sealToken('page', content);
    expect(token).toMatch(/^[\w-]+$/);
    expect(openToken('page', token)).toBe(content);
    expect(openToken('consistency', token)).toBeUndefined();
  }
  const token = sealToken('page', 'orders.order');
  expect(Buffer.from(token, 'base64url').toString('latin1')).not.toContain('orders');
  // A repeated command answers with the same token.
  expect(sealToken('page', 'orders.order')).toBe(token);
  const others = [sealToken('page', 'orders.orders'), sealToken('consistency', 'orders.order')];
  const tagOf = (made: string) => Buffer.from(made, 'base64url').subarray(4, 20).toString('hex');
  expect(new Set([token, ...others].map(tagOf)).size).toBe(3);
});

test('a token that differs in one bit, or is written in another way, is none', () => {
  const token = sealToken('consistency', '[["orders.order/o1",7]]');
  const bytes = Buffer.from(token, 'base64url');
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const changed = Buffer.from(bytes);
    changed[bit >> 3]! ^= 1 << (bit & 7);
    expect(openToken('consistency', changed.toString('base64url'))).toBeUndefined();
  }
  for (let length = 0; length < token.length; length++)
    expect(openToken('consistency', token.slice(0, length))).toBeUndefined();
  for (const other of [`${token}A`, `${token}=`, ` ${token}`, `${token}\n`, bytes.toString('base64'), '', '😀'])
    if (other !== token) expect(openToken('consistency', other)).toBeUndefined();
});

test('the last character of base64 has bits that mean nothing: none of its other forms is a token', () => {
  const characters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  for (const content of ['a', 'ab', 'abc']) {
    const token = sealToken('page', content);
    const forms = [...characters].map((last) => token.slice(0, -1) + last);
    expect(forms.filter((form) => openToken('page', form) !== undefined)).toEqual([token]);
  }
});

test('the first key seals, all of them open', () => {
  const old = sealToken('page', 'old');
  setTokenKeys([one, two]);
  const between = sealToken('page', 'between');
  setTokenKeys([two, one]);
  const fresh = sealToken('page', 'fresh');
  expect([old, between, fresh].map((token) => openToken('page', token))).toEqual(['old', 'between', 'fresh']);
  setTokenKeys([two]);
  expect([old, between, fresh].map((token) => openToken('page', token))).toEqual([undefined, undefined, 'fresh']);
  // Another system with a key of the same name.
  setTokenKeys([{ id: 'two', key: randomBytes(32) }]);
  expect(openToken('page', fresh)).toBeUndefined();
});

test('the parts are those of the standards: HMAC-SHA256 as the tag, AES-256 in counter mode behind it', () => {
  const derived = (name: string) => createHmac('sha256', one.key).update(`caudal token ${name}`).digest();
  for (const content of ['', 'x', 'x'.repeat(16), 'ł'.repeat(1_000)]) {
    const token = Buffer.from(sealToken('page', content), 'base64url');
    const tag = createHmac('sha256', derived('tag')).update(`page ${content}`).digest().subarray(0, 16);
    expect(token.subarray(4, 20)).toEqual(tag);
    // Where the counter does not run over its last four bytes, it is OpenSSL's.
    if (tag.readUInt32BE(12) > 0xffff_0000) continue;
    const decipher = createDecipheriv('aes-256-ctr', derived('content'), tag);
    expect(decipher.update(token.subarray(20)).toString()).toBe(content);
  }
});

test('without keys a process opens its own tokens', () => {
  setTokenKeys(undefined);
  const token = sealToken('page', 'mine');
  expect(openToken('page', token)).toBe('mine');
  setTokenKeys(undefined);
  expect(openToken('page', token)).toBeUndefined();
});

test('a digest depends on text and key', () => {
  const digest = keyedDigest('stock 1234');
  expect(digest).toMatch(/^[\w-]{8}$/);
  expect(keyedDigest('stock 1234')).toBe(digest);
  expect(keyedDigest('stock 1235')).not.toBe(digest);
  setTokenKeys([two, one]);
  expect(keyedDigest('stock 1234')).not.toBe(digest);
});

describe('parseTokenKeys', () => {
  const base64 = one.key.toString('base64');

  test('reads keys in their order', () => {
    expect(parseTokenKeys(`a:${base64}, b:${two.key.toString('base64url')}`)).toEqual([
      { id: 'a', key: one.key },
      { id: 'b', key: two.key },
    ]);
  });

  test.each([
    [base64, 'key 1 is not written as <id>:<base64>'],
    ['a:', 'key 1 is not written as <id>:<base64>'],
    [`a:${base64},`, 'key 2 is not written as <id>:<base64>'],
    ['a:AAAA', 'key "a" has 3 bytes instead of 32'],
    [`a:${base64},a:${two.key.toString('base64')}`, 'key "a" is given twice'],
    [`a:${base64},b:${base64}`, '"a" and "b" are one key'],
  ])('%s', (text, message) => {
    expect(() => parseTokenKeys(text)).toThrow(message);
    expect(() => parseTokenKeys(text)).toThrow(
      expect.not.objectContaining({ message: expect.stringContaining(base64) }),
    );
  });
});
