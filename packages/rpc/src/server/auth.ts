/**
 * Turns what a caller shows into a caller: a token of a user, of a service, or an API key. The roots of users and services are
 * apart, and the `sub` of a token chooses the one that is asked: see docs/identity.md.
 */
import type { Caller } from '@caudal/kernel/context.ts';
import { isCode, unavailable } from '@caudal/kernel/errors.ts';
import { decodeJwt, type JWK, type JWTPayload } from 'jose';
import { LRUCache } from 'lru-cache';
import { textRules } from '../schema/texts.ts';
import { apiKeyPrefix, matchingSecret, parseApiKey } from './api-keys.ts';
import { type Credentials, isRevoked, type Revocations, type Shown, usualLeewayMs } from './credentials.ts';
import { isSameKey, type KeySet } from './key-sets.ts';
import { type TrustRoot, type TrustRootOptions, trustRoot, unauthenticated } from './trust-root.ts';

/**
 * Turns the value of an `Authorization` header into a caller, without waiting if the token is cached. Rejects with
 * UNAUTHENTICATED, or with UNAVAILABLE if the keys, or the list of revocations, can't be read. `mayCheck` is called before a token or
 * API key is checked that was not found right before; what it throws is thrown.
 */
export type Authenticate = (authorization: string | undefined, mayCheck?: () => void) => Caller | Promise<Caller>;

export interface Authenticator extends Authenticate {
  /** Reads the keys that are not given. Rejects if that fails: until it succeeds no token can be checked. */
  prepare(): Promise<void>;
}

/** The root of users' tokens, and what is beside it. */
export interface AuthOptions extends TrustRootOptions {
  /** The claim that names the caller; `sub` if absent. Services are named by `sub` in any case. */
  claim?: string;
  /** By how much clocks may differ, in seconds; 5 if absent. */
  leewaySeconds?: number;
  /**
   * The root of services' tokens; null: there are no services. Absent: the one root is also that of services, and any of its
   * keys may name any service.
   */
  services?: ServiceRootOptions | null;
  /** Revocations and API keys: called with each call, since they are opened later. Absent, or undefined: there are none. */
  credentials?(): Credentials | undefined;
}

export interface ServiceRootOptions extends TrustRootOptions {
  /**
   * The permissions that count of those that a token has asked for, if its key may sign tokens of this subject; undefined if
   * not. Absent: each key may sign for each service, and all permissions count.
   */
  allow?(key: JWK, subject: string, asked: ReadonlySet<string>): ReadonlySet<string> | undefined;
  /** Whether a key that is also among those of users signs tokens of services only. */
  exclusive?: boolean;
}

/** The caller of every call with `auth: 'off'`. No other caller has the permission `*`. */
export const developer: Caller = { subject: 'dev', permissions: new Set(['*']) };

/** A token is checked again only after this time: a check takes 350 us, a look-up 1 us. */
const rememberMs = 300_000;
const maxRemembered = 10_000;
/** Of all cached tokens: some 10,000 of the usual size. */
const maxRememberedCharacters = 16 * 1024 * 1024;
const maxTokenCharacters = 8_192;
/** OpenID Connect Core 1.0, section 2. */
const maxSubject = 255;

/** A checked token. It counts while its key is among the keys, and the list doesn't name it. */
interface Remembered {
  caller: Caller;
  until: number;
  root: TrustRoot;
  /** The key that has signed it; undefined if the token names none. */
  key: JWK | undefined;
  /** The keys among which it was found last. */
  keySet: KeySet;
  shown: Shown;
  /** The list that was asked last. Undefined if there was none, null if it needs none. */
  revocations: Revocations | undefined | null;
}

