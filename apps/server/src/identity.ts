/**
 * Identities: the keys that check callers' tokens, and the tokens with which this process's contexts call others.
 * Without configured keys (the embedded system) a key is made once and stored beside the data.
 */
import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ConfigError } from '@caudal/config/config.ts';
import type { Context } from '@caudal/context/context.ts';
import { createFileAtomic } from '@caudal/embedded-postgres/create-file-atomic.ts';
import type { Caller } from '@caudal/kernel/context.ts';
import { type Authenticate, authenticator } from '@caudal/rpc/server/auth.ts';
import { generateKey, type Key, signToken, type TokenSource, tokenSource } from '@caudal/rpc/server/tokens.ts';
import type { JSONWebKeySet, JWK } from 'jose';
import type { RuntimeValues } from './settings/settings.ts';
import { noKeys } from './settings/start-checks.ts';

export interface Identity {
  auth: Authenticate | 'off';
  /** A context as the caller of a service in the same process. */
  callerOf(context: Context): Caller;
  /** A context's tokens for services in other processes; undefined if those need none. */
  tokensOf(context: Pick<Context, 'name' | 'permissions'>): TokenSource | undefined;
  /** Signs a token; undefined if this process has no key to sign with. */
  sign(subject: string, permissions: string[], ttlSeconds: number): Promise<string> | undefined;
}

const SERVICE_TOKEN_SECONDS = 300;

/** The settings of an identity. */
export type IdentityValues = Pick<
  RuntimeValues,
  'CAUDAL_AUTH' | 'CAUDAL_JWKS' | 'CAUDAL_SERVICE_KEY' | 'CAUDAL_ISSUER' | 'CAUDAL_AUDIENCE' | 'CAUDAL_CUSTOMER_CLAIM'
>;

/** `keyDirectory`: where a key is made if none is configured; undefined: none is made. */
export async function openIdentity(values: IdentityValues, keyDirectory: string | undefined): Promise<Identity> {
  const { CAUDAL_ISSUER: issuer, CAUDAL_AUDIENCE: audience, CAUDAL_CUSTOMER_CLAIM: claim } = values;
  const { keys, signingKey } = await findKeys(values, keyDirectory);
  return {
    auth: values.CAUDAL_AUTH === 'off' ? 'off' : authenticator({ keys: keys!, issuer, audience, claim }),
    callerOf: ({ name, permissions }) => ({ subject: `service:${name}`, permissions: new Set(permissions) }),
    tokensOf({ name, permissions }) {
      if (!signingKey) return undefined;
      const content = { key: signingKey, issuer, audience, permissions, ttlSeconds: SERVICE_TOKEN_SECONDS };
      return tokenSource({ ...content, subject: `service:${name}` });
    },
    sign: (subject, permissions, ttlSeconds) =>
      signingKey && signToken({ key: signingKey, issuer, audience, claim, subject, permissions, ttlSeconds }),
  };
}

interface Keys {
  keys: JSONWebKeySet | URL | undefined;
  signingKey: JWK | undefined;
}

async function findKeys(values: IdentityValues, keyDirectory: string | undefined): Promise<Keys> {
  const { CAUDAL_SERVICE_KEY: signingKey, CAUDAL_JWKS: keys, CAUDAL_AUTH } = values;
  if (keys || CAUDAL_AUTH === 'off') return { keys, signingKey };
  if (!keyDirectory) throw new ConfigError([noKeys]);
  const key = await keptKey(keyFile(keyDirectory));
  return { keys: { keys: [key.publicKey] }, signingKey: signingKey ?? key.privateKey };
}

const keyFile = (directory: string) => join(directory, 'key.json');

/** Whether a system has made its key in this data directory. */
export function hasKey(directory: string): boolean {
  return existsSync(keyFile(directory));
}

/** The key in this file, which is made if it is missing. Two processes that make it at the same moment agree on one. */
async function keptKey(file: string): Promise<Key> {
  const read = async () => JSON.parse(await readFile(file, 'utf8')) as Key;
  try {
    return await read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const key = await generateKey('caudal-development');
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  await createFileAtomic(file, JSON.stringify(key));
  return read();
}
