/**
 * Keys of workloads beyond tokens: what this process signs, and whose key is trusted for what. It is the key of CAUDAL_SERVICE_KEY,
 * and those of the services' root. See docs/identity.md, Two roots.
 */
import { createPrivateKey, createPublicKey, type JsonWebKeyInput, type KeyObject, sign } from 'node:crypto';
import { type KeySet, keySource } from '@caudal/rpc/server/key-sets.ts';
import type { JSONWebKeySet, JWK } from 'jose';
import { contextsInRole } from './settings/keys.ts';
import type { Role } from './settings/settings.ts';

/** Public keys as they are known now. */
export interface TrustedKeys {
  /** The key of this name, if it is one of a workload that has this role for this context. */
  find(keyId: string, of: { context: string; role: Role }): KeyObject | undefined;
}

export interface WorkloadKeys {
  /** Signs with this process's own key; undefined if it has none. */
  signer: { keyId: string; sign(bytes: Buffer): Buffer } | undefined;
  /** Rejects if the keys can't be read. */
  get(): TrustedKeys | Promise<TrustedKeys>;
  /** Reads the keys again in the background, at most every 10 s. */
  renew(): void;
}

export interface WorkloadKeysOptions {
  /** The private key of this process. */
  own: JWK | undefined;
  /** The public keys, or where they are; undefined: none is trusted. */
  keys: JSONWebKeySet | URL | undefined;
  /** Whether keys are bound to what they name; else each may do everything. */
  bound: boolean;
  maxStaleMs: number;
}

/** The name of a key that has none: it is the one that all processes share. */
const nameOf = ({ kid }: JWK) => kid ?? 'service-key';
const algorithms = ['ed25519', 'ec', 'rsa'];

/** The keys of workloads. They are read at first use. */
export function workloadKeys({ own, keys, bound, maxStaleMs }: WorkloadKeysOptions): WorkloadKeys {
  const source = keySource(keys ?? { keys: [] }, { maxStaleMs });
  let last: { set: KeySet; trusted: TrustedKeys } | undefined;
  const trustedOf = (set: KeySet): TrustedKeys => {
    if (last?.set !== set) last = { set, trusted: trustedIn(set, bound) };
    return last.trusted;
  };
  return {
    signer: own && signerOf(own),
    get() {
      const set = source.get();
      return set instanceof Promise ? set.then(trustedOf) : trustedOf(set);
    },
    renew: () => void Promise.resolve(source.renew()).catch(() => {}),
  };
}

function signerOf(own: JWK): WorkloadKeys['signer'] {
  const key = createPrivateKey({ key: own as JsonWebKeyInput['key'], format: 'jwk' });
  const digest = digestOf(key);
  return { keyId: nameOf(own), sign: (bytes) => sign(digest, bytes, key) };
}

const digestOf = ({ asymmetricKeyType }: KeyObject) => (asymmetricKeyType === 'ed25519' ? null : 'sha256');

function trustedIn({ keys }: KeySet, bound: boolean): TrustedKeys {
  const known = new Map<string, { jwk: JWK; key: KeyObject | undefined }>();
  for (const jwk of keys) {
    const name = nameOf(jwk);
    // Of several of one name none counts, as for tokens.
    known.set(name, { jwk, key: known.has(name) ? undefined : publicKey(jwk) });
  }
  return {
    find(keyId, { context, role }) {
      const found = known.get(keyId);
      if (!found || !bound) return found?.key;
      const contexts = contextsInRole(found.jwk, role);
      return contexts.includes('*') || contexts.includes(context) ? found.key : undefined;
    },
  };
}

function publicKey(jwk: JWK): KeyObject | undefined {
  try {
    const key = createPublicKey({ key: jwk as JsonWebKeyInput['key'], format: 'jwk' });
    return algorithms.includes(key.asymmetricKeyType ?? '') ? key : undefined;
  } catch {
    return undefined;
  }
}