/** Checks what callers show. The permissions of a token are the words of its claim `scope`. */
export function authenticator(options: AuthOptions): Authenticator {
  const { claim = 'sub', leewaySeconds = usualLeewayMs / 1000, services, credentials = () => undefined } = options;
  const apart = services ? trustRoot(services, leewaySeconds) : services;
  // Otherwise the key of a pod, if it has been left in the users' set, could make users.
  const users = trustRoot(options, leewaySeconds, services?.exclusive ? apart?.keys : undefined);
  const ofServices = apart === undefined ? users : apart;
  const leewayMs = leewaySeconds * 1000;
  // The key is the token itself: to hash it first would cost more than the rest of a look-up. Not the header, in which there may be blanks
  // without end.
  const known = new LRUCache<string, Remembered>({
    max: maxRemembered,
    maxSize: maxRememberedCharacters,
    sizeCalculation: (_, token) => token.length,
  });

  /** API keys that were right. They are checked with each call, which costs little once they are known. */
  const rightKeys = new LRUCache<string, true>({ max: maxRemembered });

  const authenticate: Authenticate = (authorization, mayCheck) => {
    let token: string;
    try {
      token = bearer(authorization);
    } catch (error) {
      if (authorization) mayCheck?.();
      return Promise.reject(error);
    }
    const remembered = known.get(token);
    if (remembered && isCurrent(remembered)) return remembered.caller;
    if (!remembered && !rightKeys.has(token)) mayCheck?.();
    return check(token).catch((error) => {
      // A wrong one is looked at once, and counts from then on.
      if (isCode(error, 'UNAUTHENTICATED')) {
        known.delete(token);
        rightKeys.delete(token);
      }
      throw error;
    });
  };
  return Object.assign(authenticate, {
    async prepare() {
      await Promise.all([users.keys.get(), ofServices?.keys.get()]);
    },
  });

  /** Compares objects. Only if keys or list are others, it looks whether they still say the same of this token. */
  function isCurrent(remembered: Remembered): boolean {
    if (Date.now() >= remembered.until) return false;
    const keySet = remembered.root.keys.get();
    if (keySet !== remembered.keySet) {
      const { key, caller } = remembered;
      // Of a service's key the contexts may be others.
      if (caller.kind === 'service') return false;
      if (keySet instanceof Promise || !key || !keySet.keys.some((other) => isSameKey(key, other))) return false;
      remembered.keySet = keySet;
    }
    if (remembered.revocations === null) return true;
    const revocations = credentials()?.revocations();
    if (revocations !== remembered.revocations) {
      if (!revocations || revocations instanceof Promise || isRevoked(revocations, remembered.shown, leewayMs))
        return false;
      remembered.revocations = revocations;
    }
    return true;
  }

  async function check(text: string): Promise<Caller> {
    if (text.startsWith(apiKeyPrefix)) {
      const caller = await callerOfKey(text, credentials(), leewayMs);
      rightKeys.set(text, true);
      return caller;
    }
    const names = namesService(text);
    const root = names ? ofServices : users;
    if (!root)
      throw unauthenticated(
        'TOKEN_INVALID',
        'No token of a service is accepted here: the keys that sign them, CAUDAL_SERVICE_JWKS, are not set.',
      );
    // Services are not revoked by name, and the list is read with a service's token. It is read beside the keys.
    const asked = names ? null : credentials()?.revocations();
    if (asked instanceof Promise) asked.catch(() => {});
    const { payload, key, keySet } = await root.verify(text);
    const caller = names ? serviceOf(payload, key, services?.allow) : userOf(payload, claim);
    const shown: Shown = {
      subjects: [caller.subject, caller.tokenSubject ?? caller.subject],
      tokenId: caller.credential,
      issuedAt: caller.issuedAt,
    };
    const revocations = await available(asked);
    if (revocations && isRevoked(revocations, shown, leewayMs))
      throw unauthenticated(
        'TOKEN_REVOKED',
        'The token was revoked: get a new one, a few seconds after the revocation.',
      );
    const until = Math.min(Date.now() + rememberMs, ((payload.exp ?? 0) + leewaySeconds) * 1000);
    known.set(text, { caller, until, root, key, keySet, shown, revocations });
    return caller;
  }
}

/** Whether the token, which is not checked yet, names a service. */
function namesService(token: string): boolean {
  try {
    const { sub } = decodeJwt(token);
    return typeof sub === 'string' && sub.startsWith('service:');
  } catch {
    // The check says what is wrong with it.
    return false;
  }
}

