/**
 * API keys: `caudal_<id>_<secret>`. The id is a UUID in 32 hexadecimal digits, the secret 256 random bits in base64url. Of the
 * secret only the SHA-256 is kept anywhere: see docs/identity.md, API keys.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { sha256 } from '@caudal/kernel/sha256.ts';

/** What begins an API key, by which it is told from a token. */
export const apiKeyPrefix = 'caudal_';

const secretBytes = 32;
const form = /^caudal_([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{12})_([\w-]{43})$/;

/** The id and the secret in an API key; undefined if it is none. */
export function parseApiKey(text: string): { id: string; secret: string } | undefined {
  const [, a, b, c, d, e, secret] = form.exec(text) ?? [];
  return secret === undefined ? undefined : { id: `${a}-${b}-${c}-${d}-${e}`, secret };
}

/** The API key of this id and secret. */
export function formatApiKey(id: string, secret: string): string {
  return `${apiKeyPrefix}${id.replaceAll('-', '')}_${secret}`;
}

export const newSecret = (): string => randomBytes(secretBytes).toString('base64url');

/** A secret of this size can't be guessed, so a slow hash would only cost time. */
export const hashOfSecret = (secret: string): Buffer => sha256(secret);

/** An API key as processes keep it. */
export interface KnownApiKey {
  id: string;
  /** The subject that the key stands for. */
  owner: string;
  /** The subject that has made it. */
  creator: string;
  permissions: ReadonlySet<string>;
  /** Its secrets: the present one, and for a time the one before. Empty once it is revoked. */
  secrets: readonly KnownSecret[];
  /** In milliseconds since 1970. */
  expiresAt: number;
}

export interface KnownSecret {
  hash: Uint8Array;
  /** The subject that got it: the key's creator, or who has rotated it. */
  maker: string;
  /** When it was made, and when it ends; in milliseconds since 1970. */
  madeAt: number;
  endsAt: number;
}

/** The secret of the key that this one is, if it counts now. All are compared, so that the time says nothing. */
export function matchingSecret(
  { secrets, expiresAt }: KnownApiKey,
  secret: string,
  now: number,
): KnownSecret | undefined {
  const given = hashOfSecret(secret);
  let found: KnownSecret | undefined;
  for (const known of secrets)
    if (known.hash.length === given.length && timingSafeEqual(known.hash, given) && now < known.endsAt) found = known;
  return now < expiresAt ? found : undefined;
}
