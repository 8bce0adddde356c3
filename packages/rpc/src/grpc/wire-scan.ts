/**
 * Measures the bytes of a protobuf message before they are decoded: depth, items, lengths and unknown fields, by the bounds of
 * its type. It stops at the first excess. What the generated decoders read leniently is refused here, as protobuf's
 * specification has it: a message that ends within another, groups, the field number 0, numbers that are too long.
 */
import { ScalarType } from '@bufbuild/protobuf';
import { WireType } from '@bufbuild/protobuf/wire';
import {
  type FieldBounds,
  maxDepth,
  maxValues,
  overBound,
  overRule,
  overText,
  type Steps,
  type TypeBounds,
} from '../schema/bounds.ts';

/** The most bytes of one character in UTF-8. */
const bytesACharacter = 4;
const maxVarintBytes = 10;
/** Fields that this version does not know are ignored, so that newer clients can send them. */
const maxUnknown = 1_000;

/** Why bytes are no message: the caller is told only that they are none. */
export class NoMessage extends Error {}

/**
 * Throws INVALID_ARGUMENT, which names the first field that is too much, or NoMessage. `maxText`: the most bytes of a text without
 * a rule.
 */
export function scanMessage(type: TypeBounds, bytes: Uint8Array, maxText: number): void {
  const steps: Steps = [];
  let at = 0;
  let values = 0;
  let unknown = 0;

  /** The end of the varint that begins here; its low 32 bits are in `low`. */
  let low = 0;
  const passVarint = (end: number) => {
    low = 0;
    for (let shift = 0; shift < maxVarintBytes * 7; shift += 7) {
      if (at >= end) throw new NoMessage('it ends within a number');
      const byte = bytes[at++]!;
      if (shift < 28) low |= (byte & 0x7f) << shift;
      else if (shift === 28) low |= (byte & 0x0f) << 28;
      if (byte < 0x80) {
        low >>>= 0;
        return;
      }
    }
    throw new NoMessage('a number is too long');
  };

  const skip = (wireType: number, end: number) => {
    if (wireType === WireType.Varint) passVarint(end);
    else if (wireType === WireType.Bit64) at += 8;
    else if (wireType === WireType.Bit32) at += 4;
    else if (wireType === WireType.LengthDelimited) {
      passVarint(end);
      at += low;
    } else throw new NoMessage(`wire type ${wireType}`);
    if (at > end) throw new NoMessage('it ends within a field');
  };

  const count = () => {
    if (++values > maxValues)
      throw overBound(steps, `comes after ${maxValues} other values, more than any request has`);
  };

  /** The end of the length-delimited value that begins here. */
  const endOfValue = (end: number): number => {
    passVarint(end);
    if (at + low > end) throw new NoMessage('it ends within a field');
    return at + low;
  };

  const passText = (of: FieldBounds, characters: number | undefined, end: number) => {
    const stop = endOfValue(end);
    if (characters === undefined) {
      if (stop - at > maxText) throw overText(steps, maxText);
    } else if (stop - at > characters * bytesACharacter) throw overRule(steps, of);
    at = stop;
  };

  /** Items of a packed list. */
  const passPacked = (of: FieldBounds, end: number): number => {
    const stop = endOfValue(end);
    const size = packedSize(of);
    // Before the bytes are looked at: no item has more than ten.
    if (stop - at > of.items! * (size || maxVarintBytes)) throw overRule(steps, of);
    let items = size ? Math.ceil((stop - at) / size) : 0;
    if (!size) for (let place = at; place < stop; place++) if (bytes[place]! < 0x80) items++;
    values += items;
    at = stop;
    return items;
  };

  /** An entry of a map: its key and its value, which have no rules of their own. */
  const passEntry = (of: FieldBounds, end: number) => {
    const stop = endOfValue(end);
    while (at < stop) {
      passVarint(stop);
      const number = low >>> 3;
      if (number === 0) throw new NoMessage('field number 0');
      count();
      if (number <= 2 && (low & 7) === WireType.LengthDelimited) passText(of, undefined, stop);
      else skip(low & 7, stop);
    }
  };

  const passMessage = (within: TypeBounds, end: number, depth: number): void => {
    if (depth > maxDepth) throw overBound(steps, `is nested more than ${maxDepth} levels deep`);
    let items: Map<FieldBounds, number> | undefined;
    while (at < end) {
      passVarint(end);
      const tag = low;
      const wireType = tag & 7;
      if (tag >>> 3 === 0) throw new NoMessage('field number 0');
      const of = within.byNumber.get(tag >>> 3);
      if (!of || !fits(of, wireType)) {
        if (++unknown > maxUnknown) throw overBound(steps, `has more than ${maxUnknown} unknown fields`);
        skip(wireType, end);
        continue;
      }
      count();
      steps.push(of.name);
      if (of.items !== undefined) {
        items ??= new Map();
        const before = items.get(of) ?? 0;
        const isPacked = wireType === WireType.LengthDelimited && of.kind === 'short';
        if (!isPacked && before >= of.items) throw overRule(steps, of);
        const added = isPacked ? passPacked(of, end) : 1;
        if (before + added > of.items) throw overRule(steps, of);
        items.set(of, before + added);
        if (!isPacked) passItem(of, wireType, before, end, depth);
      } else passOne(of, wireType, end, depth);
      steps.pop();
    }
  };

  const passItem = (of: FieldBounds, wireType: number, place: number, end: number, depth: number) => {
    if (of.isMap) {
      passEntry(of, end);
      return;
    }
    steps.push(place);
    passOne(of, wireType, end, depth);
    steps.pop();
  };

  const passOne = (of: FieldBounds, wireType: number, end: number, depth: number) => {
    if (of.kind === 'message') passMessage(of.type!, endOfValue(end), depth + 1);
    else if (of.kind === 'text') passText(of, of.characters, end);
    else {
      skip(wireType, end);
      if (of.isNanos && !isWithinSecond(of, low | 0))
        throw overBound(steps, `must be from ${mayBeBelowZero(of) ? -999_999_999 : 0} to 999999999`);
    }
  };

  passMessage(type, bytes.length, 1);
}

/** Whether the decoder reads the field from this wire type. Otherwise it takes it for an unknown one. */
function fits(of: FieldBounds, wireType: number): boolean {
  if (of.isMap || of.kind !== 'short') return wireType === WireType.LengthDelimited;
  if (wireType === WireType.LengthDelimited) return of.items !== undefined;
  const size = packedSize(of);
  return wireType === (size === 8 ? WireType.Bit64 : size === 4 ? WireType.Bit32 : WireType.Varint);
}

const mayBeBelowZero = ({ field }: FieldBounds) => field.parent.typeName === 'google.protobuf.Duration';

function isWithinSecond(of: FieldBounds, nanos: number): boolean {
  return (nanos >= 0 || mayBeBelowZero(of)) && Math.abs(nanos) <= 999_999_999;
}

/** The bytes of each packed item; 0 if they differ. */
function packedSize({ field: { scalar } }: FieldBounds): number {
  switch (scalar) {
    case ScalarType.DOUBLE:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return 8;
    case ScalarType.FLOAT:
    case ScalarType.FIXED32:
    case ScalarType.SFIXED32:
      return 4;
    default:
      return 0;
  }
}
