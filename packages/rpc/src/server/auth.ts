/** Who calls: checks JSON Web Tokens (RFC 7519) and turns them into callers. */
import type { Caller } from '@caudal/kernel/context.ts';
import { CaudalError, unavailable } from '@caudal/kernel/errors.ts';
import { logger } from '@caudal/telemetry/log.ts';
import {
  createLocalJWKSet,
  createRemoteJWKSet,
  errors,
  type JSONWebKeySet,
  type JWTPayload,
  type JWTVerifyGetKey,
  jwtVerify,
} from 'jose';
import { LRUCache } from 'lru-cache';

/**
 * Turns the value of an `Authorization` header into a caller; at once, if it has been seen before. Rejects with
 * UNAUTHENTICATED, or UNAVAILABLE without keys.
 */
export type Authenticate = (authorization: string | undefined) => Caller | Promise<Caller>;

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

/** In development everybody is this caller, and nobody else ever has the permission `*`. */
export const developer: Caller = { subject: 'dev', permissions: new Set(['*']) };

const log = logger('rpc');
const algorithms = ['EdDSA', 'ES256', 'RS256'];
/** A token that was checked is not checked again for this long: a check costs 350 us, a look-up 1. */
const rememberMs = 300_000;
const maxRemembered = 10_000;
/** Of all that is remembered: some 10,000 tokens of the usual size. */
const maxRememberedCharacters = 16 * 1024 * 1024;
const maxTokenCharacters = 8_192;

/** Checks tokens against these keys. Permissions are the words of the claim `scope`; the subject is `sub`. */
export function authenticator({ keys, issuer, audience, leewaySeconds = 5 }: AuthOptions): Authenticate {
  const keySet = keys instanceof URL ? fetchedKeys(keys) : createLocalJWKSet(keys);
  // By the whole header: hashing it first costs more than all else about a look-up.
  const known = new LRUCache<string, { caller: Caller; until: number }>({
    max: maxRemembered,
    maxSize: maxRememberedCharacters,
    sizeCalculation: (_, header) => header.length,
  });

  return (authorization) => {
    const remembered = authorization === undefined ? undefined : known.get(authorization);
    return remembered && Date.now() < remembered.until ? remembered.caller : check(authorization);
  };

  async function check(authorization: string | undefined): Promise<Caller> {
    const payload = await verify(bearer(authorization));
    const caller = callerOf(payload);
    const until = Math.min(Date.now() + rememberMs, ((payload.exp ?? 0) + leewaySeconds) * 1000);
    known.set(authorization!, { caller, until });
    return caller;
  }

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

/** Keys are fetched again when they are so old, beside the calls that use them, */
const refreshMs = 600_000;
/** and used until then, should their issuer be away: it must not take the whole system with it. */
const maxAgeMs = 24 * 3_600_000;
/** After a fetch that failed. */
const retryMs = 30_000;

/** Keys from a URL, kept at hand. A token that names another one makes them be fetched at once, every 10 s at most. */
function fetchedKeys(url: URL): JWTVerifyGetKey {
  const remote = createRemoteJWKSet(url, { timeoutDuration: 3_000, cooldownDuration: 10_000, cacheMaxAge: maxAgeMs });
  let refreshAt = 0;
  const refresh = async () => {
    refreshAt = Date.now() + retryMs;
    try {
      await remote.reload();
      refreshAt = Date.now() + refreshMs;
    } catch (error) {
      log.error(
        { err: error, url: `${url.origin}${url.pathname}` },
        'the keys of tokens can not be fetched; those at hand are used on',
      );
    }
  };
  return (header, token) => {
    // The first time there is nothing at hand: then the fetch is waited for, by `remote` itself.
    if (Date.now() >= refreshAt) void refresh();
    return remote(header, token);
  };
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

/** `*` in a token is no permission: everything, internal methods included, is for the development mode alone. */
function callerOf({ sub, scope }: JWTPayload): Caller {
  if (!sub) throw unauthenticated('TOKEN_INVALID', 'The token names no subject.');
  // Callers without a token have these subjects: a token with one could not be told from them in the log.
  if (/^(webhook|public):/.test(sub))
    throw unauthenticated('TOKEN_INVALID', 'The token names a subject that is not for tokens.');
  const words = typeof scope === 'string' ? scope.split(' ').filter((word) => word !== '' && word !== '*') : [];
  return { subject: sub, permissions: new Set(words) };
}

function unauthenticated(reason: string, message: string, cause?: unknown): CaudalError {
  return new CaudalError('UNAUTHENTICATED', reason, message, { cause });
}
