/** Checks seals of messages that have arrived. */
import { type KeyObject, verify } from 'node:crypto';
import { domainOf } from '@caudal/contract/entity.ts';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { LRUCache } from 'lru-cache';
import { rootOf } from './hash-tree.ts';
import { decodeSeal, eventHash, type Seal, signedBytes } from './seal.ts';

/** Public keys as they are known now. */
export interface SealKeys {
  /** The key of this name, if it may seal the domain's events. The same object stands for the same key. */
  find(keyId: string, domain: string): KeyObject | undefined;
}

export interface SealKeySource {
  /** Rejects if the keys can't be read. */
  get(): SealKeys | Promise<SealKeys>;
  /** Reads them again in the background, because one is unknown; not more often than is good for who has them. */
  renew(): void;
}

/** An event as a message brings it. */
export interface Received {
  event: RecordedEvent;
  seal: Seal | undefined;
}

/** Why an event is not believed. `unreadable`: no seal of a version that is known; `wrong`: it is of another event, or not of the key. */
export type Flaw = 'none' | 'unreadable' | 'unknown_key' | 'wrong';

/** Returns for each message why it is not believed; undefined if its seal is valid. Never throws. */
export type SealCheck = (messages: Received[]) => Promise<(Flaw | undefined)[]>;

const maxRoots = 1_000;
const noKeys: SealKeys = { find: () => undefined };

/** A check with these keys. It remembers which roots are signed, so that a signature is checked once for a batch. */
export function openSealCheck(source: SealKeySource): SealCheck {
  const signed = new LRUCache<string, KeyObject>({ max: maxRoots });

  function flawOf({ event, seal }: Received, keys: SealKeys): Flaw | undefined {
    if (!seal) return 'none';
    const parts = decodeSeal(seal);
    if (!parts) return 'unreadable';
    const key = keys.find(seal.keyId, domainOf(event.stream));
    if (!key) return 'unknown_key';
    const root = rootOf(eventHash(event), parts);
    if (!root) return 'wrong';
    const name = `${seal.keyId} ${root.toString('latin1')}`;
    // A key that has left the set, or has changed, is another object or none.
    if (signed.get(name) === key) return undefined;
    if (!isSigned(root, parts.signature, key)) return 'wrong';
    signed.set(name, key);
    return undefined;
  }

  return async (messages) => {
    let keys = noKeys;
    try {
      keys = await source.get();
    } catch {
      // Who reads the keys logs it. Nothing is believed meanwhile.
    }
    const flaws = messages.map((message) => flawOf(message, keys));
    if (flaws.includes('unknown_key')) source.renew();
    return flaws;
  };
}

function isSigned(root: Buffer, signature: Buffer, key: KeyObject): boolean {
  try {
    return verify(key.asymmetricKeyType === 'ed25519' ? null : 'sha256', signedBytes(root), key, signature);
  } catch {
    return false;
  }
}
