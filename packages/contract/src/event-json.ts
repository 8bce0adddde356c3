/** Events for people to read: decoded by what the contract says of them, and with what is personal taken out. */
import { fromBinary, type JsonObject, toBinary, toJson } from '@bufbuild/protobuf';
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';
import { contract } from './descriptors.ts';
import type { EncodedEvent, Entity } from './entity.ts';
import { protectionsOf } from './personal.ts';
import { unionOf } from './unions.ts';

/** What stands in the place of a personal text. */
const hidden = '***';

/** The fields of an event, as the contract's JSON spells them. Throws on what can't be decoded. */
export function eventJson(entity: Entity, event: EncodedEvent): JsonObject {
  const { union, message, $case } = read(entity, event);
  const json = toJson(union, message, { registry: contract().registry }) as JsonObject;
  const fields = json[$case] as JsonObject;
  // A field of the default value is left out, and stays so.
  return Object.assign(fields, protectionsOf(entity.name).get($case)?.open(fields));
}

/**
 * The same event without its personal fields: texts become `***`, others are left out. Throws on what can't be
 * decoded.
 */
export function withoutPersonal<E extends EncodedEvent>(entity: Entity, event: E): E {
  const { union, message, schemaVersion } = read(entity, event);
  hidePersonal(reflect(union, message));
  return { ...event, schemaVersion, data: toBinary(union, message) };
}

/** The union's message, read from the event's bytes. */
function read(entity: Entity, event: EncodedEvent) {
  const union = unionOf(entity.name);
  if (!union) throw new Error(`No message of the contract says that it has the events of ${entity.name}.`);
  const { schemaVersion, data } = entity.upcast(event);
  const message = fromBinary(union, data);
  const fields = reflect(union, message);
  const field = fields.fields.find((candidate) => fields.isSet(candidate));
  if (!field) throw new Error(`${event.type} is no event of ${entity.name} that this code knows`);
  return { union, message, schemaVersion, $case: field.localName };
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
