/** What bodies that are much work have in common over both protocols. */
import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import { boundsOf, type FieldBounds, isTextInJson } from '@caudal/rpc/schema/bounds.ts';

/** A body, and what it is made of. */
export interface Heavy {
  kind: string;
  bytes: Buffer;
}

/** A unit again and again. */
export interface Filling {
  unit: Buffer;
  length: number;
}

/** A part of a body. */
export type Part = string | Buffer | Filling;

/** This unit again and again, of at most this size. */
export function filled(text: string | Buffer, size: number): Filling {
  const unit = Buffer.from(text as string);
  return { unit, length: Math.max(0, Math.floor(size / unit.length)) * unit.length };
}

/** Where all bodies are made: to make four mebibytes anew for each costs more than to read them. */
const scratch = Buffer.alloc(4 * 2 ** 20);

/** These parts one after the other, up to this size. The next body takes its place. */
export function composed(size: number, ...parts: Part[]): Buffer {
  let length = 0;
  for (const part of parts) {
    const room = Math.max(0, size - length);
    if (typeof part === 'string') length += scratch.write(part, length, room);
    else if (Buffer.isBuffer(part)) length += part.copy(scratch, length, 0, room);
    else {
      const end = length + Math.min(part.length, room);
      scratch.fill(part.unit, length, end);
      length = end;
    }
  }
  return scratch.subarray(0, length);
}

const lists = new Map<string, Buffer>();

/** Parts that all differ, of at least this size. `name`: of what `make` makes. */
export function numbered(name: string, make: (n: number) => string | Buffer, size: number): Buffer {
  const key = `${name} ${size}`;
  const known = lists.get(key);
  if (known) return known;
  const parts: Buffer[] = [];
  let length = 0;
  for (let n = 0; length < size; n++) {
    const part = Buffer.from(make(n) as string);
    parts.push(part);
    length += part.length;
  }
  const made = Buffer.concat(parts);
  lists.set(key, made);
  return made;
}

export interface Place {
  /** The way to a field, through messages and lists of messages. */
  path: DescField[];
  of: FieldBounds;
}

/** A place for each kind of field of a message, at each depth: fields of the same kind and bounds are read alike. */
export function placesOf(type: DescMessage): Place[] {
  const places = new Map<string, Place>();
  const visit = (within: DescMessage, before: DescField[]) => {
    for (const field of within.fields) {
      const of = boundsOf(within).byNumber.get(field.number)!;
      const path = [...before, field];
      const text = field.message ? isTextInJson(of) && field.message.typeName : of.kind;
      const key = [path.length, text, of.isMap, of.items, of.characters === undefined, before.at(-1)?.name].join();
      if (!places.has(key)) places.set(key, { path, of });
      if (of.type && !isTextInJson(of) && path.length < 4) visit(field.message!, path);
    }
  };
  visit(type, []);
  return [...places.values()];
}

/** A document with the most of everything that the contract allows. */
export function largestJson(type: DescMessage): Record<string, unknown> {
  const json: Record<string, unknown> = {};
  const chosen = new Set<string>();
  for (const field of type.fields) {
    if (field.oneof && !field.proto.proto3Optional) {
      if (chosen.has(field.oneof.name)) continue;
      chosen.add(field.oneof.name);
    }
    json[field.jsonName] = mostOf(field, boundsOf(type).byNumber.get(field.number)!);
  }
  return json;
}

function mostOf(field: DescField, of: FieldBounds): unknown {
  const several = <T>(make: (place: number) => T) => Array.from({ length: of.items! }, (_, place) => make(place));
  if (of.isMap) return Object.fromEntries(several((n) => [`key-${n}`, 'v'.repeat(500)]));
  const one = (place: number): unknown => {
    if (of.type) return isTextInJson(of) ? (wellKnown[field.message!.typeName] ?? {}) : largestJson(field.message!);
    if (field.enum) return field.enum.values.at(-1)!.name;
    // Base64 has four characters for three bytes.
    if (field.scalar === ScalarType.BYTES) return 'QUJD'.repeat(500);
    if (of.kind === 'text') return textOf(field.name, of.characters, place);
    return field.scalar === 8 ? true : '1';
  };
  return of.items === undefined ? one(0) : several(one);
}

const wellKnown: Record<string, unknown> = {
  'google.protobuf.Timestamp': '2026-01-31T12:00:00.123456789Z',
  'google.protobuf.Duration': '900s',
  'google.protobuf.FieldMask': Array.from({ length: 200 }, () => 'name').join(','),
};

/** As long as it may be, and different in each place. */
function textOf(name: string, characters: number | undefined, place: number): string {
  if (name === 'currency') return 'GBP';
  if (name === 'request_id') return '0190d6f0-1c5e-7b3a-9f00-000000000000';
  const most = characters ?? 2_000;
  return `${place}-`.padEnd(most, 'é').slice(0, most);
}
