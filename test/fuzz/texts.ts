/**
 * Texts for fields, as bytes, because bytes on the wire need not be a text: ids of existing resources and valid values,
 * which reach the code behind the checks, and values that break careless code.
 */
import { contract } from '@caudal/contract/descriptors.ts';
import fc from 'fast-check';
import { world } from './world.ts';

const utf8 = (text: string) => Buffer.from(text, 'utf8');

/** Valid texts for fields with these names; the ids of world.ts are added. */
const good: Record<string, readonly string[]> = {
  currency: ['GBP', 'EUR', 'XXX'],
  country: ['GB', 'United Kingdom'],
  customer_id: ['auth0|5f7c8ec7', 'urn:example:user:42', '/+9aB3=='],
  email: ['ada@example.com', '用户@例子.广告', ''],
  order_by: ['', 'create_time', 'available desc', 'balance', 'product_id'],
  kind: ['standard', 'premium', ''],
  // Fields of carts.
  name: ['coupon', 'labels', 'address'],
  domain: contract()
    .methods()
    .map(({ service }) => service.split('.')[1]!)
    .filter((name, index, all) => name !== 'log' && all.indexOf(name) === index),
  stream: Object.entries({
    'orders.order': 'order_id',
    'payments.wallet': 'wallet_id',
    'inventory.stock': 'product_id',
  })
    .flatMap(([entity, name]) => world[name]!.map((id) => `${entity}/${id}`))
    .concat('orders.order/', '/', 'orders.order/nobody'),
  card_token: ['tok_approved', 'tok_declined', 'tok_insufficient'],
  query: ['thing', 'a', 'thing lamp', '"thing', 'th*', '(a|b', '\\', '%', '_', "'", ':*', '!a & b', '<->'],
  categories: ['things', 'others'],
  product_ids: world.product_id!,
  tiers: ['gold', 'gold,silver', ''],
};

/** Keys that the code reads in maps. */
const keys = ['tier', 'tiers', 'max_per_order', 'safety_stock', 'x'];

/** Only a few, so that some are repeated with other content. */
const requestIds = Array.from({ length: 40 }, (_, n) => `0190d6f0-1c5e-7b3a-9f00-${String(n).padStart(12, '0')}`);

/** Breaks code that treats a text as something else. */
const odd: readonly Uint8Array[] = [
  ...['', ' ', '\n', '\0', 'a\0b', '-', '..', '../../etc/passwd', '%00', '%s%n', '{7*7}', '{{7*7}}', '$where'].map(
    utf8,
  ),
  ...["'; DROP TABLE events; --", '" OR 1=1', '\\', '\\u0000', '\u2028', '\u202e', '\ufeff', '\uffff'].map(utf8),
  ...['__proto__', 'constructor', 'hasOwnProperty', 'toString', 'null', 'undefined', 'NaN', '-0', '1e999'].map(utf8),
  ...['ﬀ', 'İ', 'ß', 'e\u0301', '\u{1f469}\u200d\u{1f680}', '\u{10ffff}', '田中', '\u0661', '\ud7ff'].map(utf8),
  // Half a surrogate pair, an overlong slash, a truncated character, one beyond Unicode, bytes that are not UTF-8.
  ...[
    [0xed, 0xa0, 0x80],
    [0xc0, 0xaf],
    [0xe2, 0x82],
    [0xf5, 0x80, 0x80, 0x80],
    [0xff, 0xfe, 0x80],
  ].map((bytes) => Uint8Array.from([0x61, ...bytes])),
];

/** Lengths at the bounds of the contract (64, 100, 200, ...) and beyond. */
const lengths = [1, 63, 64, 65, 79, 80, 81, 100, 101, 200, 201, 1_000, 10_000, 10_001];
const long = fc.oneof(
  { weight: 20, arbitrary: fc.constantFrom(...lengths) },
  { weight: 1, arbitrary: fc.constantFrom(70_000, 300_000) },
);

const anyText = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...odd) },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.constantFrom('x', 'é', '\u{1f600}', ' a'), long).map(([unit, n]) => utf8(unit.repeat(n))),
  },
  { weight: 2, arbitrary: fc.string({ unit: 'binary', maxLength: 30 }).map(utf8) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 30 }) },
);

const plain = fc.oneof(
  fc.constantFrom('a', 'Note', 'fuzz').map(utf8),
  fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,20}$/).map(utf8),
);

const oneOf = (texts: readonly string[]) => fc.constantFrom(...texts).map(utf8);

/** Fields that are mostly left empty, because almost no value of them is right. */
const mostlyEmpty = new Set(['etag', 'page_token']);

/** A text for a field of this name; with `tame` one that is valid there, if possible. */
export function textFor(name: string, tame: boolean): fc.Arbitrary<Uint8Array> {
  const known = [...(world[name] ?? []), ...(good[name] ?? [])];
  const right = name === 'request_id' ? oneOf(requestIds) : known.length > 0 ? oneOf(known) : plain;
  const usual = mostlyEmpty.has(name) ? fc.constant(new Uint8Array()) : right;
  if (tame) return usual;
  return fc.oneof({ weight: 16, arbitrary: usual }, { weight: 2, arbitrary: plain }, { weight: 3, arbitrary: anyText });
}

/** A key of a map. */
export const keyText = (tame: boolean) => (tame ? oneOf(keys) : anyKey);
const anyKey = fc.oneof({ weight: 5, arbitrary: oneOf(keys) }, { weight: 1, arbitrary: anyText });

/** A path of a field mask: mostly one of these names. */
export const pathOf = (names: readonly string[], tame: boolean): fc.Arbitrary<Uint8Array> =>
  tame
    ? oneOf(names)
    : fc.oneof(
        { weight: 8, arbitrary: oneOf([...names, '*']) },
        {
          weight: 1,
          arbitrary: fc.tuple(oneOf(names), anyText).map(([name, text]) => Buffer.concat([name, utf8('.'), text])),
        },
        { weight: 1, arbitrary: anyText },
      );
