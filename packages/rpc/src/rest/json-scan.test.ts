import { contract } from '@caudal/contract/descriptors.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { boundsOf, maxTextBytes } from '../schema/bounds.ts';
import { scanJson } from './json-scan.ts';

const requestOf = (name: string) =>
  boundsOf(
    contract()
      .methods()
      .find(({ path }) => path.endsWith(`/${name}`))!.request,
  );
const order = requestOf('PlaceOrder');

const scan = (text: string | Buffer, type = order) => scanJson(type, Buffer.from(text as string), maxTextBytes);

/** The field and the reason of a refusal. */
function refusal(text: string | Buffer, type = order): string {
  try {
    scan(text, type);
    return 'accepted';
  } catch (error) {
    if (!(error instanceof CaudalError)) throw error;
    const [first] = error.violations;
    return `${error.reason} ${first ? `${first.field} ${first.description}` : error.message}`;
  }
}

describe('a document', () => {
  test('of any form is passed to its end, if it is small', () => {
    const values = fc.json({ depthSize: 'small', maxDepth: 6 });
    fc.assert(
      fc.property(values, fc.boolean(), (text, spaced) => {
        const written = spaced ? JSON.stringify(JSON.parse(text), undefined, '\t \r') : text;
        expect(refusal(` ${written}\n`)).toBe('accepted');
      }),
    );
  });

  test('that JSON.parse refuses is refused by one of the two, and never hangs', () => {
    const parts = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      '"',
      ',',
      ':',
      '\\',
      'a',
      '1',
      ' ',
      '"a":',
      'true',
      '\n',
      '\\"',
      '{"lines":[',
    );
    fc.assert(
      fc.property(fc.array(parts, { maxLength: 30 }), (all) => {
        const text = all.join('');
        let parsed = true;
        try {
          JSON.parse(text);
        } catch {
          parsed = false;
        }
        // What is a document is refused only for a key that is there twice.
        if (parsed) expect(refusal(text)).toMatch(/^accepted$|twice in one object/);
        else refusal(text);
      }),
      { numRuns: 5_000 },
    );
  });

  test.each([
    '',
    '{',
    '{"a"',
    '{"a":',
    '{"a":1',
    '{"a":1,',
    '{"a" 1}',
    '{a:1}',
    '[1',
    '[1,,2]',
    '{,}',
    '{} {}',
    '{}x',
    '"',
    '"a\\',
    '{"a":"b\\"}',
    ',',
  ])('%j is no document', (text) => {
    expect(refusal(text)).toBe('MALFORMED_REQUEST The body is not a JSON document.');
  });
});

describe('refused before it is converted', () => {
  const many = (text: string, times: number) => text.repeat(times);

  test.each([
    [
      'digits',
      `{"lines":[{"quantity":${many('7', 65)}}]}`,
      'MALFORMED_REQUEST lines[0].quantity must be a number of at most 64 characters',
    ],
    [
      'digits in a text',
      `{"lines":[{"quantity":"${many('7', 401)}"}]}`,
      'MALFORMED_REQUEST lines[0].quantity is longer than any value that it can have',
    ],
    ['items', `{"lines":[${many('{},', 1_000)}{}]}`, 'INVALID_REQUEST lines must have at most 1000 items'],
    ['items of an unknown list', `{"x":[${many('0,', 1_000)}0]}`, 'MALFORMED_REQUEST x has more than 1000 items'],
    [
      'entries',
      `{"attributes":{${Array.from({ length: 21 }, (_, n) => `"k${n}":""`).join()}}}`,
      'INVALID_REQUEST attributes must have at most 20 entries',
    ],
    [
      'a text by its rule',
      `{"orderId":"${many('\\u0061', 101 * 2)}${many('a', 10_000)}"}`,
      'INVALID_REQUEST order_id must match ^[A-Za-z0-9]',
    ],
    [
      'a text without a rule',
      `{"attributes":{"k":"${many('a', 16_385)}"}}`,
      'MALFORMED_REQUEST attributes.k must have at most 16384 bytes',
    ],
    ['blanks', `{${many(' ', 1_048_577)}}`, 'MALFORMED_REQUEST body has more than 1048576 blanks'],
    ['a long key', `{"${many('k', 2_401)}":0}`, 'MALFORMED_REQUEST body has a key that is longer than any field has'],
    ['depth', `{"a":${many('[', 16)}`, 'is nested more than 16 levels deep'],
    ['depth of objects', many('{"a":', 17), 'is nested more than 16 levels deep'],
    ['values', `{"a":[${many(`[${many('0,', 900)}0],`, 28)}0]}`, 'comes after 25000 other values'],
    [
      'unknown keys',
      `{${Array.from({ length: 51 }, (_, n) => `"k${n}":0`).join()}}`,
      'MALFORMED_REQUEST k0 is not a field of PlaceOrderRequest',
    ],
    [
      'unknown keys of items',
      `{"lines":[${many('{"x":0},', 50)}{"x":0}]}`,
      'MALFORMED_REQUEST lines[0].x is not a field of PlaceOrderLine',
    ],
    [
      'keys of an unknown object',
      `{"x":{${Array.from({ length: 1_002 }, (_, n) => `"k${n}":0`).join()}}}`,
      'has more than 1000 keys',
    ],
    [
      'the same key',
      '{"lines":[{"quantity":"1","x":{},"quantity":"2"}]}',
      'The body has the key "quantity" twice in one object.',
    ],
    ['the same key, spelled otherwise', '{"a":1,"\\u0061":2}', 'The body has the key "a" twice in one object.'],
    [
      'the same key of a map',
      '{"attributes":{"__proto__":"1","__proto__":"2"}}',
      'The body has the key "__proto__" twice in one object.',
    ],
  ])('%s', (_, text, expected) => {
    expect(refusal(text)).toContain(expected);
  });

  test('a text at its bound is accepted, whatever its characters take', () => {
    const { characters } = order.byName.get('orderId')!;
    for (const character of ['a', 'é', '\u{1f600}', '\\u0061', '\\ud83d\\ude00'])
      expect(refusal(`{"orderId":"${many(character, characters!)}"}`)).toBe('accepted');
  });

  test('a mask has room for 200 paths', () => {
    const type = requestOf('GetOrder');
    const paths = Array.from({ length: 200 }, () => 'p'.repeat(200)).join();
    expect(refusal(`{"readMask":"${paths}"}`, type)).toBe('accepted');
    expect(refusal(`{"readMask":"${'a,'.repeat(200)}a"}`, type)).toContain('read_mask must have at most 200 paths');
    expect(refusal(`{"readMask":"${'p'.repeat(500_000)}"}`, type)).toContain('read_mask is longer');
  });

  test('up to fifty unknown keys are left to the reader, who reports them all', () => {
    expect(refusal(`{${Array.from({ length: 50 }, (_, n) => `"k${n}":0`).join()}}`)).toBe('accepted');
  });

  test('the path has no more of a key than a hundred characters', () => {
    expect(refusal(`{"${many('k', 2_000)}":${many('[', 20)}`).length).toBeLessThan(250);
  });
});
