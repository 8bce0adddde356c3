/**
 * Encrypts ("seals") personal texts: AES-256-GCM, with a random nonce for each text. The entity, the field and the
 * key's name are additional data, so that a sealed text that was changed or moved to another field can't be opened.
 *
 *   enc:v1:<key>:<base64url of 12 bytes nonce, 16 bytes tag, ciphertext>
 *
 * With several keys, the first one seals and all of them open, so keys can be rotated. One key may seal 2^32 texts
 * (NIST SP 800-38D, 8.3, for random nonces). `node:crypto` has all that is needed.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { type PersonalDataCipher, type PersonalField, sealedPrefix } from '@caudal/contract/personal.ts';

export interface PersonalDataKey {
  /**
   * The key's name, which is part of each sealed text: letters, digits, `-` and `_`. Never reuse it for another key.
   */
  id: string;
  /** 32 bytes. */
  key: Buffer;
}

const algorithm = 'aes-256-gcm';
const nonceBytes = 12;
const tagBytes = 16;

/** A cipher with these keys: the first one seals, all of them open. `open` returns undefined if the key is missing. */
export function personalDataCipher(keys: [PersonalDataKey, ...PersonalDataKey[]]): PersonalDataCipher {
  const current = keys[0];
  const byId = new Map(keys.map(({ id, key }) => [id, key]));
  return {
    seal(text, field) {
      const nonce = randomBytes(nonceBytes);
      const cipher = createCipheriv(algorithm, current.key, nonce, { authTagLength: tagBytes });
      cipher.setAAD(boundTo(field, current.id));
      const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
      const bytes = Buffer.concat([nonce, cipher.getAuthTag(), sealed]);
      return `${sealedPrefix}${current.id}:${bytes.toString('base64url')}`;
    },
    open(sealed, field) {
      const end = sealed.indexOf(':', sealedPrefix.length);
      const id = sealed.slice(sealedPrefix.length, end);
      const key = byId.get(id);
      if (!key) return undefined;
      const bytes = Buffer.from(sealed.slice(end + 1), 'base64url');
      try {
        const decipher = createDecipheriv(algorithm, key, bytes.subarray(0, nonceBytes), { authTagLength: tagBytes });
        decipher.setAAD(boundTo(field, id));
        decipher.setAuthTag(bytes.subarray(nonceBytes, nonceBytes + tagBytes));
        const text = decipher.update(bytes.subarray(nonceBytes + tagBytes));
        return Buffer.concat([text, decipher.final()]).toString('utf8');
      } catch (error) {
        const message = `"${field.field}" of ${field.entity} can't be opened: the text or key "${id}" was changed`;
        throw new Error(message, { cause: error });
      }
    },
  };
}

function boundTo({ entity, field }: PersonalField, keyId: string): Buffer {
  return Buffer.from(JSON.stringify([keyId, entity, field]));
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
