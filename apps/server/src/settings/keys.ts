/**
 * Parses the keys in settings, so their errors are reported together with those of other settings, before the start.
 */
import { createPrivateKey, createPublicKey, type JsonWebKeyInput } from 'node:crypto';
import type { JSONWebKeySet, JWK } from 'jose';

/** The parts that only a private (`d`) or a shared key (`k`) has. */
const isSecret = (key: JWK) => key.d !== undefined || key.k !== undefined;

/** The member of a key in CAUDAL_SERVICE_JWKS that names the contexts whose calls it may sign; `*` stands for all. */
export const contextsMember = 'caudal_contexts';
/** The member that names the roles of the key's workload; all roles if it is absent. */
export const rolesMember = 'caudal_roles';

/** Messages carry the name of the key that seals them. */
const maxKeyId = 255;

/** The key set of CAUDAL_JWKS, or where it is. Throws an Error that names the problem and shows no key. */
export function parseKeySet(text: string): JSONWebKeySet | URL {
  if (/^(https?|file):\/\//.test(text)) {
    if (!URL.canParse(text)) throw new Error('it is not a valid URL');
    const url = new URL(text);
    if (url.protocol === 'file:' && (url.host !== '' || url.pathname === '/'))
      throw new Error('it names no file of this machine: file:///run/secrets/keys does');
    return url;
  }
  const { keys } = parseObject(text) as { keys?: JWK[] };
  if (!Array.isArray(keys)) throw new Error('it is not a JSON Web Key Set: it has no list "keys"');
  if (keys.length === 0) throw new Error('it contains no key');
  keys.forEach((key, index) => {
    const name = nameOf(key, index);
    if (typeof key?.kty !== 'string') throw new Error(`${name} is not a JSON Web Key`);
    if (isSecret(key))
      throw new Error(`${name} is a private key: every reader of this setting could sign tokens with it`);
    if (!isKey(createPublicKey, key)) throw new Error(`${name} can't be read`);
  });
  return { keys };
}

const nameOf = (key: JWK | undefined, index: number) =>
  typeof key?.kid === 'string' ? `the key "${key.kid}"` : `key ${index + 1}`;

/** The key set of CAUDAL_SERVICE_JWKS: each key has a name of its own, and says whose calls it signs. */
export function parseServiceKeySet(text: string): JSONWebKeySet | URL {
  const parsed = parseKeySet(text);
  if (parsed instanceof URL) return parsed;
  const seen = new Set<string>();
  parsed.keys.forEach((key, index) => {
    const name = nameOf(key, index);
    if (!key.kid) throw new Error(`${name} has no "kid", by which tokens name it`);
    if (seen.has(key.kid)) throw new Error(`${name} is there twice: give each key a "kid" of its own`);
    seen.add(key.kid);
    if (contextsOfKey(key).length === 0)
      throw new Error(`${name} has no "${contextsMember}", the list of contexts whose calls it signs, or ["*"]`);
    if (rolesOfKey(key)?.length === 0)
      throw new Error(
        `${name} has "${rolesMember}" that is no list of roles: name the roles of its workload, or leave it out`,
      );
  });
  return parsed;
}

/** The contexts whose calls a key may sign. A key that says nothing may sign none. */
export function contextsOfKey(key: JWK): string[] {
  const named = (key as Record<string, unknown>)[contextsMember];
  return Array.isArray(named) ? named.filter((name) => typeof name === 'string') : [];
}

/** The roles of a key's workload; undefined if the key says nothing of them. */
function rolesOfKey(key: JWK): string[] | undefined {
  const named = (key as Record<string, unknown>)[rolesMember];
  if (named === undefined) return undefined;
  return Array.isArray(named) ? named.filter((name) => typeof name === 'string') : [];
}

/** The contexts for which a workload with this key may be a process of the role; `*` for all. */
export function contextsInRole(key: JWK, role: string): string[] {
  return (rolesOfKey(key)?.includes(role) ?? true) ? contextsOfKey(key) : [];
}

/** The issuer of CAUDAL_OIDC_ISSUER, exactly as it is written: its tokens must name it so. */
export function parseIssuer(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol)) throw new Error('it is not a URL that begins with https://');
  if (url.search || url.hash || url.username || url.password)
    throw new Error('an issuer is a URL without a query, a fragment and credentials');
  return text;
}

/** The public half of a signing key. */
export function publicHalf({ kty, crv, x, y, n, e, kid, alg }: JWK): JWK {
  // Members that a kind of key does not have are left out: a key set with `undefined` would be another one.
  return JSON.parse(JSON.stringify({ kty, crv, x, y, n, e, kid, alg, use: 'sig' })) as JWK;
}

/** The key of CAUDAL_SERVICE_KEY. Throws an Error that names the problem and does not show the key. */
export function parseSigningKey(text: string): JWK {
  const key = parseObject(text) as JWK;
  if (typeof key.kty !== 'string') throw new Error('it is not a JSON Web Key');
  if (!isSecret(key)) throw new Error("it is a public key, which can't sign");
  if (!isKey(createPrivateKey, key)) throw new Error("it can't be read as a private key");
  if (String(key.kid ?? '').length > maxKeyId) throw new Error(`its "kid" is longer than ${maxKeyId} characters`);
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
