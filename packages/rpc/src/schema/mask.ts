/**
 * Field masks (AIP-157): a request's `read_mask` selects fields of the answer. For lists it selects fields of each
 * resource: in a response with a `next_page_token`, the mask applies to the first repeated message.
 */
import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import { type Fields, oneofPropertyOf, propertyOf } from './field-names.ts';
import { invalidRequest } from './validation.ts';

/** The fields to keep, by their names in the contract. `all` keeps everything below a field. */
export interface Mask {
  fields: Map<string, Mask | 'all'>;
}

/** The mask of a request; undefined keeps the whole answer. */
export type ReadMask = (request: unknown) => Mask | undefined;

const wellKnown = (type: DescMessage) => type.typeName.startsWith('google.protobuf.');

/** In the answer of a list method, the field with the resources. */
const listIn = (response: DescMessage): DescField | undefined =>
  response.fields.some(({ name }) => name === 'next_page_token')
    ? response.fields.find((candidate) => candidate.fieldKind === 'list' && candidate.listKind === 'message')
    : undefined;

/** The message whose fields a `read_mask` names. */
export const maskedMessage = (response: DescMessage): DescMessage => listIn(response)?.message ?? response;

/** Reads a method's `read_mask`; undefined if its request has none. */
export function readMask(request: DescMessage, response: DescMessage): ReadMask | undefined {
  const field = request.fields.find(({ name }) => name === 'read_mask');
  if (field?.message?.typeName !== 'google.protobuf.FieldMask') return undefined;
  const property = propertyOf(field);
  const list = listIn(response);
  const resource = maskedMessage(response);
  return (message) => {
    const paths = (message as Fields)[property] as string[] | undefined;
    if (!paths || paths.length === 0 || paths.includes('*')) return undefined;
    const mask = parse(resource, paths, field.name);
    if (!list) return mask;
    const kept = response.fields.map(({ name }): [string, Mask | 'all'] => [name, name === list.name ? mask : 'all']);
    return { fields: new Map(kept) };
  };
}

function parse(type: DescMessage, paths: string[], name: string): Mask {
  const mask: Mask = { fields: new Map() };
  const wrong: string[] = [];
  for (const path of paths) {
    if (!include(mask, type, path.split('.'))) wrong.push(path);
  }
  if (wrong.length > 0) {
    throw invalidRequest(
      wrong.map((path) => ({
        field: name,
        description: `names "${path.slice(0, 100)}", which is not a field of ${type.name}`,
      })),
    );
  }
  return mask;
}

function include(mask: Mask, type: DescMessage, steps: string[]): boolean {
  const [name = '', ...rest] = steps;
  const field = type.fields.find((candidate) => candidate.name === name);
  if (!field) return false;
  if (rest.length === 0) {
    mask.fields.set(name, 'all');
    return true;
  }
  if (!field.message || wellKnown(field.message)) return false;
  const before = mask.fields.get(name);
  const nested: Mask = before && before !== 'all' ? before : { fields: new Map() };
  if (!include(nested, field.message, rest)) return false;
  if (before !== 'all') mask.fields.set(name, nested);
  return true;
}

/** A ts-proto message with only the fields of the mask. The others have the value of an absent field. It is a copy. */
export function applyMask(type: DescMessage, message: Fields, mask: Mask): Fields {
  const kept: Fields = {};
  for (const member of type.members) {
    if (member.kind === 'oneof') {
      const property = oneofPropertyOf(member);
      const chosen = message[property] as { $case: string; value: unknown } | undefined;
      const field = member.fields.find((candidate) => propertyOf(candidate) === chosen?.$case);
      const below = field && mask.fields.get(field.name);
      kept[property] = below && {
        $case: chosen!.$case,
        value: below === 'all' ? chosen!.value : within(field, chosen!.value, below),
      };
    } else {
      const property = propertyOf(member);
      const below = mask.fields.get(member.name);
      if (!below) kept[property] = absent(member);
      else kept[property] = below === 'all' ? message[property] : within(member, message[property], below);
    }
  }
  return kept;
}

function within(field: DescField, value: unknown, mask: Mask): unknown {
  if (value === undefined || !field.message) return value;
  const type = field.message;
  if (field.fieldKind === 'list') return (value as Fields[]).map((item) => applyMask(type, item, mask));
  return applyMask(type, value as Fields, mask);
}

/** The value that ts-proto has for a field that is not on the wire. */
function absent(field: DescField): unknown {
  if (field.fieldKind === 'list') return [];
  if (field.fieldKind === 'map') return {};
  if (field.fieldKind === 'message' || field.proto.proto3Optional) return undefined;
  if (field.fieldKind === 'enum') return 0;
  return zeros[field.scalar] ?? 0;
}

const zeros: Partial<Record<ScalarType, unknown>> = {
  [ScalarType.STRING]: '',
  [ScalarType.BOOL]: false,
  [ScalarType.BYTES]: new Uint8Array(),
  [ScalarType.INT64]: 0n,
  [ScalarType.UINT64]: 0n,
  [ScalarType.SINT64]: 0n,
  [ScalarType.FIXED64]: 0n,
  [ScalarType.SFIXED64]: 0n,
};

/** Removes fields outside the mask from JSON. There zero values are written, and would look like real values. */
export function maskJson(type: DescMessage, json: unknown, mask: Mask): unknown {
  if (Array.isArray(json)) return json.map((item) => maskJson(type, item, mask));
  if (typeof json !== 'object' || json === null) return json;
  const kept: Fields = {};
  for (const field of type.fields) {
    const below = mask.fields.get(field.name);
    const value = (json as Fields)[field.jsonName];
    if (!below || value === undefined) continue;
    kept[field.jsonName] = below === 'all' || !field.message ? value : maskJson(field.message, value, below);
  }
  return kept;
}
