/** Messages of gRPC that are as much work as possible for their size. */
import type { DescField, DescMessage } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { jsonToBytes } from '@caudal/rpc/rest/transcode.ts';
import { boundsOf } from '@caudal/rpc/schema/bounds.ts';
import { type Heavy, largestJson, placesOf } from './heavy.ts';

const tag = (number: number, wireType: WireType): Buffer =>
  Buffer.from(new BinaryWriter().uint32(((number << 3) | wireType) >>> 0).finish());
const length = (bytes: number): Buffer => Buffer.from(new BinaryWriter().uint32(bytes).finish());
const varint = (value: bigint): Buffer => Buffer.from(new BinaryWriter().uint64(value).finish());

/** These bytes again and again, of at most this size. */
const filled = (bytes: Buffer, size: number) =>
  Buffer.alloc(Math.max(0, Math.floor(size / bytes.length)) * bytes.length, bytes);
const delimited = (number: number, content: Buffer) =>
  Buffer.concat([tag(number, WireType.LengthDelimited), length(content.length), content]);

/** All kinds for a message, each of about this many bytes. */
export function heavyWire(type: DescMessage, size: number): Heavy[] {
  const bodies: Heavy[] = [];
  const add = (kind: string, bytes: Buffer) => bodies.push({ kind, bytes: bytes.subarray(0, size) });
  const free = 15;

  add('zeros', Buffer.alloc(size));
  add('ones', Buffer.alloc(size, 0xff));
  add('unknown numbers', filled(Buffer.concat([tag(free, WireType.Varint), varint(1n)]), size));
  add('unknown long numbers', filled(Buffer.concat([tag(free, WireType.Varint), varint(2n ** 64n - 1n)]), size));
  add('unknown empty texts', filled(delimited(free, Buffer.of()), size));
  add('unknown fields of 32 bits', filled(Buffer.concat([tag(free, WireType.Bit32), Buffer.alloc(4)]), size));
  add('a long unknown text', delimited(free, Buffer.alloc(size - 8, 0x78)));
  add('open groups', filled(tag(free, WireType.StartGroup), size));
  const half = filled(tag(free, WireType.StartGroup), size / 2);
  add('closed groups', Buffer.concat([half, filled(tag(free, WireType.EndGroup), half.length)]));
  add('a tag of many bytes', filled(Buffer.from([0x80]), size));
  add('messages in messages', nested(free, size));

  for (const place of placesOf(type)) {
    const field = place.at(-1)!;
    const of = boundsOf(field.parent).byNumber.get(field.number)!;
    const name = place.map(({ name: step }) => step).join('.');
    const within = (content: Buffer) => wrapped(place.slice(0, -1), content);
    const room = size - 8 * place.length;
    const { number } = field;
    add(`empty values of ${name}`, within(filled(delimited(number, Buffer.of()), room)));
    add(`short values of ${name}`, within(filled(delimited(number, Buffer.from([0x0a, 0x00])), room)));
    add(`numbers in ${name}`, within(filled(Buffer.concat([tag(number, WireType.Varint), varint(1n)]), room)));
    add(
      `long numbers in ${name}`,
      within(filled(Buffer.concat([tag(number, WireType.Varint), varint(2n ** 63n)]), room)),
    );
    add(`packed numbers in ${name}`, within(delimited(number, Buffer.alloc(room - 8, 1))));
    add(`packed numbers that go on in ${name}`, within(delimited(number, Buffer.alloc(room - 8, 0x80))));
    add(`itself in ${name}`, within(nested(number, room)));
    add(`groups in ${name}`, within(filled(tag(number, WireType.StartGroup), room)));
    add(
      `a message of unknown fields in ${name}`,
      within(delimited(number, filled(Buffer.concat([tag(free, WireType.Varint), varint(1n)]), room - 8))),
    );
    for (const [kind, unit] of [
      ['ASCII', 'x'],
      ['two bytes a character', 'é'],
      ['four bytes a character', '\u{1f600}'],
    ] as const)
      add(`${kind} in ${name}`, within(delimited(number, filled(Buffer.from(unit), room - 8))));
    add(`no UTF-8 in ${name}`, within(delimited(number, Buffer.alloc(room - 8, 0xff))));
    if (of.isMap) add(`entries of ${name}`, within(entries(number, room)));
  }
  const whole = Buffer.from(jsonToBytes(type, largestJson(type)));
  add('the largest valid one', whole);
  add('the largest valid one, cut off', whole.subarray(0, -1));
  add('the largest valid one, twice', Buffer.concat([whole, whole]));
  return bodies;
}

function wrapped(place: DescField[], content: Buffer): Buffer {
  return place.reduceRight((inner, { number }) => delimited(number, inner), content);
}

/** Messages of one field within each other. Lengths are written from the inside out, so it is made backwards. */
function nested(number: number, size: number): Buffer {
  const parts: Buffer[] = [];
  let inner = 0;
  while (inner < size - 16) {
    const head = Buffer.concat([tag(number, WireType.LengthDelimited), length(inner)]);
    parts.push(head);
    inner += head.length;
  }
  return Buffer.concat(parts.reverse());
}

function entries(number: number, size: number): Buffer {
  const parts: Buffer[] = [];
  let made = 0;
  for (let n = 0; made < size - 32; n++) {
    const part = delimited(number, Buffer.concat([delimited(1, Buffer.from(`k${n}`)), delimited(2, Buffer.from('v'))]));
    parts.push(part);
    made += part.length;
  }
  return Buffer.concat(parts);
}
