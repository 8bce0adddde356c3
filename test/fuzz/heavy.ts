/** What bodies that are much work have in common over both protocols. */
import type { DescField, DescMessage } from '@bufbuild/protobuf';
import { boundsOf, isTextInJson } from '@caudal/rpc/schema/bounds.ts';

/** A body, and what it is made of. */
export interface Heavy {
  kind: string;
  bytes: Buffer;
}

/** This text again and again, of at most this length. */
export const filled = (text: string, length: number): string =>
  text.repeat(Math.max(0, Math.floor(length / text.length)));

const maxNesting = 4;

/** The ways to all fields of a message, through messages and lists of messages. */
export function placesOf(type: DescMessage, before: DescField[] = []): DescField[][] {
  if (before.length >= maxNesting) return [];
  return type.fields.flatMap((field) => {
    const place = [...before, field];
    const nested =
      field.message && field.fieldKind !== 'map' && !isWellKnown(field) ? placesOf(field.message, place) : [];
    return [place, ...nested];
  });
}

const isWellKnown = ({ message }: DescField) => message?.typeName.startsWith('google.protobuf.') ?? false;

/** A document with the most of everything that the contract allows. */
export function largestJson(type: DescMessage): Record<string, unknown> {
  const json: Record<string, unknown> = {};
  const chosen = new Set<string>();
  for (const field of type.fields) {
    if (field.oneof && !field.proto.proto3Optional) {
      if (chosen.has(field.oneof.name)) continue;
      chosen.add(field.oneof.name);
    }
    const of = boundsOf(type).byNumber.get(field.number)!;
    const one = (place: number): unknown => {
      if (field.message && field.fieldKind !== 'map') {
        if (!isTextInJson(of)) return largestJson(field.message);
        return wellKnown[field.message.typeName] ?? {};
      }
      if (field.enum) return field.enum.values.at(-1)!.name;
      if (of.kind === 'text') return textOf(field.name, of.characters, place);
      return field.scalar === 8 ? true : '1';
    };
    if (field.fieldKind === 'list') json[field.jsonName] = Array.from({ length: of.items! }, (_, place) => one(place));
    else if (field.fieldKind === 'map')
      json[field.jsonName] = Object.fromEntries(
        Array.from({ length: of.items! }, (_, n) => [`key-${n}`, 'v'.repeat(500)]),
      );
    else json[field.jsonName] = one(0);
  }
  return json;
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
  const unit = `${place}-`;
  return unit.padEnd(Math.min(characters ?? 2_000, 4_000), 'é').slice(0, characters ?? 2_000);
}
