/**
 * What a process knows of revocations and API keys: read from the context that has them, and kept for less than a minute. While
 * that context can't be reached, what was known is used for a bounded time; then nothing is.
 */
import { unavailable } from '@caudal/kernel/errors.ts';
import { LRUCache } from 'lru-cache';
import type { KnownApiKey } from './api-keys.ts';
import { type Refreshed, refreshed } from './refreshed.ts';

/** Tokens and subjects that were revoked. Another object stands for another list. */
export interface Revocations {
  /** By `jti`. */
  tokens: ReadonlySet<string>;
  /** By subject: what was issued until then is revoked, in milliseconds since 1970. */
  subjects: ReadonlyMap<string, number>;
}

export interface Credentials {
  revocations(): Revocations | Promise<Revocations>;
  /** Undefined if there is no such key. */
  apiKey(id: string): KnownApiKey | undefined | Promise<KnownApiKey | undefined>;
}

export interface CredentialsOptions {
  /** Reads the list; the one before if nothing has changed. */
  readRevocations(before: Revocations | undefined): Promise<Revocations>;
  readApiKey(id: string): Promise<KnownApiKey | undefined>;
  /** How long what is known is used while it can't be read, in milliseconds. */
  maxStaleMs: number;
}

const maxKeys = 10_000;
/** Ids that there are no keys of: anybody can make up such an id. */
const maxUnknown = 10_000;
const unknownMs = 10_000;
/** Look-ups of keys at the same time, so that made up ids don't fill the context that has the keys. */
const maxLookUps = 32;

const source = 'credentials';

export function openCredentials({ readRevocations, readApiKey, maxStaleMs }: CredentialsOptions): Credentials {
  const list = refreshed<Revocations>({ name: 'the list of revocations', read: readRevocations, maxStaleMs });
  // Apart, so that made up ids don't displace keys that are in use.
  const keys = new LRUCache<string, Refreshed<KnownApiKey | undefined>>({ max: maxKeys });
  const unknown = new LRUCache<string, { until: number }>({ max: maxUnknown });
  const lookUps = new Map<string, Promise<KnownApiKey | undefined>>();

  const keep = (id: string, value: KnownApiKey) =>
    keys.set(
      id,
      refreshed<KnownApiKey | undefined>({
        name: 'an API key',
        read: () => readApiKey(id),
        maxStaleMs,
        initial: { value },
        quiet: true,
      }),
    );

  async function lookUp(id: string): Promise<KnownApiKey | undefined> {
    if (lookUps.size >= maxLookUps) throw unavailable(source, new Error('Too many unknown API keys at the same time.'));
    const looking = readApiKey(id).finally(() => lookUps.delete(id));
    lookUps.set(id, looking);
    const found = await looking;
    if (found) keep(id, found);
    else unknown.set(id, { until: Date.now() + unknownMs });
    return found;
  }

  return {
    revocations: list.get,
    apiKey(id) {
      const known = keys.get(id);
      if (known) return known.get();
      const absent = unknown.get(id);
      const left = absent ? absent.until - Date.now() : 0;
      // More than the whole time is left if the clock has gone back.
      if (left > 0 && left <= unknownMs) return undefined;
      return lookUps.get(id) ?? lookUp(id);
    },
  };
}

/** What a caller has shown, as the list may name it. */
export interface Shown {
  /** A token's subject, and its `sub` if that is another; an API key's owner, its creator, and who got the secret. */
  subjects: readonly string[];
  tokenId?: string | undefined;
  /** In milliseconds since 1970. */
  issuedAt: number | undefined;
}

/** By how much clocks may differ, as a rule: what was issued so soon after a revocation is revoked, too. */
export const usualLeewayMs = 5_000;

/** Whether what a caller has shown was revoked: by its own id, or with a subject after it was issued. */
export function isRevoked(
  { tokens, subjects: revoked }: Revocations,
  shown: Shown,
  leewayMs: number,
  now = new Date(),
): boolean {
  const { subjects, tokenId, issuedAt = 0 } = shown;
  if (tokenId !== undefined && tokens.has(tokenId)) return true;
  return subjects.some((subject) => {
    const until = revoked.get(subject);
    // A token may be old if it doesn't say when it was issued, or says that it is still to be: a clock was ahead.
    const isUnclear = issuedAt > now.getTime() + leewayMs;
    return until !== undefined && (isUnclear || issuedAt <= until + leewayMs);
  });
}
