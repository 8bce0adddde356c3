/**
 * Personal fields: the texts that the contract marks with `(caudal.personal)`. This module finds them in messages and in
 * bytes, with the person whom each belongs to. What seals and opens them is the log of aggregates (eventlog/src/personal).
 * See README, Personal data.
 */
import { type DescField, type DescMessage, fromBinary, ScalarType, toBinary } from '@bufbuild/protobuf';
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { contract } from './descriptors.ts';
import { unionOf } from './unions.ts';

/** The place of a text. A sealed text is bound to it. */
export interface PersonalPlace {
  /** The id of the person whose text it is. */
  person: string;
  /** The entity, `customers.customer`. For a message that is not an event, the name of its type. */
  entity: string;
  /** The name in the contract: `display_name`. */
  field: string;
}

/** A text, as the bytes have it, and its place. */
export interface PersonalText extends PersonalPlace {
  text: string;
}

/** The first characters of every sealed text. */
export const sealedPrefix = 'enc:v1:';
/** What is read in place of a text whose key this process does not have. */
export const unreadable = '[sealed]';
/** What is read in place of a text whose key was destroyed. */
export const erased = '[erased]';

const plainPrefix = `${sealedPrefix}:`;

/** A text as bytes hold it while it is not sealed: one that looks sealed gets a prefix. */
export function escapeText(text: string): string {
  return text.startsWith(sealedPrefix) ? `${plainPrefix}${text}` : text;
}

/** The text that bytes hold; undefined if it is sealed. */
export function plainText(text: string): string | undefined {
  if (!text.startsWith(sealedPrefix)) return text;
  return text.startsWith(plainPrefix) ? text.slice(plainPrefix.length) : undefined;
}

/** Bytes of messages with personal fields that are all empty, as most references of orders are: there is nothing to seal. */
const withoutTexts = new WeakSet<Uint8Array>();

/** Whether this process has encoded the bytes, and they have no personal text. So they need not be decoded to find out. */
export const hasNoTexts = (data: Uint8Array): boolean => withoutTexts.has(data);

/** The personal fields of messages of one type. Messages are not changed in place. */
export interface Protection {
  /** Encodes a message. Throws PERSONAL_DATA_SEALED if a text is `[sealed]`, so it could not be read. */
  encode<M>(message: M, encode: (escaped: M) => Uint8Array): Uint8Array;
  /** Sealed texts become `[sealed]`; with `keepSealed` all texts stay as the bytes have them. */
  unescape<M>(message: M, keepSealed?: boolean): M;
}

const none: ReadonlyMap<string, Protection> = new Map();

/** The protections of an entity's events that have personal fields, by the case of the union. */
export function protectionsOf(entity: string): ReadonlyMap<string, Protection> {
  const union = unionOf(entity);
  if (!union) return none;
  const found = union.fields.flatMap(({ localName, message }) => {
    const protection = message && protect(message);
    return protection ? [[localName, protection] as const] : [];
  });
  return found.length > 0 ? new Map(found) : none;
}

/** The personal fields in the bytes of a kind of message. */
export interface PersonalBytes {
  /** Some of the fields belong to the subject of the stream. */
  ofSubject: boolean;
  /** The texts that are not empty. `subject`: the id of the stream, to which fields without `(caudal.person)` belong. */
  texts(data: Uint8Array, subject: string): PersonalText[];
  /** A copy with the texts that `change` gives; the same bytes if it changes none. */
  change(data: Uint8Array, subject: string, change: (text: PersonalText) => string): Uint8Array;
}

/** Those of an entity's events; undefined if none has personal fields. */
export function personalEvents(entity: string): PersonalBytes | undefined {
  const union = unionOf(entity);
  if (!union || protectionsOf(entity).size === 0) return undefined;
  const cases = union.fields.flatMap(({ message }) => message ?? []);
  return personalBytes(union, { entity, cases }, (message) => {
    const field = message.fields.find((candidate) => message.isSet(candidate));
    return field?.fieldKind === 'message' ? message.get(field) : undefined;
  });
}

/** Those of a message that is not an event: `caudal.customers.v1.Customer`. Throws if the contract has no such message. */
export function personalMessage(typeName: string): PersonalBytes {
  const type = messageType(typeName);
  return personalBytes(type, { entity: typeName, cases: [type] }, (message) => message);
}

