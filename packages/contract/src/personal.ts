/**
 * Seals personal data where events become bytes, and opens it where they are read. The contract marks personal fields
 * with `(caudal.personal)`. The cipher (eventlog/cipher.ts) is set once, when a process starts. See README, Personal
 * data.
 */
import { type DescMessage, ScalarType } from '@bufbuild/protobuf';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { contract } from './descriptors.ts';
import { unionOf } from './unions.ts';

/** The place of a text. A cipher binds a sealed text to its place. */
export interface PersonalField {
  /** The entity, `customers.customer`. For a message that is not an event, the name of its type. */
  entity: string;
  /** The name in the contract: `display_name`. */
  field: string;
}

export interface PersonalDataCipher {
  /** The sealed text, which begins with `enc:v1:<key>:`. */
  seal(text: string, field: PersonalField): string;
  /** The opened text; undefined if its key is missing. Throws if it was changed, or sealed for another field. */
  open(sealed: string, field: PersonalField): string | undefined;
}

/** The first characters of every sealed text. */
export const sealedPrefix = 'enc:v1:';
/** The value of a personal text whose key is missing. */
export const unreadable = '[sealed]';

const plainPrefix = `${sealedPrefix}:`;

let cipher: PersonalDataCipher | undefined;

/** Sets the cipher of the whole process. With undefined, texts are written as they are. */
export function setPersonalDataCipher(given: PersonalDataCipher | undefined): void {
  cipher = given;
}

/** Seals and opens the personal fields of messages of one type. Messages are not changed in place. */
export interface Protection {
  /** Throws PERSONAL_DATA_SEALED if a text is `[sealed]`, so it could not be read. */
  seal<M>(message: M): M;
  open<M>(message: M): M;
}

const none: ReadonlyMap<string, Protection> = new Map();

/** The protections of an entity's events that have personal fields, by the case of the union. */
export function protectionsOf(entity: string): ReadonlyMap<string, Protection> {
  const union = unionOf(entity);
  if (!union) return none;
  const found = union.fields.flatMap(({ localName, message }) => {
    const protection = message && protect(message, entity);
    return protection ? [[localName, protection] as const] : [];
  });
  return found.length > 0 ? new Map(found) : none;
}

interface Codec<M> {
  encode(message: M): { finish(): Uint8Array };
  decode(data: Uint8Array): M;
}

/**
 * Seals the personal fields of a message that is not stored in an event, for example a command's answer. `typeName`:
 * `caudal.customers.v1.Customer`. Throws if the contract has no such message.
 */
export function personalCodec<M>(typeName: string, codec: Codec<M>): Codec<M> {
  const type = contract().registry.getMessage(typeName);
  if (!type) throw new Error(`The contract has no message ${typeName}.`);
  const protection = protect(type, typeName);
  if (!protection) return codec;
  return {
    encode: (message) => codec.encode(protection.seal(message)),
    decode: (data) => protection.open(codec.decode(data)),
  };
}

function protect(type: DescMessage, entity: string): Protection | undefined {
  refuseNested(type, type, new Set());
  const fields = type.fields
    .filter((field) => contract().isPersonal(field))
    .map(({ localName, name }) => ({ localName, context: { entity, field: name } }));
  if (fields.length === 0) return undefined;
  const change = <M>(message: M, convert: (text: string, field: PersonalField) => string): M => {
    const changed = { ...message } as Record<string, string>;
    for (const { localName, context } of fields) {
      const text = changed[localName];
      // An empty text is not personal.
      if (text) changed[localName] = convert(text, context);
    }
    return changed as M;
  };
  return { seal: (message) => change(message, seal), open: (message) => change(message, open) };
}

/** Only texts of the message itself are sealed. A mark on any other field would have no effect, so it is refused. */
function refuseNested(root: DescMessage, type: DescMessage, seen: Set<DescMessage>): void {
  if (seen.has(type)) return;
  seen.add(type);
  for (const field of type.fields) {
    const isText = type === root && field.fieldKind === 'scalar' && field.scalar === ScalarType.STRING && !field.oneof;
    if (contract().isPersonal(field) && !isText)
      throw new Error(`${type.typeName}.${field.name} can't be personal in ${root.typeName}: only its own texts can.`);
    const inner = field.fieldKind === 'enum' || field.fieldKind === 'scalar' ? undefined : field.message;
    if (inner) refuseNested(root, inner, seen);
  }
}

function seal(text: string, field: PersonalField): string {
  if (text === unreadable) {
    const message = `"${field.field}" can't be written: this process lacks the key that sealed its present text.`;
    throw new CaudalError('FAILED_PRECONDITION', 'PERSONAL_DATA_SEALED', message);
  }
  if (cipher) return cipher.seal(text, field);
  return text.startsWith(sealedPrefix) ? `${plainPrefix}${text}` : text;
}

function open(text: string, field: PersonalField): string {
  if (!text.startsWith(sealedPrefix)) return text;
  if (text.startsWith(plainPrefix)) return text.slice(plainPrefix.length);
  return cipher?.open(text, field) ?? unreadable;
}
