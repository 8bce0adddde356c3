import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { contract } from '@caudal/contract/descriptors.ts';
import { PlaceOrderRequest } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { RecordTracesRequest, type Trace } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { boundsOf, maxTextBytes } from '../schema/bounds.ts';
import { placeOrder } from '../testing/fixture.ts';
import { NoMessage, scanMessage } from './wire-scan.ts';

const requestOf = (name: string) =>
  contract()
    .methods()
    .find(({ path }) => path.endsWith(`/${name}`))!.request;
const order = boundsOf(requestOf('PlaceOrder'));

function refusal(bytes: Uint8Array, type = order): string {
  try {
    scanMessage(type, bytes, maxTextBytes);
    return 'accepted';
  } catch (error) {
    if (error instanceof NoMessage) return `no message: ${error.message}`;
    if (!(error instanceof CaudalError)) throw error;
    const [first] = error.violations;
    return `${error.reason} ${first ? `${first.field} ${first.description}` : error.message}`;
  }
}

/** What this writes, so many times. */
function many(times: number, write: (to: BinaryWriter) => void): Uint8Array {
  const writer = new BinaryWriter();
  for (let n = 0; n < times; n++) write(writer);
  return writer.finish();
}

const delimited = (number: number, bytes: Uint8Array) => (to: BinaryWriter) =>
  to.tag(number, WireType.LengthDelimited).bytes(bytes);
const empty = new Uint8Array();

describe('a message', () => {
  test('that the encoder writes is passed to its end', () => {
    const texts = fc.string({ unit: 'binary', maxLength: 60 });
    const lines = fc.array(
      fc.record({ productId: texts, quantity: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }) }),
    );
    const attributes = fc.dictionary(texts, texts, { maxKeys: 20 });
    fc.assert(
      fc.property(texts, lines, attributes, (orderId, some, more) => {
        const bytes = PlaceOrderRequest.encode(placeOrder({ orderId, lines: some, attributes: more })).finish();
        expect(refusal(bytes)).toBe('accepted');
        // Cut off it is no message, or one that ends before a field.
        for (const end of [1, bytes.length >> 1, bytes.length - 1])
          expect(refusal(bytes.subarray(0, end))).toMatch(/^accepted|^no message/);
      }),
    );
  });

  test('of a thousand traces with every field is passed', () => {
    const time = new Date('2026-03-05T11:00:00.250Z');
    const trace: Trace = {
      ...{ carrier: 'acme', trackingNumber: 'A1', eventId: 'e1', happenTime: time, zone: 'UTC', status: 1 },
      ...{ subStatus: 'SCANNED', detail: 'In the hub', eta: time, photoUrl: 'https://a.example/p', receiveTime: time },
      place: { name: 'Bonn', country: 'DE', position: { latitudeE7: 507_000_000, longitudeE7: 71_000_000 } },
    };
    const bytes = RecordTracesRequest.encode({ traces: Array.from({ length: 1_000 }, () => trace) }).finish();
    expect(refusal(bytes, boundsOf(requestOf('RecordTraces')))).toBe('accepted');
  });

  test('of any bytes is passed or refused, and never hangs', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => void refusal(bytes)),
      { numRuns: 5_000 },
    );
  });

  test.each([
    ['ends within a field', [0x12, 0x05, 0x61]],
    ['ends within a number', [0x12, 0x80]],
    ['has a message that ends outside of its own', [0x2a, 0x02, 0x0a, 0x05, 0x61, 0x61, 0x61, 0x61, 0x61]],
    ['has a field 0', [0x02, 0x00]],
    ['has a group', [0x7b, 0x7c]],
    ['has the end of a group', [0x7c]],
    ['has a number of eleven bytes', [0x78, ...Array.from({ length: 10 }, () => 0xff), 0x01]],
    ['has wire type 6', [0x7e, 0x00]],
  ])('that %s is none', (_, bytes) => {
    expect(refusal(Uint8Array.from(bytes))).toMatch(/^no message/);
  });
});

