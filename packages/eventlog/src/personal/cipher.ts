/**
 * Seals personal texts with AES-256-GCM, with a random nonce for each text. The person, the entity and the field are
 * additional data, so that a sealed text that was changed or moved to another place can't be opened.
 *
 *   enc:v1:*<check>:<base64url of 12 bytes nonce, 16 bytes tag, ciphertext>
 *
 * `check` is of the person's key: it tells another key of the person from a text that was changed. Version 0.2 has sealed with a
 * key for all, whose name stands there. It takes `*<check>` for the name of a key that it lacks, reads `[sealed]` and writes
 * nothing back. One key may seal 2^32 texts (NIST SP 800-38D, 8.3, for random nonces). `node:crypto` has all that is needed.
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { type PersonalPlace, sealedPrefix } from '@caudal/contract/personal.ts';

/** A wrapping key, as the setting has it. */
export interface PersonalDataKey {
  /** The key's name: letters, digits, `-` and `_`. Never reuse it for another key. */
  id: string;
  /** 32 bytes. */
  key: Buffer;
}

const algorithm = 'aes-256-gcm';
const nonceBytes = 12;
const tagBytes = 16;

/** Encrypts: 12 bytes nonce, 16 bytes tag, ciphertext. */
export function encrypt(key: Uint8Array, plain: Uint8Array, boundTo: string[]): Buffer {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv(algorithm, key, nonce, { authTagLength: tagBytes });
  cipher.setAAD(Buffer.from(JSON.stringify(boundTo)));
  const sealed = Buffer.concat([cipher.update(plain), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), sealed]);
}

/** Decrypts what `encrypt` has made. Throws if anything of it was changed. */
export function decrypt(key: Uint8Array, bytes: Uint8Array, boundTo: string[]): Buffer {
  const decipher = createDecipheriv(algorithm, key, bytes.subarray(0, nonceBytes), { authTagLength: tagBytes });
  decipher.setAAD(Buffer.from(JSON.stringify(boundTo)));
  decipher.setAuthTag(bytes.subarray(nonceBytes, nonceBytes + tagBytes));
  const plain = decipher.update(bytes.subarray(nonceBytes + tagBytes));
  return Buffer.concat([plain, decipher.final()]);
}

/** A person's key, and the name that its texts have. */
export interface DataKey {
  key: Buffer;
  check: string;
}

export function dataKey(key: Buffer): DataKey {
  return { key, check: createHash('sha256').update('caudal person key').update(key).digest('base64url').slice(0, 8) };
}

/** The text, sealed with a person's key for its place. */
export function sealText({ key, check }: DataKey, text: string, place: PersonalPlace): string {
  return `${sealedPrefix}*${check}:${encrypt(key, Buffer.from(text), boundTo(place)).toString('base64url')}`;
}

/** Whether the text is sealed with a person's key, and not in the way of version 0.2. */
export function isOfPerson(sealed: string): boolean {
  return sealed.startsWith(`${sealedPrefix}*`);
}

/** Opens a text; undefined if another key of the person has sealed it. Throws if it was changed, or sealed for another place. */
export function openText({ key, check }: DataKey, sealed: string, place: PersonalPlace): string | undefined {
  const { name, bytes } = partsOf(sealed);
  if (name !== `*${check}`) return undefined;
  return opened(place, () => decrypt(key, bytes, boundTo(place)));
}

/**
 * Opens texts that version 0.2 has sealed with a key for all; undefined if the key is missing, or the text only looks like that: that
 * version did not escape what buyers have written into fields that were not personal.
 */
export type OpenFormer = (sealed: string, place: PersonalPlace) => string | undefined;

export function formerTexts(keys: PersonalDataKey[]): OpenFormer {
  const byId = new Map(keys.map(({ id, key }) => [id, key]));
  return (sealed, place) => {
    const { name, bytes } = partsOf(sealed);
    const key = byId.get(name);
    try {
      return key && decrypt(key, bytes, [name, place.entity, place.field]).toString('utf8');
    } catch {
      return undefined;
    }
  };
}

const boundTo = ({ person, entity, field }: PersonalPlace) => ['text', person, entity, field];

function partsOf(sealed: string): { name: string; bytes: Buffer } {
  const end = sealed.indexOf(':', sealedPrefix.length);
  return { name: sealed.slice(sealedPrefix.length, end), bytes: Buffer.from(sealed.slice(end + 1), 'base64url') };
}

function opened({ entity, field }: PersonalPlace, open: () => Buffer): string {
  try {
    return open().toString('utf8');
  } catch (cause) {
    throw new Error(`"${field}" of ${entity} can't be opened: the text or its key was changed`, { cause });
  }
}

/**
 * Parses the keys of a setting: `<id>:<base64 of 32 bytes>`, separated by commas, the current one first. Throws an
 * Error that names the fault and contains no key.
 */
export function parsePersonalDataKeys(text: string): [PersonalDataKey, ...PersonalDataKey[]] {
  const keys = text.split(',').map((part, index) => {
    const [, id, encoded] = /^\s*([A-Za-z0-9_-]{1,32}):([A-Za-z0-9+/_-]+={0,2})\s*$/.exec(part) ?? [];
    if (!id || !encoded) throw new Error(`key ${index + 1} is not written as <id>:<base64>`);
    const key = Buffer.from(encoded, 'base64');
    if (key.length !== 32) throw new Error(`key "${id}" has ${key.length} bytes instead of 32`);
    return { id, key };
  });
  const twice = keys.find(({ id }, index) => keys.findIndex((other) => other.id === id) !== index);
  if (twice) throw new Error(`key "${twice.id}" is given twice`);
  return keys as [PersonalDataKey, ...PersonalDataKey[]];
}
