/**
 * Random messages of the contract as bytes: correct for the wire format, with values at and beyond every bound. They
 * are written field by field, because an encoder accepts neither broken texts nor unknown enums.
 */
import type { DescField, DescMessage } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import fc from 'fast-check';
import { keyText, pathOf, textFor } from './texts.ts';

export interface MessageOptions {
  /** The type whose fields a `read_mask` names. */
  answered: DescMessage;
  /** Only values that may be accepted, so that more messages reach the code behind the checks. */
  tame: boolean;
}

interface Place extends MessageOptions {
  /** The message that a field is in. */
  type: DescMessage;
  depth: number;
}

type Write = (to: BinaryWriter) => void;

/** The levels of nested messages. No message of the contract contains itself; corrupt.ts nests unknown fields. */
const maxDepth = 4;

/** Messages of this type as bytes. */
export const messageOf = (type: DescMessage, options: MessageOptions): fc.Arbitrary<Uint8Array> =>
  bytesOf({ ...options, type, depth: 0 });

function bytesOf(place: Place): fc.Arbitrary<Uint8Array> {
  const groups = Map.groupBy(place.type.fields, ({ name, oneof, proto }) =>
    oneof && !proto.proto3Optional ? `oneof ${oneof.name}` : name,
  );
  const parts = [...groups.values()].map((fields) => {
    const writes = fields.map((field) => fieldOf(field, place));
    const one = fc.oneof(...writes);
    // Of a oneof, sometimes all: then the last one counts.
    const some =
      writes.length === 1 || place.tame
        ? one
        : fc.oneof({ weight: 12, arbitrary: one }, { weight: 1, arbitrary: fc.tuple(...writes).map(inTurn) });
    return fc.option(some, { freq: freqOf(fields[0]!, place.tame), nil: undefined });
  });
  return fc.tuple(...parts).map((writes) => {
    const writer = new BinaryWriter();
    inTurn(writes)(writer);
    return writer.finish();
  });
}

const inTurn =
  (writes: (Write | undefined)[]): Write =>
  (to) => {
    for (const write of writes) write?.(to);
  };

/** How often a field is present, to one time that it is absent. */
function freqOf({ name }: DescField, tame: boolean): number {
  // These restrict the result: if every request had them, most queries would find nothing.
  const isSeldom = /^(request_id|etag|page_token|read_mask|update_mask|at_time|status|attributes|policy|kind)$/.test(
    name,
  );
  if (isSeldom) return 1;
  return tame ? 40 : 12;
}

function fieldOf(field: DescField, place: Place): fc.Arbitrary<Write> {
  if (field.fieldKind === 'map') return mapOf(field, place);
  const single = singleOf(field, place);
  if (field.fieldKind !== 'list') return single;
  const few = fc.array(single, { minLength: place.tame ? 1 : 0, maxLength: 3 });
  const many = fc
    .tuple(singleOf(field, { ...place, tame: true }), fc.constantFrom(20, 101, 1_000, 1_001, 3_000))
    .map(([item, count]) => Array<Write>(count).fill(item));
  return fc.oneof({ weight: 25, arbitrary: few }, { weight: place.tame ? 0 : 1, arbitrary: many }).map(inTurn);
}

function singleOf(field: DescField, place: Place): fc.Arbitrary<Write> {
  const { number, message } = field;
  const delimited =
    (bytes: Uint8Array): Write =>
    (to) =>
      to.tag(number, WireType.LengthDelimited).bytes(bytes);
  const varint =
    (write: Write): Write =>
    (to) =>
      write(to.tag(number, WireType.Varint));

  if (field.enum) return enumNumber(field.enum.values.length).map((value) => varint((to) => to.int32(value)));
  switch (message?.typeName) {
    case undefined:
      break;
    case 'google.protobuf.FieldMask':
      return maskOf(field, place).map(delimited);
    case 'google.protobuf.Timestamp':
    case 'google.protobuf.Duration':
      return time(place.tame).map(delimited);
    default:
      if (place.depth === maxDepth) return fc.constant(delimited(new Uint8Array()));
      return bytesOf({ ...place, type: message!, depth: place.depth + 1 }).map(delimited);
  }
  switch (field.scalar) {
    case 1:
      return double.map(
        (value): Write =>
          (to) =>
            to.tag(number, WireType.Bit64).double(value),
      );
    case 3:
      return (place.tame ? smallLong : long).map((value) => varint((to) => to.int64(value)));
    case 5:
      return int(field, place.tame).map((value) => varint((to) => to.int32(value)));
    case 8:
      return fc.boolean().map((value) => varint((to) => to.bool(value)));
    case 9:
    case 12:
      return textFor(field.name, place.tame).map(delimited);
    default:
      throw new Error(`test/fuzz/messages.ts can't make the type of ${field} yet.`);
  }
}

