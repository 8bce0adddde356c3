import type { DescField, DescMessage } from '@bufbuild/protobuf';
import { contract } from '@caudal/contract/descriptors.ts';
import type { CaudalError } from '@caudal/kernel/errors.ts';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { hasCardNumber, isSearchedForCards } from './card-numbers.ts';
import { oneofPropertyOf, propertyOf } from './field-names.ts';
import { validator } from './validation.ts';

/** Numbers that the schemes publish for tests. */
const cards = {
  Visa: '4111111111111111',
  'Visa of 13 digits': '4222222222222',
  'Visa of 19 digits': '4111111111111111110',
  Mastercard: '5555555555554444',
  'Mastercard from 2': '2223003122003222',
  'American Express': '378282246310005',
  'Diners Club': '30569309025904',
  Discover: '6011111111111117',
  JCB: '3530111333300000',
  UnionPay: '6200000000000005',
  Maestro: '6759649826438453',
};

/** Completes digits by the one that Luhn's formula asks for. */
function luhn(begin: string): string {
  for (let last = 0; last < 10; last++) {
    const digits = `${begin}${last}`;
    const sum = [...digits].toReversed().reduce((total, digit, place) => {
      const doubled = Number(digit) * (1 + (place % 2));
      return total + (doubled > 9 ? doubled - 9 : doubled);
    }, 0);
    if (sum % 10 === 0) return digits;
  }
  throw new Error('unreachable');
}

describe('a card number', () => {
  test.each(Object.entries(cards))('of %s is found', (_, number) => {
    expect(hasCardNumber(number)).toBe(true);
    expect(hasCardNumber(`my card:${number}, thanks`)).toBe(true);
    expect(hasCardNumber(`card${number}x`)).toBe(true);
    const wrong = `${number.slice(0, -1)}${(Number(number.at(-1)) + 1) % 10}`;
    expect(hasCardNumber(wrong)).toBe(false);
  });

  test.each([
    '4111 1111 1111 1111',
    '4111-1111-1111-1111',
    '4111 - 1111 - 1111 - 1111',
    '4111.1111.1111.1111',
    '4111/1111/1111/1111',
    '4111_1111_1111_1111',
    '4111\u00a01111\u20111111\u20141111',
    '41111111 11111111',
    '4111\u200b1111\u200b1111\u200b1111',
    '4111\n1111\n1111\n1111',
    '3782 822463 10005',
    '3056-930902-5904',
    '１２ 4111 1111 1111 1111 12/27 123',
    '1234 4111 1111 1111 1111',
    '４１１１１１１１１１１１１１１１',
    '٤١١١١١١١١١١١١١١١',
    '𝟒𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏𝟏',
    'two: 5 5555555555554444',
  ])('is found as %j', (text) => {
    expect(hasCardNumber(text)).toBe(true);
  });

  test.each([
    ['a UUID', '41111111-1111-4111-8111-111111111111'],
    ['an article number', '4006381333931'],
    ['an article number that satisfies Luhn', '4000000000006'],
    ['sizes', '41 42 43 44 45 46 47 48'],
    ['an IBAN in groups', 'DE44 5001 0517 5407 3249 31'],
    ['an IBAN in groups', 'GB29 NWBK 6016 1331 9268 19'],
    ['an IBAN in one piece', 'DE44500105175407324931'],
    ['an IMEI', '490154203237518'],
    ['a number of 20 digits', '41111111111111111111'],
    ['a number of no issuer', luhn('111111111111111')],
    ['a time', '2026-11-30 12:34:56.789 +0000'],
    ['telephone numbers', '+44 20 7946 0958, +49 30 901820'],
    ['amounts', '4111 1111, 1111 and 1111'],
    ['nothing', ''],
  ])('is not %s: %s', (_, text) => {
    expect(hasCardNumber(text)).toBe(false);
  });

  test('of an issuer is found in any of the ways that cards have it, and in no other number of its length', () => {
    const prefix = fc.constantFrom('4', '51', '2221', '2720', '6011', '3528', '62', '65', '2204', '81');
    const rest = fc.string({ unit: fc.constantFrom(...'0123456789'), minLength: 15, maxLength: 15 });
    const separator = fc.constantFrom('', ' ', '-', '.', ' - ', '\u00a0');
    fc.assert(
      fc.property(prefix, rest, separator, (begin, digits, between) => {
        const number = luhn(`${begin}${digits}`.slice(0, 15));
        const groups = number.match(/.{4}/g)!;
        expect(hasCardNumber(`x ${groups.join(between)} y`)).toBe(true);
        expect(hasCardNumber(luhn(`1${number.slice(1, 15)}`))).toBe(false);
      }),
    );
  });

  test('is looked for in a time in proportion to the text', () => {
    for (const text of [
      '4111 ',
      '4 ',
      '4',
      '4111 1111 1111 1112 ',
      '٤',
      'x',
      '41111111-1111-4111-8111-111111111111 ',
    ]) {
      const long = text.repeat(Math.ceil(500_000 / text.length));
      expect(hasCardNumber(long)).toBe(false);
    }
  }, 30_000);
});

