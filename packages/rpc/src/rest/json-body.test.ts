import { contract } from '@caudal/contract/descriptors.ts';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { boundsOf, maxTextBytes } from '../schema/bounds.ts';
import { parseJson } from './json-body.ts';

const { request } = contract().methods()[0]!;
const parseBytes = (bytes: Buffer) => parseJson(bytes, boundsOf(request), maxTextBytes);
const parse = (text: string) => parseBytes(Buffer.from(text));

describe('a JSON body', () => {
  test('is what JSON.parse makes of it', () => {
    fc.assert(
      fc.property(fc.json({ depthSize: 'small', maxDepth: 6 }), fc.boolean(), (text, spaced) => {
        const written = spaced ? JSON.stringify(JSON.parse(text), undefined, 2) : text;
        expect(parse(written)).toEqual(JSON.parse(written));
      }),
    );
    expect(parse('')).toBeUndefined();
    expect(parse('{"a:": "{\\"a\\": 1, \\"a\\": 2}", "b\\\\": ":", "{": [":", {"b": 1}, {"b": 2}]}')).toMatchObject({
      'a:': '{"a": 1, "a": 2}',
    });
  });

  test.each([
    ['{"a": 1, "a": 1}', '"a"'],
    ['{"lines": [{"quantity": "1"}, {"quantity": "1", "x": {}, "quantity": "9"}]}', '"quantity"'],
    ['{"price": {"currency": "GBP"}, "price": {"currency": "EUR"}}', '"price"'],
    // Spelled differently, it is the same key.
    ['{"a": 1, "\\u0061": 2}', '"a"'],
    ['{"__proto__": 1, "__proto__": 2}', '"__proto__"'],
  ])('%s is refused, with the key that it has twice', (text, key) => {
    expect(() => parse(text)).toThrow(`The body has the key ${key} twice in one object.`);
  });

  test('that is not text in UTF-8 is refused', () => {
    const latin1 = Buffer.from('{"title": "Caf\u00e9"}', 'latin1');
    const overlong = Buffer.concat([Buffer.from('{"title": "'), Buffer.from([0xc0, 0xaf]), Buffer.from('"}')]);
    const utf16 = Buffer.from('{"title": "a"}', 'utf16le');
    for (const bytes of [latin1, overlong]) expect(() => parseBytes(bytes)).toThrow('The body is not text in UTF-8.');
    expect(() => parseBytes(utf16)).toThrow('The body is not a JSON document.');
  });

  test('may begin with a byte order mark', () => {
    expect(parse('\ufeff{"a": 1}')).toEqual({ a: 1 });
    expect(() => parse('\ufeff\ufeff{}')).toThrow('The body is not a JSON document.');
  });

  test('that is nested too deep is refused, however it ends', () => {
    for (const text of [`${'['.repeat(100_000)}${']'.repeat(100_000)}`, '{"a":'.repeat(100_000)])
      expect(() => parse(text)).toThrow('nested more than 16 levels deep');
  });
});
