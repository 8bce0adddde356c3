/**
 * Parses the keys in settings, so their errors are reported together with those of other settings, before the start.
 */
import { createPrivateKey, createPublicKey, type JsonWebKeyInput } from 'node:crypto';
import type { JSONWebKeySet, JWK } from 'jose';

/** The parts that only a private (`d`) or a shared key (`k`) has. */
const isSecret = (key: JWK) => key.d !== undefined || key.k !== undefined;

/** The key set of CAUDAL_JWKS, or its URL. Throws an Error that names the problem and shows no key. */
export function parseKeySet(text: string): JSONWebKeySet | URL {
  if (/^https?:\/\//.test(text)) {
    if (!URL.canParse(text)) throw new Error('it is not a valid URL');
    return new URL(text);
  }
  const { keys } = parseObject(text) as { keys?: JWK[] };
  if (!Array.isArray(keys)) throw new Error('it is not a JSON Web Key Set: it has no list "keys"');
  if (keys.length === 0) throw new Error('it contains no key');
  keys.forEach((key, index) => {
    const name = typeof key?.kid === 'string' ? `the key "${key.kid}"` : `key ${index + 1}`;
    if (typeof key?.kty !== 'string') throw new Error(`${name} is not a JSON Web Key`);
    if (isSecret(key))
      throw new Error(`${name} is a private key: every reader of this setting could sign tokens with it`);
    if (!isKey(createPublicKey, key)) throw new Error(`${name} can't be read`);
  });
  return { keys };
}

/** The key of CAUDAL_SERVICE_KEY. Throws an Error that names the problem and does not show the key. */
export function parseSigningKey(text: string): JWK {
  const key = parseObject(text) as JWK;
  if (typeof key.kty !== 'string') throw new Error('it is not a JSON Web Key');
  if (!isSecret(key)) throw new Error("it is a public key, which can't sign");
  if (!isKey(createPrivateKey, key)) throw new Error("it can't be read as a private key");
  return key;
}

function parseObject(text: string): object {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // Reported below, since JSON's own message repeats the text.
  }
  throw new Error('it is not a JSON object');
}

function isKey(read: (input: JsonWebKeyInput) => unknown, key: JWK): boolean {
  try {
    read({ key: key as JsonWebKeyInput['key'], format: 'jwk' });
    return true;
  } catch {
    return false;
  }
}
