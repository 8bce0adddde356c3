/** Keys of relays for tests, which may be trusted and withdrawn. */
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import type { SealKeySource } from '../seals/seal-check.ts';
import type { Signer } from '../seals/sealer.ts';

/** A key that signs, and its public half. */
export function newSealKey(keyId: string): Signer & { publicKey: KeyObject } {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return { keyId, publicKey, sign: (bytes) => sign(null, bytes, privateKey) };
}

/** A set of keys, each trusted for the domains that are given. */
export function sealKeySource() {
  const trusted = new Map<string, { key: KeyObject; domains: string[] }>();
  const state = { renewed: 0, isAway: false };
  const source: SealKeySource = {
    get() {
      if (state.isAway) throw new Error('the keys are away');
      return {
        find(keyId, domain) {
          const found = trusted.get(keyId);
          return found?.domains.includes(domain) ? found.key : undefined;
        },
      };
    },
    renew() {
      state.renewed += 1;
    },
  };
  return {
    source,
    state,
    trust({ keyId, publicKey }: ReturnType<typeof newSealKey>, ...domains: string[]): void {
      trusted.set(keyId, { key: publicKey, domains });
    },
    withdraw: (keyId: string) => trusted.delete(keyId),
  };
}
