/** Valid events of all cases of the contract, made from its descriptors, and events that only a newer version has. */
import { create, type DescField, type DescMessage, type DescOneof, ScalarType, toBinary } from '@bufbuild/protobuf';
import { type Entity, type EventCase, NewerEvent, typeOf } from '@caudal/contract/entity.ts';
import { unionOf } from '@caudal/contract/unions.ts';

/** A case that no version of the contract has. */
export const unknownCase: EventCase = { $case: 'exploded', value: {} };

/** The bytes of an event that only a newer version knows, as the log may hold them. */
export function unknownEncoded(entity: Entity): { type: string; schemaVersion: number; data: Uint8Array } {
  // Field 1000 of the union, with an empty message.
  return { type: typeOf(entity.name, unknownCase.$case), schemaVersion: 1, data: Uint8Array.of(0xc2, 0x3e, 0x00) };
}

/**
 * Events of an entity, in the contract's order. Each case has all fields set, and is repeated until each alternative of
 * its unions was set. Throws if the contract has no such entity.
 */
export function sampleEvents<E extends EventCase>(entity: Entity<E>): E[] {
  const union = unionOf(entity.name);
  if (!union) throw new Error(`No message of the contract is the union of ${entity.name}'s events.`);
  return union.fields.flatMap((field) => {
    const ways = waysOf(field.message!, new Set());
    return Array.from({ length: ways }, (_, way) => decoded(entity, union, field, way));
  });
}

function decoded<E extends EventCase>(entity: Entity<E>, union: DescMessage, field: DescField, way: number): E {
  const value = sampleOf(field.message!, way, 0);
  const message = create(union, { [field.oneof!.localName]: { case: field.localName, value } } as never);
  const type = typeOf(entity.name, field.localName);
  return entity.decode({ type, schemaVersion: currentVersion(entity, type), data: toBinary(union, message) });
}

/** The contract's schema version of a type: the one after it is refused as newer. */
function currentVersion({ upcast }: Pick<Entity, 'upcast'>, type: string): number {
  for (let version = 1; ; version++) {
    try {
      upcast({ type, schemaVersion: version + 1, data: new Uint8Array() });
    } catch (error) {
      if (error instanceof NewerEvent) return version;
    }
  }
}

/** The number of samples that set each field of each union in the message at least once. */
function waysOf(type: DescMessage, above: Set<DescMessage>): number {
  if (above.has(type)) return 1;
  const inner = type.fields.map((field) => (field.message ? waysOf(field.message, new Set([...above, type])) : 1));
  return Math.max(1, ...type.oneofs.map(({ fields }) => fields.length), ...inner);
}

const deepest = 5;

function sampleOf(type: DescMessage, way: number, depth: number): object {
  if (type.typeName === 'google.protobuf.Timestamp') return create(type, { seconds: 1_767_225_600n } as never);
  if (type.typeName === 'google.protobuf.Duration') return create(type, { seconds: 60n } as never);
  const values: Record<string, unknown> = {};
  for (const member of depth < deepest ? type.members : []) {
    if (member.kind === 'oneof') values[member.localName] = oneofSample(member, way, depth);
    else values[member.localName] = fieldSample(member, way, depth);
  }
  return create(type, values as never);
}

function oneofSample({ fields }: DescOneof, way: number, depth: number): object {
  const field = fields[way % fields.length]!;
  return { case: field.localName, value: fieldSample(field, way, depth) };
}

function fieldSample(field: DescField, way: number, depth: number): unknown {
  switch (field.fieldKind) {
    case 'scalar':
      return scalarSample(field.scalar, field.name);
    case 'enum':
      // The first value of an enum means "unspecified".
      return field.enum.values.at(-1)!.number;
    case 'message':
      return sampleOf(field.message, way, depth + 1);
    case 'list':
      if (field.listKind === 'message') return [sampleOf(field.message, way, depth + 1)];
      return [field.listKind === 'enum' ? field.enum.values.at(-1)!.number : scalarSample(field.scalar, field.name)];
    case 'map': {
      const key = scalarSample(field.mapKey, field.name);
      if (field.mapKind === 'message') return { [String(key)]: sampleOf(field.message, way, depth + 1) };
      const value =
        field.mapKind === 'enum' ? field.enum.values.at(-1)!.number : scalarSample(field.scalar, field.name);
      return { [String(key)]: value };
    }
  }
}

function scalarSample(scalar: ScalarType, name: string): unknown {
  switch (scalar) {
    case ScalarType.STRING:
      return name === 'currency' ? 'GBP' : name;
    case ScalarType.BOOL:
      return true;
    case ScalarType.BYTES:
      return Uint8Array.of(1);
    case ScalarType.INT64:
    case ScalarType.UINT64:
    case ScalarType.SINT64:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return 7n;
    default:
      return 7;
  }
}
