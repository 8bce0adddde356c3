/**
 * Wraps the keys of persons, so that the database has none of them in plain. The local implementation has its wrapping keys from a
 * setting; a KMS is another implementation of `KeyWrapping`.
 */
import { hkdfSync } from 'node:crypto';
import { unavailable } from '@caudal/kernel/errors.ts';
import { sleep } from '@caudal/kernel/time.ts';
import { decrypt, encrypt, type PersonalDataKey } from './cipher.ts';

/** A wrapped key, and the name of the key that has wrapped it. */
export interface Wrapped {
  wrapped: Uint8Array;
  by: string;
}

export interface KeyWrapping {
  /** The name of the key that wraps: at most 200 characters. */
  readonly current: string;
  /** Whether it can unwrap what the key of this name has wrapped. */
  knows(by: string): boolean;
  /** Wraps a person's key with the current key, bound to the person: at most 1,000 bytes. */
  wrap(key: Uint8Array, person: string): Promise<Uint8Array>;
  /** The person's key; undefined if the key that has wrapped it is not known. Throws if the bytes were changed. */
  unwrap(wrapped: Wrapped, person: string): Promise<Buffer | undefined>;
}

/** Wraps with the first of these keys; all of them unwrap. */
export function localWrapping(keys: [PersonalDataKey, ...PersonalDataKey[]]): KeyWrapping {
  // Version 0.2 seals texts with the same keys: what wraps is derived, so that no key serves two purposes.
  const byId = new Map(
    keys.map(({ id, key }) => [id, Buffer.from(hkdfSync('sha256', key, '', 'caudal wrapping key', 32))]),
  );
  const current = keys[0].id;
  const boundTo = (by: string, person: string) => ['key', by, person];
  return {
    current,
    knows: (by) => byId.has(by),
    wrap: async (key, person) => encrypt(byId.get(current)!, key, boundTo(current, person)),
    async unwrap({ wrapped, by }, person) {
      const key = byId.get(by);
      if (!key) return undefined;
      try {
        return decrypt(key, wrapped, boundTo(by, person));
      } catch (cause) {
        throw new Error(`a person's key can't be unwrapped: it, or the wrapping key "${by}", was changed`, { cause });
      }
    },
  };
}

/** The same, with an end to each wait: UNAVAILABLE after `timeoutMs`. */
export function withDeadline(wrapping: KeyWrapping, timeoutMs = 5_000): KeyWrapping {
  async function within<T>(work: Promise<T>): Promise<T> {
    const done = new AbortController();
    const late = sleep(timeoutMs, done.signal).then((): T => {
      throw unavailable('the service that wraps keys', new Error(`no answer within ${timeoutMs} ms`));
    });
    // The loser of the race may still fail: mark its error as handled.
    for (const outcome of [late, work]) outcome.catch(() => {});
    return Promise.race([work, late]).finally(() => done.abort());
  }
  return {
    current: wrapping.current,
    knows: (by) => wrapping.knows(by),
    wrap: (key, person) => within(wrapping.wrap(key, person)),
    unwrap: (wrapped, person) => within(wrapping.unwrap(wrapped, person)),
  };
}
