/** The idempotency key of a command, and a hash of its content that tells a repeat from a reuse of the key. */
import type { DescMessage } from '@bufbuild/protobuf';
import type { MethodContract } from '@caudal/contract/descriptors.ts';
import type { Method } from '@caudal/contract/method.ts';
import type { CommandId } from '@caudal/kernel/context.ts';
import { contentHash, derivedId, timeOfId } from '@caudal/kernel/ids.ts';
import { type Fields, propertyOf } from '../schema/field-names.ts';

/** The command id of a request; undefined if it carries no request_id. */
export type CommandIdOf = (request: unknown, subject: string) => CommandId | undefined;

/** How a method's requests get their command ids; undefined if they have no field `request_id`. */
export function commandIdOf(contract: MethodContract, definition: Method): CommandIdOf | undefined {
  if (!contract.request.fields.some(({ name }) => name === 'request_id')) return undefined;
  const withMaps = hasMaps(contract.request);
  return (request, subject) => {
    const { requestId } = request as { requestId: string };
    if (!requestId) return undefined;
    // A UUID in capitals is the same id. The hash covers the rest of the request.
    const id = requestId.toLowerCase();
    const message = withMaps ? sorted(contract.request, request as Fields) : (request as Fields);
    const content = definition.requestSerialize({ ...message, requestId: id });
    const madeAt = timeOfId(id);
    return { key: derivedId(subject, contract.path, id), hash: contentHash(content), ...(madeAt && { madeAt }) };
  };
}

/** The message with its maps sorted by key. protobuf does not define an order, and clients in Go write a random one. */
function sorted(type: DescMessage, message: Fields): Fields {
  const copy = { ...message };
  for (const field of type.fields) {
    const property = propertyOf(field);
    const value = message[property];
    if (field.fieldKind === 'map' && value) {
      copy[property] = Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
    } else if (field.fieldKind === 'list' && field.listKind === 'message' && hasMaps(field.message)) {
      copy[property] = (value as Fields[]).map((item) => sorted(field.message, item));
    } else if (field.fieldKind === 'message' && value && hasMaps(field.message)) {
      copy[property] = sorted(field.message, value as Fields);
    }
  }
  return copy;
}

const typesWithMaps = new Map<DescMessage, boolean>();

function hasMaps(type: DescMessage): boolean {
  let known = typesWithMaps.get(type);
  if (known === undefined) {
    typesWithMaps.set(type, false);
    known = type.fields.some((field) => field.fieldKind === 'map' || (field.message ? hasMaps(field.message) : false));
    typesWithMaps.set(type, known);
  }
  return known;
}