describe('texts of all methods', () => {
  /** A field of a request, with the way to a request that has the text there. */
  interface Place {
    method: string;
    path: string;
    field: DescField;
    request(text: string): object;
  }

  function placesIn(
    type: DescMessage,
    method: string,
    path: string,
    wrap: (inner: object) => object,
    depth = 0,
  ): Place[] {
    if (depth > 4 || type.typeName.startsWith('google.protobuf.')) return [];
    return type.fields.flatMap((field): Place[] => {
      const name = field.name;
      const at = path ? `${path}.${name}` : name;
      const own = (value: unknown) =>
        wrap(
          field.oneof && !field.proto.proto3Optional
            ? { [oneofPropertyOf(field.oneof)]: { $case: propertyOf(field), value } }
            : { [propertyOf(field)]: value },
        );
      const place = (request: (text: string) => object): Place => ({ method, path: at, field, request });
      if (field.fieldKind === 'scalar') return isText(field) ? [place((text) => own(text))] : [];
      if (field.fieldKind === 'list' && field.listKind === 'scalar')
        return isText(field) ? [{ ...place((text) => own(['x', text])), path: `${at}[1]` }] : [];
      if (field.fieldKind === 'map' && field.mapKind === 'scalar')
        return isText(field) ? [place((text) => own({ key: text })), place((text) => own({ [text]: 'value' }))] : [];
      if (field.fieldKind === 'message')
        return placesIn(field.message, method, at, (inner) => own({ ...blank(field.message), ...inner }), depth + 1);
      if (field.fieldKind === 'list' && field.listKind === 'message')
        return placesIn(
          field.message,
          method,
          `${at}[0]`,
          (inner) => own([{ ...blank(field.message), ...inner }]),
          depth + 1,
        );
      return [];
    });
  }

  const isText = (field: DescField) => field.scalar === 9;

  /** A message without anything, as ts-proto makes it. */
  function blank(type: DescMessage): Record<string, unknown> {
    return Object.fromEntries(
      type.fields.flatMap((field) => {
        if (field.oneof || field.fieldKind === 'message') return [];
        const zero = field.scalar === 9 ? '' : field.scalar === 8 ? false : field.fieldKind === 'enum' ? 0 : 0n;
        return [[propertyOf(field), field.fieldKind === 'list' ? [] : field.fieldKind === 'map' ? {} : zero]];
      }),
    );
  }
  const places = contract()
    .methods()
    .flatMap(({ path, request }) => placesIn(request, path, '', (inner) => ({ ...blank(request), ...inner })));

  test('are searched, except ids, codes and numbers that others have made', () => {
    const kinds = new Set(places.filter(({ field }) => !isSearchedForCards(field)).map(({ field }) => field.name));
    const byPattern = [...kinds].filter((name) => !/_ids?$/.test(name)).sort();
    // An owner and a subject are customers' ids; the token of a link is random; what a carrier signs with or shows is not stored; the
    // changes of a cart are bytes, and what a person has typed is searched within them (decode-changes.ts of services/carts).
    expect(byPattern).toEqual([
      ...[
        'changes',
        'credential',
        'currency',
        'etag',
        'owner',
        'page_token',
        'photo_url',
        'signature',
        'subject',
        'token',
        'tracking_number',
      ],
    ]);
    const searched = new Set(places.filter(({ field }) => isSearchedForCards(field)).map(({ field }) => field.name));
    for (const name of ['card_token', 'reference', 'reason', 'note', 'display_name', 'email', 'attributes', 'query'])
      expect([name, searched.has(name)]).toEqual([name, true]);
  });

  test.each(
    places.filter(({ field }) => isSearchedForCards(field)).map((place) => [place.method, place.path, place] as const),
  )('of %s in %s are refused without repeating the number', (_, path, { field, request }) => {
    const number = contract().textForm(field) === 'email' ? `${cards.Visa}@example.com` : cards.Visa;
    let error: CaudalError | undefined;
    try {
      validator(contract().method(_).request)(request(number));
    } catch (thrown) {
      error = thrown as CaudalError;
    }
    // Some are refused by their pattern or length already.
    expect(error?.violations).toContainEqual({ field: path, description: expect.any(String) });
    expect(JSON.stringify([error?.message, error?.violations])).not.toContain('4111');
  });
});