function personalBytes(
  type: DescMessage,
  { entity, cases }: { entity: string; cases: DescMessage[] },
  inside: (message: ReflectMessage) => ReflectMessage | undefined,
): PersonalBytes {
  function read(data: Uint8Array, subject: string) {
    const message = fromBinary(type, data);
    const holder = inside(reflect(type, message));
    const found: { field: DescField; text: PersonalText }[] = [];
    for (const { field, personField } of holder ? personalFields(holder.desc) : []) {
      const text = holder!.get(field) as string;
      // An empty text is not personal.
      if (!text) continue;
      const person = personField ? (holder!.get(personField) as string) : subject;
      found.push({ field, text: { person, entity, field: field.name, text } });
    }
    return { message, holder, found };
  }
  return {
    ofSubject: cases.some((one) => personalFields(one).some(({ personField }) => !personField)),
    texts: (data, subject) => read(data, subject).found.map(({ text }) => text),
    change(data, subject, change) {
      const { message, holder, found } = read(data, subject);
      let isChanged = false;
      for (const { field, text } of found) {
        const changed = change(text);
        if (changed === text.text) continue;
        isChanged = true;
        holder!.set(field, changed);
      }
      return isChanged ? toBinary(type, message) : data;
    },
  };
}

interface Codec<M> {
  encode(message: M): { finish(): Uint8Array };
  decode(data: Uint8Array): M;
}

/** A codec of answers that are stored, and the type of these if the log must seal them. */
export interface ReplyCodec<M> extends Codec<M> {
  personalType?: string;
}

/**
 * The codec of a message that is not stored in an event, for example a command's answer. Its personal fields are sealed with
 * the append that stores it. `typeName`: `caudal.customers.v1.Customer`. Throws if the contract has no such message.
 */
export function personalCodec<M>(typeName: string, codec: Codec<M>): ReplyCodec<M> {
  const protection = protect(messageType(typeName));
  if (!protection) return codec;
  return {
    encode: (message) => ({ finish: () => protection.encode(message, (escaped) => codec.encode(escaped).finish()) }),
    decode: (data) => protection.unescape(codec.decode(data)),
    personalType: typeName,
  };
}

function messageType(typeName: string): DescMessage {
  const type = contract().registry.getMessage(typeName);
  if (!type) throw new Error(`The contract has no message ${typeName}.`);
  return type;
}

function protect(type: DescMessage): Protection | undefined {
  const fields = personalFields(type);
  if (fields.length === 0) return undefined;
  const change = <M>(message: M, convert: (text: string, name: string) => string): M => {
    const changed = { ...message } as Record<string, string>;
    for (const { field } of fields) {
      const text = changed[field.localName];
      if (text) changed[field.localName] = convert(text, field.name);
    }
    return changed as M;
  };
  return {
    encode(message, encode) {
      const data = encode(change(message, writable));
      if (!fields.some(({ field }) => (message as Record<string, string>)[field.localName])) withoutTexts.add(data);
      return data;
    },
    unescape: (message, keepSealed = false) =>
      keepSealed ? message : change(message, (text) => plainText(text) ?? unreadable),
  };
}

function writable(text: string, name: string): string {
  if (text !== unreadable) return escapeText(text);
  const message = `"${name}" can't be written: this process lacks the key that sealed its present text.`;
  throw new CaudalError('FAILED_PRECONDITION', 'PERSONAL_DATA_SEALED', message);
}

interface PersonalField {
  field: DescField;
  /** Whose text it is; undefined: the subject of the stream. */
  personField: DescField | undefined;
}

const known = new WeakMap<DescMessage, PersonalField[]>();

/** The personal fields of a message. Throws if the contract marks something that can't be sealed. */
function personalFields(type: DescMessage): PersonalField[] {
  let fields = known.get(type);
  if (!fields) {
    refuseNested(type, type, new Set());
    fields = type.fields
      .filter((field) => contract().isPersonal(field))
      .map((field) => ({ field, personField: personFieldOf(type, field) }));
    known.set(type, fields);
  }
  return fields;
}

function personFieldOf(type: DescMessage, field: DescField): DescField | undefined {
  const name = contract().personOf(field);
  if (!name) return undefined;
  const found = type.fields.find((candidate) => candidate.name === name);
  if (found && isOwnText(found) && !contract().isPersonal(found)) return found;
  throw new Error(`${type.typeName}.${field.name} names "${name}" as its person: name a text of the same message.`);
}

const isOwnText = (field: DescField) =>
  field.fieldKind === 'scalar' && field.scalar === ScalarType.STRING && !field.oneof;

/** Only texts of the message itself are sealed. A mark on any other field would have no effect, so it is refused. */
function refuseNested(root: DescMessage, type: DescMessage, seen: Set<DescMessage>): void {
  if (seen.has(type)) return;
  seen.add(type);
  for (const field of type.fields) {
    if (contract().isPersonal(field) && !(type === root && isOwnText(field)))
      throw new Error(`${type.typeName}.${field.name} can't be personal in ${root.typeName}: only its own texts can.`);
    const inner = field.fieldKind === 'enum' || field.fieldKind === 'scalar' ? undefined : field.message;
    if (inner) refuseNested(root, inner, seen);
  }
}
