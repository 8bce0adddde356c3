/** All forms of a method's request: with and without each optional field. */
import type { MethodContract } from '@caudal/contract/descriptors.ts';

/** The bound on optional fields: more would give too many combinations, so the method should be split. */
const mostFields = 8;
/** Fields of every list request, which add no condition. */
const paging = new Set(['page_size', 'page_token', 'read_mask', 'order_by']);

type Field = MethodContract['request']['fields'][number];

/** Requests in ts-proto's form, one per combination of the fields that are set. */
export function requestsOf({ request, path }: MethodContract): Record<string, unknown>[] {
  const optional = request.fields.filter(({ name }) => !paging.has(name));
  if (optional.length > mostFields) throw new Error(`${path} has ${optional.length} fields that can be left out.`);
  const rest = Object.fromEntries(request.fields.map((field) => [field.jsonName, emptyOf(field)]));
  return Array.from({ length: 2 ** optional.length }, (_, bits) => ({
    ...rest,
    ...Object.fromEntries(
      optional.filter((_, place) => bits & (1 << place)).map((field) => [field.jsonName, sampleOf(field)]),
    ),
  }));
}

function emptyOf(field: Field): unknown {
  if (field.fieldKind === 'list') return [];
  if (field.fieldKind === 'message' || field.presence === explicit) return undefined;
  return field.fieldKind === 'enum' ? field.enum.values[0]!.number : zeroOf(field);
}

/** `optional` in the contract: descriptor.proto's FieldPresence.EXPLICIT. */
const explicit = 1;

function zeroOf(field: Field): unknown {
  if (field.fieldKind !== 'scalar') return undefined;
  const value = sampleOf(field);
  if (typeof value === 'bigint') return 0n;
  if (typeof value === 'number') return 0;
  return typeof value === 'boolean' ? false : '';
}

function sampleOf(field: Field): unknown {
  if (field.fieldKind === 'list') return [field.listKind === 'enum' ? field.enum.values[1]!.number : 'some'];
  if (field.fieldKind === 'enum') return field.enum.values[1]!.number;
  if (field.fieldKind === 'message')
    return field.message.typeName === 'google.protobuf.Timestamp' ? new Date('2026-01-01T00:00:00Z') : {};
  if (field.fieldKind !== 'scalar') return undefined;
  switch (field.scalar) {
    case scalars.bool:
      return true;
    case scalars.string:
      return 'some';
    case scalars.int64:
    case scalars.uint64:
      return 1n;
    default:
      return 1;
  }
}

/** descriptor.proto's FieldDescriptorProto.Type. */
const scalars = { int64: 3, uint64: 4, bool: 8, string: 9 };
