/** Events in readable form: decoded with the contract's descriptors, and with personal data removed. */
import { fromBinary, type JsonObject, toBinary, toJson } from '@bufbuild/protobuf';
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';
import { contract } from './descriptors.ts';
import type { EncodedEvent, Entity } from './entity.ts';
import { protectionsOf } from './personal.ts';
import { unionOf } from './unions.ts';

/** The text in place of a personal text. */
const hidden = '***';

/** The fields of an event, named as in the contract's JSON; sealed texts are `[sealed]`. Throws if the event can't be decoded. */
export function eventJson(entity: Entity, event: EncodedEvent): JsonObject {
  const { union, message, $case } = read(entity, event);
  const json = toJson(union, message, { registry: contract().registry }) as JsonObject;
  const fields = json[$case] as JsonObject;
  // Fields with the default value are left out, so personal ones stay left out.
  return Object.assign(fields, protectionsOf(entity.name).get($case)?.unescape(fields));
}

/**
 * The same event without its personal data: texts become `***`, other fields are left out. Throws if it can't be
 * decoded.
 */
export function withoutPersonal<E extends EncodedEvent>(entity: Entity, event: E): E {
  const { union, message, schemaVersion } = read(entity, event);
  hidePersonal(reflect(union, message));
  return { ...event, schemaVersion, data: toBinary(union, message) };
}

/** The union's message in the event's bytes. */
function read(entity: Entity, event: EncodedEvent) {
  const union = unionOf(entity.name);
  if (!union) throw new Error(`The contract has no message with the option (caudal.entity) = "${entity.name}".`);
  const { schemaVersion, data } = entity.upcast(event);
  const message = fromBinary(union, data);
  const fields = reflect(union, message);
  const field = fields.fields.find((candidate) => fields.isSet(candidate));
  if (!field) throw new Error(`${event.type} is not an event of ${entity.name} that this version knows`);
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
