/**
 * The hook that personal data goes through where events become bytes and back. Which fields are personal is what the
 * contract marks `(caudal.personal)`; how they are sealed is the cipher's business (eventlog/cipher.ts), which a process
 * sets once when it starts. See docs/personal-data.md.
 *
 * A sealed text says so itself, `enc:v1:<key>:...`, so texts that were written before there was a key still read as they
 * are. A plain text that happens to begin like a sealed one is written behind `enc:v1::`, the key without a name.
 *
 * Who has no key reads `[sealed]`, and may not write that back: the process that updates a customer would else replace
 * what it can't read. Rejected: an empty text in its place, which nobody can tell from one that is empty.
 */
import { type DescMessage, ScalarType } from '@bufbuild/protobuf';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { contract } from './descriptors.ts';
import { unionOf } from './unions.ts';

/** Where a text stands: a cipher binds what it seals to it. */
export interface PersonalField {
  /** The entity, `customers.customer`; for a message that is no event, its type's name. */
  entity: string;
  /** As the contract spells it: `display_name`. */
  field: string;
}

export interface PersonalDataCipher {
  /** The sealed text, which begins with `enc:v1:<key>:`. */
  seal(text: string, field: PersonalField): string;
  /** The text again; undefined if there is no such key. Throws if it was changed, or sealed for another field. */
  open(sealed: string, field: PersonalField): string | undefined;
}

/** What every sealed text begins with. */
export const sealedPrefix = 'enc:v1:';
/** What a personal text reads as where the key for it is missing. */
export const unreadable = '[sealed]';

const plainPrefix = `${sealedPrefix}:`;

let cipher: PersonalDataCipher | undefined;

/** Sets the cipher of the whole process; undefined: texts are written as they are. */
export function setPersonalDataCipher(given: PersonalDataCipher | undefined): void {
  cipher = given;
}

/** Seals and opens the personal fields of messages of one type. Messages are not changed in place. */
export interface Protection {
  /** Refused with PERSONAL_DATA_SEALED if a text is one that could not be read. */
  seal<M>(message: M): M;
  open<M>(message: M): M;
}

const none: ReadonlyMap<string, Protection> = new Map();

/** By case of an entity's union: the protection of those events that have personal fields. */
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
 * The codec of a message that is kept somewhere else than in an event, a command's answer say, with its personal fields
 * sealed. `typeName`: `caudal.customers.v1.Customer`. Throws if the contract has no such message.
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
      // There is nothing personal in an empty text.
      if (text) changed[localName] = convert(text, context);
    }
    return changed as M;
  };
  return { seal: (message) => change(message, seal), open: (message) => change(message, open) };
}

/** Only texts of the message itself are sealed. A mark anywhere else would be a promise that is not kept. */
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
    const message = `"${field.field}" can't be written: this process has no key for what it was.`;
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
