/** Messages of gRPC that are as much work as possible for their size. */
import type { DescField, DescMessage } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { jsonToBytes } from '@caudal/rpc/rest/transcode.ts';
import { composed, type Filling, filled, type Heavy, largestJson, numbered, type Part, placesOf } from './heavy.ts';

const tag = (number: number, wireType: WireType): Buffer =>
  Buffer.from(new BinaryWriter().uint32(((number << 3) | wireType) >>> 0).finish());
const length = (bytes: number): Buffer => Buffer.from(new BinaryWriter().uint32(bytes).finish());
const varint = (number: number, value: bigint): Buffer =>
  Buffer.concat([tag(number, WireType.Varint), new BinaryWriter().uint64(value).finish()]);
const headOf = (number: number, bytes: number) => Buffer.concat([tag(number, WireType.LengthDelimited), length(bytes)]);
const delimited = (number: number, content: Buffer) => Buffer.concat([headOf(number, content.length), content]);

/** A field number that no message has. */
const free = 99;

/** All kinds for a message, each of at most this many bytes. */
export function* heavyWire(type: DescMessage, size: number): Generator<Heavy> {
  yield* ofAnyType(size);
  for (const { path, of } of placesOf(type)) {
    const name = path.map(({ name: step }) => step).join('.');
    const room = size - 8 * path.length;
    const { number } = path.at(-1)!;
    const at = (kind: string, ...content: Part[]): Heavy => ({
      kind: `${kind} ${name}`,
      bytes: composed(size, ...wrapped(path.slice(0, -1), content)),
    });
    const whole = (content: Filling) => [headOf(number, content.length), content];
    yield at('empty values of', filled(delimited(number, Buffer.of()), room));
    yield at('short values of', filled(delimited(number, Buffer.from([0x0a, 0x00])), room));
    yield at('numbers in', filled(varint(number, 1n), room));
    yield at('long numbers in', filled(varint(number, 2n ** 63n), room));
    yield at('packed numbers in', ...whole(filled(Buffer.of(1), room - 8)));
    yield at('packed numbers that go on in', ...whole(filled(Buffer.of(0x80), room - 8)));
    yield at('itself in', nested(number, room));
    yield at('groups in', filled(tag(number, WireType.StartGroup), room));
    yield at('a message of unknown fields in', ...whole(filled(varint(free, 1n), room - 8)));
    yield at('ASCII in', ...whole(filled('x', room - 8)));
    yield at('four bytes a character in', ...whole(filled('\u{1f600}', room - 8)));
    yield at('no UTF-8 in', ...whole(filled(Buffer.of(0xff), room - 8)));
    if (of.isMap) yield at('entries of', entries(number, room));
  }
  const whole = Buffer.from(jsonToBytes(type, largestJson(type)));
  for (const [kind, bytes] of [
    ['the largest valid one', whole],
    ['the largest valid one, cut off', whole.subarray(0, -1)],
    ['the largest valid one, twice', Buffer.concat([whole, whole])],
  ] as const)
    yield { kind, bytes: bytes.subarray(0, size) };
}

function* ofAnyType(size: number): Generator<Heavy> {
  yield { kind: 'zeros', bytes: composed(size, filled(Buffer.of(0), size)) };
  yield { kind: 'ones', bytes: composed(size, filled(Buffer.of(0xff), size)) };
  yield { kind: 'unknown numbers', bytes: composed(size, filled(varint(free, 1n), size)) };
  yield { kind: 'unknown long numbers', bytes: composed(size, filled(varint(free, 2n ** 64n - 1n), size)) };
  yield { kind: 'unknown empty texts', bytes: composed(size, filled(delimited(free, Buffer.of()), size)) };
  yield {
    kind: 'unknown fields of 32 bits',
    bytes: composed(size, filled(Buffer.concat([tag(free, WireType.Bit32), Buffer.alloc(4)]), size)),
  };
  yield { kind: 'a long unknown text', bytes: composed(size, headOf(free, size - 8), filled('x', size - 8)) };
  yield { kind: 'open groups', bytes: composed(size, filled(tag(free, WireType.StartGroup), size)) };
  yield { kind: 'a tag of many bytes', bytes: composed(size, filled(Buffer.of(0x80), size)) };
  yield { kind: 'messages in messages', bytes: nested(free, size) };
}

/** The messages around a value, as parts. */
function wrapped(path: DescField[], content: Part[]): Part[] {
  const parts = [...content];
  let bytes = content.reduce((sum, part) => sum + part.length, 0);
  for (const { number } of path.toReversed()) {
    const head = headOf(number, bytes);
    parts.unshift(head);
    bytes += head.length;
  }
  return parts;
}

const nests = new Map<string, Buffer>();

/** Messages of one field within each other. Lengths are written from the inside out, so it is made backwards. */
function nested(number: number, most: number): Buffer {
  // Deeper than any reader goes; four mebibytes of it take seconds to make.
  const size = Math.min(most, 16 * 1024);
  const key = `${number} ${size}`;
  const known = nests.get(key);
  if (known) return known;
  const bytes = Buffer.alloc(size);
  let begin = size;
  while (begin > 16) {
    const head = Buffer.concat([tag(number, WireType.LengthDelimited), length(size - begin)]);
    begin -= head.length;
    head.copy(bytes, begin);
  }
  const made = bytes.subarray(begin);
  nests.set(key, made);
  return made;
}

const entries = (number: number, size: number): Buffer =>
  numbered(
    `entries ${number}`,
    (n) => delimited(number, Buffer.concat([delimited(1, Buffer.from(`k${n}`)), delimited(2, Buffer.from('v'))])),
    size - 64,
  );
