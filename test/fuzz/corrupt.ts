/** Damage to messages on the wire, as by a broken client, a broken network or an attacker. */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import fc from 'fast-check';

type Damage = (bytes: Uint8Array) => Uint8Array;

/** A place in a message of any length. */
const place = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
const at = (bytes: Uint8Array, where: number) => Math.floor(where * bytes.length);
const joined = (...parts: Uint8Array[]) => Buffer.concat(parts);

const varint = (value: bigint) => new BinaryWriter().uint64(value).finish();
/** Field numbers: those of small messages, reserved ones, the largest, one that is too large, and 0. */
const fieldNumber = fc.constantFrom(1, 2, 3, 4, 5, 8, 16, 999, 19_000, 536_870_911, 0);
const tag = (number: number, wireType: number) => varint(BigInt(number) * 8n + BigInt(wireType));

/** Lengths other than the message's. */
const lengths = fc.constantFrom(
  1n,
  127n,
  2n ** 16n,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 63n,
  2n ** 64n - 1n,
);

const flipBit = fc.tuple(place, fc.nat({ max: 7 })).map(
  ([where, bit]): Damage =>
    (bytes) => {
      const copy = Uint8Array.from(bytes);
      if (copy.length > 0) copy[at(copy, where)]! ^= 1 << bit;
      return copy;
    },
);
const cutOff = place.map(
  (where): Damage =>
    (bytes) =>
      bytes.slice(0, at(bytes, where)),
);
const repeatAll = fc.constant<Damage>((bytes) => joined(bytes, bytes));
const repeatPart = fc.tuple(place, place).map(
  ([from, to]): Damage =>
    (bytes) => {
      const [begin, end] = [at(bytes, from), at(bytes, to)].sort((a, b) => a - b) as [number, number];
      return joined(bytes.slice(0, end), bytes.slice(begin));
    },
);
const removePart = fc.tuple(place, fc.nat({ max: 4 })).map(
  ([where, count]): Damage =>
    (bytes) =>
      joined(bytes.slice(0, at(bytes, where)), bytes.slice(at(bytes, where) + count)),
);
const append =
  (bytes: Uint8Array): Damage =>
  (before) =>
    joined(before, bytes);
const giantLength = fc
  .tuple(fieldNumber, lengths)
  .map(([number, length]) => append(joined(tag(number, WireType.LengthDelimited), varint(length), Buffer.from('ab'))));
/** A field with the right number and any type, with bytes that may or may not fit. */
const strayField = fc
  .tuple(fieldNumber, fc.nat({ max: 7 }), fc.uint8Array({ maxLength: 12 }))
  .map(([number, wireType, bytes]) => append(joined(tag(number, wireType), bytes)));
const endlessVarint = fieldNumber.map((number) => append(joined(tag(number, WireType.Varint), Buffer.alloc(12, 0xff))));
/** Deeply nested groups and messages: a recursive reader runs out of stack. */
const deep = fc
  .tuple(fieldNumber, fc.constantFrom(10, 100, 1_000, 20_000), fc.boolean(), fc.boolean())
  .map(([number, depth, groups, closed]) => append(groups ? nestedGroups(number, depth, closed) : nestedFields(depth)));

function nestedGroups(number: number, depth: number, closed: boolean): Uint8Array {
  const repeated = (bytes: Uint8Array) => Buffer.alloc(bytes.length * depth, bytes);
  return joined(
    repeated(tag(number, WireType.StartGroup)),
    closed ? repeated(tag(number, WireType.EndGroup)) : Buffer.of(),
  );
}

function nestedFields(depth: number): Uint8Array {
  let bytes: Uint8Array = new Uint8Array();
  // Each level copies all levels within it.
  for (let level = 0; level < Math.min(depth, 1_000); level++)
    bytes = joined(tag(1, WireType.LengthDelimited), varint(BigInt(bytes.length)), bytes);
  return bytes;
}

const damage = fc.oneof(
  { weight: 6, arbitrary: flipBit },
  ...[cutOff, repeatAll, repeatPart, removePart, giantLength, strayField, endlessVarint, deep].map((arbitrary) => ({
    weight: 2,
    arbitrary,
  })),
);

/** These messages with one to four faults in their structure. */
export const damaged = (message: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Uint8Array> =>
  fc
    .tuple(message, fc.array(damage, { minLength: 1, maxLength: 4 }))
    .map(([bytes, damages]) => damages.reduce((before, change) => change(before), bytes));

/** Bytes that are not a message. */
export const noise = fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.uint8Array({ minLength: 1_000, maxLength: 4_000 }));
