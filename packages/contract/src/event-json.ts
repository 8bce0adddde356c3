/** Events for people to read: decoded by what the contract says of them, and with what is personal taken out. */
import { type DescMessage, fromBinary, type JsonObject, toBinary, toJson } from '@bufbuild/protobuf';
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';
import { contract } from './descriptors.ts';
import type { EncodedEvent, Entity } from './entity.ts';

/** What stands in the place of a personal text. */
const hidden = '***';

/** The fields of an event, as the contract's JSON spells them. Throws on what can't be decoded. */
export function eventJson(entity: Entity, event: EncodedEvent): JsonObject {
  const union = unionOf(entity);
  // What `decode` gives is of the current schema version, whatever version the event was written in.
  const { data } = entity.encode(entity.decode(event));
  const json = toJson(union, fromBinary(union, data), { registry: contract().registry }) as JsonObject;
  return Object.values(json)[0] as JsonObject;
}

/**
 * The same event without its personal fields: texts become `***`, others are left out. Throws on what can't be
 * decoded.
 */
export function withoutPersonal<E extends EncodedEvent>(entity: Entity, event: E): E {
  const union = unionOf(entity);
  const { schemaVersion, data } = entity.encode(entity.decode(event));
  const message = fromBinary(union, data);
  hidePersonal(reflect(union, message));
  return { ...event, schemaVersion, data: toBinary(union, message) };
}

const unions = new Map<string, DescMessage>();

/** The message that has all events of an entity: the one that says `(caudal.entity)`. */
function unionOf({ name }: Entity): DescMessage {
  if (unions.size === 0) {
    const { registry, entityOf } = contract();
    for (const type of registry) if (type.kind === 'message' && entityOf(type)) unions.set(entityOf(type), type);
  }
  const union = unions.get(name);
  if (!union) throw new Error(`No message of the contract says that it has the events of ${name}.`);
  return union;
}

function hidePersonal(message: ReflectMessage): void {
  for (const field of message.fields.filter((candidate) => message.isSet(candidate))) {
    if (contract().isPersonal(field)) {
      if (field.fieldKind === 'scalar' && typeof message.get(field) === 'string') message.set(field, hidden);
      else message.clear(field);
    } else if (field.fieldKind === 'message') {
      hidePersonal(message.get(field));
    } else if (field.fieldKind === 'list' && field.listKind === 'message') {
      for (const item of message.get(field)) hidePersonal(item as ReflectMessage);
    } else if (field.fieldKind === 'map' && field.mapKind === 'message') {
      for (const [, item] of message.get(field)) hidePersonal(item as ReflectMessage);
    }
  }
}
