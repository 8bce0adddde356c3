/** A trust root: an issuer, its keys, and what its tokens must be. Checks JSON Web Tokens (RFC 7519) with it. */
import { CaudalError, unavailable } from '@caudal/kernel/errors.ts';
import {
  decodeProtectedHeader,
  errors,
  type JSONWebKeySet,
  type JWK,
  type JWTPayload,
  type JWTVerifyResult,
  jwtVerify,
} from 'jose';
import {
  type Discovery,
  type KeySet,
  type KeySource,
  type KeySourceOptions,
  keySource,
  keysWithout,
} from './key-sets.ts';

export interface TrustRootOptions {
  /** The public keys, or where they are. */
  keys: JSONWebKeySet | URL | Discovery;
  /** The required `iss` of tokens. */
  issuer: string;
  /** The value that the `aud` of tokens must include. */
  audience: string;
  /** The longest time from a token's `iat`, and from now, to its `exp`; not bounded if absent. */
  lifetime?: TokenLifetime;
  /** How the keys are kept. */
  keeping?: KeySourceOptions;
  /** What to do if no key fits a token, for the message: a sentence. */
  keyAdvice?: string;
}

export interface TokenLifetime {
  maxSeconds: number;
  /** The setting, for the message. */
  setting: string;
}

export interface TrustRoot {
  keys: KeySource;
  /** Checks a token. Rejects with UNAUTHENTICATED, or with UNAVAILABLE if there are no keys. */
  verify(token: string): Promise<Verified>;
}

export interface Verified {
  payload: JWTPayload;
  /** The key that has signed it; undefined if the token names none, or several have the name. */
  key: JWK | undefined;
  /** The keys of the root by which it was checked. */
  keySet: KeySet;
}

/** Calls with an unknown key that wait for the keys to be read again: anybody can make up a key's name. */
const maxRenewing = 16;
/** Characters of a key's name that a message shows: a caller may have made it up. */
const maxShown = 100;

const algorithms = ['EdDSA', 'ES256', 'RS256'];

/**
 * `leewaySeconds`: by how much clocks may differ. `reserved`: keys that don't count here, though they may be among those of this
 * root; nor does a token without a key's name meet them.
 */
export function trustRoot(options: TrustRootOptions, leewaySeconds: number, reserved?: KeySource): TrustRoot {
  const { issuer, audience, lifetime, keyAdvice = 'Check its key, iss and aud.' } = options;
  const keys = keySource(options.keys, options.keeping);
  let renewing = 0;
  const expected = { algorithms, issuer, audience, clockTolerance: leewaySeconds, requiredClaims: ['exp', 'sub'] };

  const without = keysWithout();
  const usable = async (keySet: KeySet) => (reserved ? without(keySet, await known(reserved.get())) : keySet);

  async function verifyWith(token: string, keySet: KeySet): Promise<JWTVerifyResult> {
    return jwtVerify(token, (await usable(keySet)).find, expected);
  }

  return {
    keys,
    async verify(token) {
      let keySet: KeySet | undefined;
      let result: JWTVerifyResult;
      try {
        keySet = await known(keys.get());
        try {
          result = await verifyWith(token, keySet);
        } catch (error) {
          if (!(error instanceof errors.JWKSNoMatchingKey) || !keys.isRemote || renewing >= maxRenewing) throw error;
          renewing++;
          const renewed = await known(keys.renew()).finally(() => renewing--);
          if (renewed === keySet) throw error;
          keySet = renewed;
          result = await verifyWith(token, keySet);
        }
      } catch (error) {
        if (error instanceof CaudalError) throw error;
        if (error instanceof errors.JWTExpired) throw unauthenticated('TOKEN_EXPIRED', 'The token has expired.', error);
        throw unauthenticated('TOKEN_INVALID', await problemOf(token, error, keySet), error);
      }
      checkTimes(result.payload);
      return { payload: result.payload, key: keyNamed(await usable(keySet), result.protectedHeader.kid), keySet };
    },
  };

  async function problemOf(token: string, error: unknown, keySet: KeySet | undefined): Promise<string> {
    const isUnknown = error instanceof errors.JWKSNoMatchingKey;
    if (!isUnknown && !(error instanceof errors.JWSSignatureVerificationFailed))
      return 'The token is not valid: check its key, iss and aud.';
    const { kid } = decodeProtectedHeader(token);
    if (isUnknown && keySet && keyNamed(keySet, kid) && !keyNamed(await usable(keySet), kid))
      return 'The token is signed by a key of a service, which can name services only.';
    const name = typeof kid === 'string' ? ` ${JSON.stringify(kid.slice(0, maxShown))}` : '';
    return `The token is signed by a key${name} that is not known here. ${keyAdvice}`;
  }

  /** If the keys can't be read, the token may be valid. */
  async function known(found: KeySet | Promise<KeySet>): Promise<KeySet> {
    try {
      return await found;
    } catch (error) {
      throw unavailable('The token issuer', error);
    }
  }

  function checkTimes({ iat, exp }: JWTPayload): void {
    if (!lifetime) return;
    const now = Date.now() / 1000;
    const { maxSeconds, setting } = lifetime;
    // An `iat` in the future shortens nothing: this clock may have been set back since.
    if (exp! - Math.min(now, iat ?? now) > maxSeconds + leewaySeconds)
      throw unauthenticated(
        'TOKEN_LIFETIME',
        `The token is valid for longer than ${setting} allows, ${maxSeconds} s: get one with an earlier exp.`,
      );
  }
}

/** The key of this name. Of several with one name it is not known which has signed. */
function keyNamed({ keys }: KeySet, keyId: string | undefined): JWK | undefined {
  const named = keyId === undefined ? [] : keys.filter(({ kid }) => kid === keyId);
  return named.length === 1 ? named[0] : undefined;
}

/** The error of a caller that could not be identified. */
export function unauthenticated(reason: string, message: string, cause?: unknown): CaudalError {
  return new CaudalError('UNAUTHENTICATED', reason, message, { cause });
}
