/** Who calls: checks JSON Web Tokens (RFC 7519) and turns them into callers. */
import { createHash } from 'node:crypto';
import type { Caller } from '@caudal/kernel/context.ts';
import { CaudalError, unavailable } from '@caudal/kernel/errors.ts';
import { createLocalJWKSet, createRemoteJWKSet, errors, type JSONWebKeySet, type JWTPayload, jwtVerify } from 'jose';
import { LRUCache } from 'lru-cache';

/** Turns the value of an `Authorization` header into a caller. Throws UNAUTHENTICATED, or UNAVAILABLE without keys. */
export type Authenticate = (authorization: string | undefined) => Promise<Caller>;

export interface AuthOptions {
  /** The public keys: a set, or where to get one. It is fetched again when a token names an unknown key. */
  keys: JSONWebKeySet | URL;
  /** What tokens must have as `iss`. */
  issuer: string;
  /** What tokens must have among their `aud`. */
  audience: string;
  /** By how much clocks may differ, in seconds; 5 if absent. */
  leewaySeconds?: number;
}

/** In development everybody is this caller. */
export const developer: Caller = { subject: 'dev', permissions: new Set(['*']) };

const algorithms = ['EdDSA', 'ES256', 'RS256'];
/** A token that was checked is not checked again for this long: a check costs 350 us, a look-up 4. */
const rememberMs = 300_000;
const maxRemembered = 10_000;
const maxTokenCharacters = 8_192;

/** Checks tokens against these keys. Permissions are the words of the claim `scope`; the subject is `sub`. */
export function authenticator({ keys, issuer, audience, leewaySeconds = 5 }: AuthOptions): Authenticate {
  const keySet =
    keys instanceof URL
      ? createRemoteJWKSet(keys, { timeoutDuration: 3_000, cooldownDuration: 10_000, cacheMaxAge: 600_000 })
      : createLocalJWKSet(keys);
  const known = new LRUCache<string, Caller>({ max: maxRemembered });

  return async (authorization) => {
    const token = bearer(authorization);
    const key = createHash('sha256').update(token).digest('base64');
    const remembered = known.get(key);
    if (remembered) return remembered;
    const payload = await verify(token);
    const caller = callerOf(payload);
    const leftMs = ((payload.exp ?? 0) + leewaySeconds) * 1000 - Date.now();
    if (leftMs > 0) known.set(key, caller, { ttl: Math.min(leftMs, rememberMs) });
    return caller;
  };

  async function verify(token: string): Promise<JWTPayload> {
    try {
      const { payload } = await jwtVerify(token, keySet, {
        algorithms,
        issuer,
        audience,
        clockTolerance: leewaySeconds,
        requiredClaims: ['exp', 'sub'],
      });
      return payload;
    } catch (error) {
      if (error instanceof errors.JWTExpired) throw unauthenticated('TOKEN_EXPIRED', 'The token has expired.', error);
      // Keys that can't be fetched say nothing about the token.
      if (keys instanceof URL && !isAboutToken(error)) throw unavailable('The token issuer', error);
      throw unauthenticated('TOKEN_INVALID', 'The token is not valid here.', error);
    }
  }
}

function isAboutToken(error: unknown): boolean {
  return (
    error instanceof errors.JWSInvalid ||
    error instanceof errors.JWTInvalid ||
    error instanceof errors.JWTClaimValidationFailed ||
    error instanceof errors.JWSSignatureVerificationFailed ||
    error instanceof errors.JWKSNoMatchingKey ||
    error instanceof errors.JWKSMultipleMatchingKeys ||
    error instanceof errors.JOSEAlgNotAllowed ||
    error instanceof errors.JOSENotSupported
  );
}

function bearer(authorization: string | undefined): string {
  if (!authorization) throw unauthenticated('TOKEN_MISSING', 'The call carries no "Authorization: Bearer" token.');
  const token = /^Bearer +([\w.~+/=-]+)$/i.exec(authorization.trim())?.[1];
  if (!token || token.length > maxTokenCharacters)
    throw unauthenticated('TOKEN_INVALID', 'The authorization is no "Bearer" token.');
  return token;
}

function callerOf({ sub, scope }: JWTPayload): Caller {
  if (!sub) throw unauthenticated('TOKEN_INVALID', 'The token names no subject.');
  const words = typeof scope === 'string' ? scope.split(' ').filter(Boolean) : [];
  return { subject: sub, permissions: new Set(words) };
}

function unauthenticated(reason: string, message: string, cause?: unknown): CaudalError {
  return new CaudalError('UNAUTHENTICATED', reason, message, { cause });
}