/** Numbers that the contract has, and some that it does not have. */
const enumNumber = (count: number) =>
  fc.oneof(
    { weight: 4, arbitrary: fc.nat({ max: count - 1 }) },
    fc.constantFrom(-1, count, 999, 2 ** 31 - 1, -(2 ** 31)),
  );

const smallLong = fc.constantFrom(1n, 2n, 3n, 10n, 1_000n);
const long = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(0n, ...[1n, 2n, 10n, 1_000n]) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      ...[-1n, -(2n ** 63n), 2n ** 63n - 1n, 2n ** 31n, 2n ** 31n - 1n, 2n ** 32n, 2n ** 53n, 2n ** 53n + 1n],
      ...[10n ** 9n, 10n ** 9n + 1n, 10n ** 15n, 10n ** 15n + 1n, -(10n ** 9n), -(10n ** 15n)],
    ),
  },
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
);

function int({ name }: DescField, tame: boolean): fc.Arbitrary<number> {
  // A call that asks for a long wait gets it, which is not a fault.
  const small = fc.constantFrom(0, 1, ...(name === 'wait_millis' ? [] : [5, 100]));
  if (tame) return small;
  const large = fc.constantFrom(-1, 10_001, 2 ** 31 - 1, -(2 ** 31), ...(name === 'wait_millis' ? [] : [101, 10_000]));
  return fc.oneof({ weight: 6, arbitrary: small }, { weight: 2, arbitrary: large });
}

const double = fc.oneof(fc.double(), fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, -0));

/** Timestamps and durations: now, a while, the ends of their ranges, and beyond. */
function time(tame: boolean): fc.Arbitrary<Uint8Array> {
  const usual = fc.constantFrom(1n, 900n, 604_800n, 1_795_000_000n);
  const ends = fc.constantFrom(0n, 604_801n, -62_135_596_800n, 253_402_300_799n, 253_402_300_800n, 315_576_000_001n);
  const seconds = tame ? usual : fc.oneof(usual, ends, long);
  const nanos = tame ? fc.constant(0) : fc.constantFrom(0, 1, 999_999_999, 1_000_000_000, -1);
  return fc
    .tuple(seconds, nanos)
    .map(([whole, rest]) =>
      new BinaryWriter().tag(1, WireType.Varint).int64(whole).tag(2, WireType.Varint).int32(rest).finish(),
    );
}

function maskOf(field: DescField, { type, answered, tame }: Place): fc.Arbitrary<Uint8Array> {
  const names = (field.name === 'read_mask' ? answered : type).fields.map(({ name }) => name);
  return fc.array(pathOf(names, tame), { maxLength: 5 }).map((paths) => {
    const writer = new BinaryWriter();
    for (const path of paths) writer.tag(1, WireType.LengthDelimited).bytes(path);
    return writer.finish();
  });
}

/** From text to text, the only kind of map in the contract. */
function mapOf({ number }: DescField, { tame }: Place): fc.Arbitrary<Write> {
  const entry = fc.tuple(keyText(tame), textFor('tiers', tame)).map(([key, value]): Write => {
    const pair = new BinaryWriter();
    pair.tag(1, WireType.LengthDelimited).bytes(key).tag(2, WireType.LengthDelimited).bytes(value);
    return (to) => to.tag(number, WireType.LengthDelimited).bytes(pair.finish());
  });
  return fc.array(entry, { maxLength: tame ? 1 : 3 }).map(inTurn);
}
