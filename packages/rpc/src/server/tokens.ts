/** Makes tokens and keys: for services that call each other, for the development CLI and for tests. */
import { newId } from '@caudal/kernel/ids.ts';
import { exportJWK, generateKeyPair, importJWK, type JWK, SignJWT } from 'jose';

export interface Key {
  /** For signing. Keep it in a secret. */
  privateKey: JWK;
  /** For checking. It belongs into the key set of the servers. */
  publicKey: JWK;
}

/** A new Ed25519 key. `id` is its name in a key set. */
export async function generateKey(id: string): Promise<Key> {
  const { privateKey, publicKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true });
  const named = { kid: id, alg: 'EdDSA', use: 'sig' };
  return {
    privateKey: { ...(await exportJWK(privateKey)), ...named },
    publicKey: { ...(await exportJWK(publicKey)), ...named },
  };
}

export interface TokenContent {
  key: JWK;
  issuer: string;
  audience: string;
  /** A customer's id, or `service:<name>`. */
  subject: string;
  /** `orders.orders.place`, or the same with `:any`. */
  permissions: string[];
  /** How long the token is valid, in seconds. */
  ttlSeconds: number;
  /** The claim by which servers know the caller, if it is not `sub`: it has the subject too. */
  claim?: string;
}

/** A signed token. */
export async function signToken(content: TokenContent): Promise<string> {
  const { key, issuer, audience, subject, permissions, ttlSeconds, claim = 'sub' } = content;
  const now = Math.floor(Date.now() / 1000);
  const named = claim === 'sub' ? {} : { [claim]: subject, ...(claim === 'email' && { email_verified: true }) };
  return new SignJWT({ scope: permissions.join(' '), ...named })
    .setProtectedHeader({ alg: key.alg ?? 'EdDSA', kid: key.kid })
    .setIssuer(issuer)
    .setAudience(audience)
    .setSubject(subject)
    .setJti(newId())
    .setIssuedAt(now)
    .setExpirationTime(now + ttlSeconds)
    .sign(await importJWK(key, key.alg ?? 'EdDSA'));
}

/** Returns the token to send with a call. */
export type TokenSource = () => Promise<string>;

/** A service's own tokens, signed when needed. */
export function tokenSource(content: TokenContent): TokenSource {
  return renewing(() => signToken(content), content.ttlSeconds);
}

/**
 * Tokens that are valid for `ttlSeconds`. A token is used until a fifth of its time is left; then `sign` makes a new
 * one. So it does once the clock was set back: others would find that the token is valid for too long.
 */
export function renewing(sign: () => Promise<string>, ttlSeconds: number): TokenSource {
  let current: { token: Promise<string>; signedAt: number; renewAt: number } | undefined;
  return () => {
    const now = Date.now();
    if (!current || now < current.signedAt || now >= current.renewAt) {
      const token = sign();
      current = { token, signedAt: now, renewAt: now + ttlSeconds * 800 };
      // A failure rejects the calls that wait for this token, and the next call signs again.
      token.catch(() => {
        current = undefined;
      });
    }
    return current.token;
  };
}