describe('refused before it is decoded', () => {
  test.each([
    ['items', many(1_001, delimited(5, empty)), 'INVALID_REQUEST lines must have at most 1000 items'],
    ['entries', many(21, delimited(8, empty)), 'INVALID_REQUEST attributes must have at most 20 entries'],
    [
      'a text by its rule',
      many(1, delimited(2, new Uint8Array(10_000).fill(97))),
      'INVALID_REQUEST order_id must match ^[A-Za-z0-9]',
    ],
    [
      'a text of an item',
      many(1, delimited(5, many(1, delimited(1, new Uint8Array(10_000).fill(97))))),
      'INVALID_REQUEST lines[0].product_id must match ^[A-Za-z0-9]',
    ],
    [
      'a text of an entry',
      many(1, delimited(8, many(1, delimited(2, new Uint8Array(16_385))))),
      'MALFORMED_REQUEST attributes must have at most 16384 bytes',
    ],
    ['unknown fields', many(1_001, delimited(99, empty)), 'MALFORMED_REQUEST body has more than 1000 unknown fields'],
    [
      'unknown fields of items',
      many(1_001, delimited(5, many(1, delimited(99, empty)))),
      'must have at most 1000 items',
    ],
    ['a field again and again', many(25_001, delimited(6, empty)), 'comes after 25000 other values'],
    [
      'fields of the wrong type',
      many(1_001, (to) => to.tag(2, WireType.Varint).uint32(1)),
      'more than 1000 unknown fields',
    ],
  ])('%s', (_, bytes, expected) => {
    expect(refusal(bytes)).toContain(expected);
  });

  test('packed numbers, as items', () => {
    const type = boundsOf(requestOf('SummarizeOrders'));
    const packed = (bytes: Uint8Array) => many(1, delimited(5, bytes));
    expect(refusal(packed(Uint8Array.from([1, 2, 1, 2])), type)).toBe('accepted');
    expect(refusal(packed(Uint8Array.from([1, 2, 1, 2, 1])), type)).toBe(
      'INVALID_REQUEST group_by must have at most 4 items',
    );
    expect(refusal(packed(new Uint8Array(1_000_000).fill(0x80)), type)).toContain('must have at most 4 items');
    expect(
      refusal(
        many(5, (to) => to.tag(5, WireType.Varint).uint32(1)),
        type,
      ),
    ).toContain('must have at most 4 items');
    expect(refusal(Buffer.concat([packed(Uint8Array.of(1, 1, 1)), packed(Uint8Array.of(1, 1))]), type)).toContain(
      'at most 4 items',
    );
  });

  test('paths of a mask', () => {
    const type = boundsOf(requestOf('GetOrder'));
    const mask = (bytes: Uint8Array) => {
      const { number } = requestOf('GetOrder').fields.find(({ name }) => name === 'read_mask')!;
      return many(1, delimited(number, bytes));
    };
    expect(refusal(mask(many(200, delimited(1, new Uint8Array(200).fill(97)))), type)).toBe('accepted');
    expect(refusal(mask(many(201, delimited(1, empty))), type)).toContain(
      'read_mask.paths must have at most 200 items',
    );
    expect(refusal(mask(many(1, delimited(1, new Uint8Array(801)))), type)).toContain(
      'must have at most 200 characters',
    );
  });

  test('a text at its bound is accepted, in characters of four bytes', () => {
    const text = Buffer.from('\u{1f600}'.repeat(order.byName.get('orderId')!.characters!));
    expect(refusal(many(1, delimited(2, text)))).toBe('accepted');
  });

  test("services' calls have another bound for texts without a rule: they pass on what 0.2 has accepted", () => {
    const long = many(1, delimited(8, many(1, delimited(2, new Uint8Array(100_000).fill(97)))));
    expect(() => scanMessage(order, long, long.length)).not.toThrow();
    expect(refusal(long)).toContain('must have at most 16384 bytes');
  });

  test('the nanoseconds of a time and of a duration are less than a second', () => {
    const within = (name: string, number: number) => (nanos: number) =>
      refusal(
        many(
          1,
          delimited(
            number,
            many(1, (to) => to.tag(2, WireType.Varint).int32(nanos)),
          ),
        ),
        boundsOf(requestOf(name)),
      );
    const time = within('GetWallet', 2);
    for (const nanos of [0, 1, 999_999_999]) expect(time(nanos)).toBe('accepted');
    for (const nanos of [-1, 1_000_000_000, 2 ** 31 - 1, -(2 ** 31)])
      expect(time(nanos)).toBe('MALFORMED_REQUEST at_time.nanos must be from 0 to 999999999');
    const duration = within('ReserveStock', 4);
    for (const nanos of [-999_999_999, -1, 0, 999_999_999]) expect(duration(nanos)).toBe('accepted');
    for (const nanos of [-1_000_000_000, 1_000_000_000, -(2 ** 31)])
      expect(duration(nanos)).toBe('MALFORMED_REQUEST ttl.nanos must be from -999999999 to 999999999');
  });

  test('unknown fields of newer clients are passed', () => {
    expect(refusal(many(1_000, delimited(99, new Uint8Array(100))))).toBe('accepted');
  });
});
