/** Reads the bytes of a request. Texts must be UTF-8: ts-proto alone would read other bytes as U+FFFD, and store that. */
import type { DescMessage } from '@bufbuild/protobuf';
import { BinaryReader } from '@bufbuild/protobuf/wire';
import { CaudalError, type FieldViolation } from '@caudal/kernel/errors.ts';
import { boundsOf } from '../schema/bounds.ts';
import { type Fields, oneofPropertyOf, propertyOf } from '../schema/field-names.ts';
import { invalidRequest, maxViolations } from '../schema/validation.ts';
import type { Endpoint } from '../server/endpoint.ts';
import { textBoundOf } from '../server/request-size.ts';
import { NoMessage, scanMessage } from './wire-scan.ts';

class StrictReader extends BinaryReader {
  override string(): string {
    return super.string(true);
  }
}

/**
 * The request. Throws INVALID_ARGUMENT, which names the field that is too much, or the texts that are not UTF-8. `maxText`: the most
 * bytes of a text without a rule.
 */
export function decode(
  { definition, contract }: Pick<Endpoint, 'definition' | 'contract'>,
  bytes: Buffer,
  maxText = textBoundOf(contract),
): unknown {
  try {
    scanMessage(boundsOf(contract.request), bytes, maxText);
    // A decoder of ts-proto takes a reader in place of bytes.
    return definition.requestDeserialize(new StrictReader(bytes) as unknown as Buffer);
  } catch (cause) {
    if (cause instanceof CaudalError) throw cause;
    const found = cause instanceof NoMessage ? [] : brokenTexts(contract.request, definition, bytes);
    if (found.length > 0) throw invalidRequest(found, 'MALFORMED_REQUEST');
    const message = 'The request is not a message of the expected type.';
    throw new CaudalError('INVALID_ARGUMENT', 'MALFORMED_REQUEST', message, { cause });
  }
}

/** The fields whose texts are not UTF-8; none if the bytes are no message at all. */
function brokenTexts(type: DescMessage, definition: Endpoint['definition'], bytes: Buffer): FieldViolation[] {
  const found: FieldViolation[] = [];
  try {
    search(type, definition.requestDeserialize(bytes) as Fields, '', found);
  } catch {
    // Not a message: the caller's error says so.
  }
  return found;
}

/** Where U+FFFD stands, which broken bytes were read as. */
function search(type: DescMessage, message: Fields, path: string, found: FieldViolation[]): void {
  for (const field of type.fields) {
    const chosen =
      field.oneof && (message[oneofPropertyOf(field.oneof)] as { $case: string; value: unknown } | undefined);
    const value = field.oneof
      ? chosen?.$case === propertyOf(field)
        ? chosen.value
        : undefined
      : message[propertyOf(field)];
    const at = `${path}${field.name}`;
    const values =
      field.fieldKind === 'map' ? Object.entries(value ?? {}).flat() : Array.isArray(value) ? value : [value];
    for (const [index, one] of values.entries()) {
      if (found.length >= maxViolations) return;
      const place = field.fieldKind === 'list' ? `${at}[${index}]` : at;
      if (typeof one === 'string' && one.includes('\ufffd')) found.push({ field: place, description: 'must be UTF-8' });
      else if (
        field.message &&
        !field.message.typeName.startsWith('google.protobuf.') &&
        typeof one === 'object' &&
        one !== null
      )
        search(field.message, one as Fields, `${place}.`, found);
    }
  }
}