function bearer(authorization: string | undefined): string {
  if (!authorization) throw unauthenticated('TOKEN_MISSING', 'The call carries no "Authorization: Bearer" token.');
  const token = /^Bearer +([\w.~+/=-]+)$/i.exec(authorization.trim())?.[1];
  if (!token || token.length > maxTokenCharacters)
    throw unauthenticated('TOKEN_INVALID', 'The authorization is no "Bearer" token.');
  return token;
}

/** While they can't be read, what is shown may be right, or revoked. */
async function available<T>(found: T | Promise<T>): Promise<T> {
  try {
    return await found;
  } catch (error) {
    throw unavailable('credentials', error);
  }
}

/** The caller of an API key. An unknown key, a wrong secret and a revoked key get the same answer. */
async function callerOfKey(text: string, credentials: Credentials | undefined, leewayMs: number): Promise<Caller> {
  const refused = () =>
    unauthenticated('API_KEY_INVALID', 'The API key is unknown, revoked or expired, or its secret is wrong.');
  const given = parseApiKey(text);
  if (!credentials || !given) throw refused();
  const [key, revocations] = await available(Promise.all([credentials.apiKey(given.id), credentials.revocations()]));
  const secret = key && matchingSecret(key, given.secret, Date.now());
  if (!secret) throw refused();
  if (isRevoked(revocations, { subjects: [key.owner, key.creator, secret.maker], issuedAt: secret.madeAt }, leewayMs))
    throw refused();
  return {
    ...{ subject: userNamed(key.owner, 'owner'), permissions: key.permissions, kind: 'key', credential: key.id },
    ...(secret.maker !== key.owner && { keyMaker: secret.maker }),
  };
}

/** `*` in a token is ignored: only development mode allows everything, including internal methods. */
function permissionsOf({ scope }: JWTPayload): Set<string> {
  return new Set(typeof scope === 'string' ? scope.split(' ').filter((word) => word !== '' && word !== '*') : []);
}

/** The token's id, by which it may be revoked. */
function credentialOf({ jti }: JWTPayload): Pick<Caller, 'credential'> {
  return typeof jti === 'string' && jti !== '' && jti.length <= maxSubject ? { credential: jti } : {};
}

function userOf(payload: JWTPayload, claim: string): Caller {
  const subject = subjectOf(payload, claim);
  return {
    ...{ subject, permissions: permissionsOf(payload), kind: 'user', ...credentialOf(payload) },
    ...(payload.iat !== undefined && { issuedAt: payload.iat * 1000 }),
    ...(payload.sub !== subject && { tokenSubject: payload.sub! }),
  };
}

function serviceOf(payload: JWTPayload, key: JWK | undefined, allow: ServiceRootOptions['allow']): Caller {
  const subject = checked(payload.sub, 'sub');
  const asked = permissionsOf(payload);
  const permissions = allow ? key && allow(key, subject, asked) : asked;
  if (!permissions)
    throw unauthenticated(
      'TOKEN_INVALID',
      `The token's key may not sign tokens of ${subject}: it needs a "kid" of its own in CAUDAL_SERVICE_JWKS, and the context in its "caudal_contexts".`,
    );
  return { subject, permissions, kind: 'service', ...credentialOf(payload) };
}

/**
 * The caller's name: `sub`, or the claim that the setting names. Only `sub` can name a service, since an issuer lets users
 * choose what some other claims have. Throws UNAUTHENTICATED if it is no good name.
 */
function subjectOf(payload: JWTPayload, claim: string): string {
  const sub = userNamed(payload.sub, 'sub');
  if (claim === 'sub') return sub;
  const subject = userNamed(payload[claim], claim);
  // Some issuers write it as text.
  if (claim === 'email' && payload.email_verified !== true && payload.email_verified !== 'true')
    throw unauthenticated(
      'TOKEN_INVALID',
      'The claim email names the caller, so the token needs email_verified: true.',
    );
  return subject;
}

/** Only the root of services makes services. */
function userNamed(value: unknown, claim: string): string {
  const subject = checked(value, claim);
  if (subject.startsWith('service:'))
    throw unauthenticated('TOKEN_INVALID', `The claim ${claim} of a token must not begin with "service:".`);
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
