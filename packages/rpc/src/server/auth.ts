/** Checks JSON Web Tokens (RFC 7519) and turns them into callers. */
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
import { textRules } from '../schema/texts.ts';

/**
 * Turns the value of an `Authorization` header into a caller, without waiting if the token is cached. Rejects with
 * UNAUTHENTICATED, or with UNAVAILABLE if the keys can't be fetched.
 */
export type Authenticate = (authorization: string | undefined) => Caller | Promise<Caller>;

export interface AuthOptions {
  /** The public keys, or the URL of the key set. It is fetched again when a token names an unknown key. */
  keys: JSONWebKeySet | URL;
  /** The required `iss` of tokens. */
  issuer: string;
  /** The value that the `aud` of tokens must include. */
  audience: string;
  /** The claim that names the caller; `sub` if absent. Services are named by `sub` in any case. */
  claim?: string;
  /** By how much clocks may differ, in seconds; 5 if absent. */
  leewaySeconds?: number;
}

/** The caller of every call with `auth: 'off'`. No other caller has the permission `*`. */
export const developer: Caller = { subject: 'dev', permissions: new Set(['*']) };

const log = logger('rpc');
const algorithms = ['EdDSA', 'ES256', 'RS256'];
/** A token is checked again only after this time: a check takes 350 us, a look-up 1 us. */
const rememberMs = 300_000;
const maxRemembered = 10_000;
/** Of all cached tokens: some 10,000 of the usual size. */
const maxRememberedCharacters = 16 * 1024 * 1024;
const maxTokenCharacters = 8_192;
/** OpenID Connect Core 1.0, section 2. */
const maxSubject = 255;

/** Checks tokens with these keys. The permissions are the words of the claim `scope`. */
export function authenticator(options: AuthOptions): Authenticate {
  const { keys, issuer, audience, claim = 'sub', leewaySeconds = 5 } = options;
  const keySet = keys instanceof URL ? fetchedKeys(keys) : createLocalJWKSet(keys);
  // The key is the whole header: to hash it first would cost more than the rest of a look-up.
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
    const caller = callerOf(payload, claim);
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
      // If the keys can't be fetched, the token may be valid.
      if (keys instanceof URL && !isAboutToken(error)) throw unavailable('The token issuer', error);
      throw unauthenticated('TOKEN_INVALID', 'The token is not valid: check its key, iss and aud.', error);
    }
  }
}

/** The age at which keys are fetched again, in the background. */
const refreshMs = 600_000;
/** The age up to which keys are used while the issuer is unreachable, so that its outage is not one of the system. */
const maxAgeMs = 24 * 3_600_000;
/** The wait after a failed fetch. */
const retryMs = 30_000;

/** Keys from a URL, cached. A token with an unknown key causes a fetch at once, but at most every 10 s. */
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
        'the keys for tokens cannot be fetched; the last keys stay in use',
      );
    }
  };
  return (header, token) => {
    // The first time there are no keys yet. Then `remote` itself waits for the fetch.
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

/** `*` in a token is ignored: only development mode allows everything, including internal methods. */
function callerOf(payload: JWTPayload, claim: string): Caller {
  const { scope } = payload;
  const subject = subjectOf(payload, claim);
  const words = typeof scope === 'string' ? scope.split(' ').filter((word) => word !== '' && word !== '*') : [];
  return { subject, permissions: new Set(words) };
}

/**
 * The caller's name: `sub`, or of users the claim that the setting names. Only `sub` can name a service, since an issuer
 * lets users choose what some other claims have. Throws UNAUTHENTICATED if it is no good name.
 */
function subjectOf(payload: JWTPayload, claim: string): string {
  const sub = checked(payload.sub, 'sub');
  if (claim === 'sub' || sub.startsWith('service:')) return sub;
  const subject = checked(payload[claim], claim);
  if (subject.startsWith('service:'))
    throw unauthenticated('TOKEN_INVALID', `The claim ${claim} of a token must not begin with "service:".`);
  // Some issuers write it as text.
  if (claim === 'email' && payload.email_verified !== true && payload.email_verified !== 'true')
    throw unauthenticated(
      'TOKEN_INVALID',
      'The claim email names the caller, so the token needs email_verified: true.',
    );
  return subject;
}

function checked(value: unknown, claim: string): string {
  if (typeof value !== 'string' || value === '')
    throw unauthenticated('TOKEN_INVALID', `The token names no caller: give it the claim ${claim}, which is a text.`);
  if (value.length > maxSubject || textRules.line(value as never))
    throw unauthenticated(
      'TOKEN_INVALID',
      `The claim ${claim} of a token is a text of one line, of at most ${maxSubject} characters.`,
    );
  // These are the subjects of callers without a token. In the log, a token with one could not be told from them.
  if (/^(webhook|public):/.test(value))
    throw unauthenticated(
      'TOKEN_INVALID',
      `The claim ${claim} of a token must not begin with "webhook:" or "public:".`,
    );
  return value;
}

function unauthenticated(reason: string, message: string, cause?: unknown): CaudalError {
  return new CaudalError('UNAUTHENTICATED', reason, message, { cause });
}
