/**
 * Identities: the roots that check callers' tokens, and the tokens with which this process's contexts call others. Without
 * configured keys (the embedded system) a key for each root is made once and stored beside the data. See docs/identity.md.
 */
import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ConfigError } from '@caudal/config/config.ts';
import type { Context } from '@caudal/context/context.ts';
import { createFileAtomic } from '@caudal/embedded-postgres/create-file-atomic.ts';
import type { Caller } from '@caudal/kernel/context.ts';
import { type ForwardKeys, forwardKeys } from '@caudal/rpc/forward/forward-keys.ts';
import {
  type Authenticate,
  type Authenticator,
  authenticator,
  type ServiceRootOptions,
} from '@caudal/rpc/server/auth.ts';
import type { Credentials } from '@caudal/rpc/server/credentials.ts';
import type { Discovery } from '@caudal/rpc/server/key-sets.ts';
import { generateKey, type Key, signToken, type TokenSource, tokenSource } from '@caudal/rpc/server/tokens.ts';
import type { JSONWebKeySet, JWK } from 'jose';
import { allowedTo, askedFor, serviceSubject } from './service-permissions.ts';
import { contextsInRole, parseKeySet, parseServiceKeySet, publicHalf } from './settings/keys.ts';
import type { RuntimeValues } from './settings/settings.ts';
import { noKeys } from './settings/start-checks.ts';
import { type WorkloadKeys, workloadKeys } from './workload-keys.ts';

export interface Identity {
  auth: Authenticate | 'off';
  /** Reads the keys that callers are checked with. Rejects if they can't be read. */
  prepare(): Promise<void>;
  /** A context as the caller of a service in the same process. */
  callerOf(context: Pick<Context, 'name' | 'permissions'>): Caller;
  /** A context's tokens for services in other processes; undefined if those need none. */
  tokensOf(context: Pick<Context, 'name' | 'permissions'>): TokenSource | undefined;
  /** How processes that forward calls prove themselves to each other; undefined if there are no keys of services. */
  forwardKeys: ForwardKeys | undefined;
  /** What this process signs beside tokens, and whose keys are trusted. */
  workloadKeys: WorkloadKeys;
  /** Signs a token; undefined if this process has no key to sign with. */
  sign(subject: string, permissions: string[], ttlSeconds: number): Promise<string> | undefined;
}

const SERVICE_TOKEN_SECONDS = 300;

/** The settings of an identity. */
export type IdentityValues = Pick<
  RuntimeValues,
  | 'CAUDAL_AUTH'
  | 'CAUDAL_JWKS'
  | 'CAUDAL_OIDC_ISSUER'
  | 'CAUDAL_ISSUER'
  | 'CAUDAL_AUDIENCE'
  | 'CAUDAL_CUSTOMER_CLAIM'
  | 'CAUDAL_TOKEN_MAX_LIFETIME'
  | 'CAUDAL_JWKS_MAX_STALE'
  | 'CAUDAL_ALLOW_HTTP_JWKS'
  | 'CAUDAL_TLS_REQUIRED'
  | 'CAUDAL_USER_KEY'
  | 'CAUDAL_SERVICE_KEY'
  | 'CAUDAL_SERVICE_JWKS'
  | 'CAUDAL_SERVICE_ISSUER'
  | 'CAUDAL_SERVICE_AUDIENCE'
  | 'CAUDAL_SERVICE_TOKEN_MAX_LIFETIME'
>;

/**
 * Opens the identity of a process. `keyDirectory`: where keys are made if none are configured; undefined: none are made.
 * `credentials`: revocations and API keys, which are opened later; absent: there are none. Rejects with ConfigError if keys are
 * missing, or their file is wrong.
 */
export async function openIdentity(
  values: IdentityValues,
  keyDirectory: string | undefined,
  credentials?: () => Credentials | undefined,
): Promise<Identity> {
  const { CAUDAL_AUDIENCE: audience, CAUDAL_CUSTOMER_CLAIM: claim } = values;
  const issuer = values.CAUDAL_OIDC_ISSUER ?? values.CAUDAL_ISSUER;
  const { users, services, userKey, serviceKey } = await findKeys(values, keyDirectory);
  const ofServices = {
    issuer: values.CAUDAL_SERVICE_ISSUER ?? issuer,
    audience: values.CAUDAL_SERVICE_AUDIENCE ?? audience,
  };
  const keeping = { maxStaleMs: values.CAUDAL_JWKS_MAX_STALE };
  const auth = (): Authenticator =>
    authenticator({
      keys: users!,
      issuer,
      audience,
      claim,
      keeping,
      lifetime: lifetimeOf('CAUDAL_TOKEN_MAX_LIFETIME', values),
      services: services && {
        ...ofServices,
        ...services,
        keeping,
        lifetime: lifetimeOf('CAUDAL_SERVICE_TOKEN_MAX_LIFETIME', values),
      },
      credentials,
    });
  const authenticate = values.CAUDAL_AUTH === 'off' ? undefined : auth();
  const ofForwarding =
    authenticate && services
      ? forwardKeys({
          ...ofServices,
          keys: services.keys,
          keeping,
          key: serviceKey,
          // Without keys of their own all processes have the one. Owners and those that forward to them take commands.
          contextsOf: (key) => (!services.allow ? ['*'] : key ? contextsInRole(key, 'command') : []),
        })
      : undefined;
  return {
    auth: authenticate ?? 'off',
    async prepare() {
      await Promise.all([authenticate?.prepare(), ofForwarding?.prepare()]);
    },
    forwardKeys: ofForwarding,
    callerOf: ({ name, permissions }) => ({
      subject: serviceSubject(name),
      permissions: new Set(permissions),
      kind: 'service',
    }),
    tokensOf({ name, permissions }) {
      if (!serviceKey) return undefined;
      return tokenSource({
        ...ofServices,
        key: serviceKey,
        subject: serviceSubject(name),
        permissions: askedFor(permissions),
        ttlSeconds: SERVICE_TOKEN_SECONDS,
      });
    },
    workloadKeys: workloadKeys({
      own: serviceKey,
      keys: services?.keys,
      bound: services?.allow !== undefined,
      maxStaleMs: values.CAUDAL_JWKS_MAX_STALE,
    }),
    sign(subject, permissions, ttlSeconds) {
      if (subject.startsWith('service:'))
        return serviceKey && signToken({ ...ofServices, key: serviceKey, subject, permissions, ttlSeconds });
      return userKey && signToken({ key: userKey, issuer, audience, claim, subject, permissions, ttlSeconds });
    },
  };
}

type Bound = 'CAUDAL_TOKEN_MAX_LIFETIME' | 'CAUDAL_SERVICE_TOKEN_MAX_LIFETIME';

const lifetimeOf = (setting: Bound, values: Pick<IdentityValues, Bound>) => ({
  maxSeconds: values[setting] / 1000,
  setting,
});

interface Keys {
  /** Undefined if no tokens are checked. */
  users: JSONWebKeySet | URL | Discovery | undefined;
  /** Null if no token of a service is accepted. */
  services: (Pick<ServiceRootOptions, 'allow' | 'exclusive' | 'keyAdvice'> & { keys: JSONWebKeySet | URL }) | null;
  /** Signs tokens of users, for the command line. */
  userKey: JWK | undefined;
  serviceKey: JWK | undefined;
}

async function findKeys(values: IdentityValues, keyDirectory: string | undefined): Promise<Keys> {
  const { CAUDAL_JWKS: jwks, CAUDAL_OIDC_ISSUER: issuer, CAUDAL_USER_KEY, CAUDAL_SERVICE_KEY } = values;
  // The metadata of an issuer at https:// may name keys at http://.
  const allowHttp = values.CAUDAL_ALLOW_HTTP_JWKS && !values.CAUDAL_TLS_REQUIRED;
  const users = issuer === undefined ? jwks : { issuer, allowHttp };
  if (users || values.CAUDAL_AUTH === 'off') {
    if (jwks) await checkFile('CAUDAL_JWKS', jwks, parseKeySet);
    return {
      users,
      services: await servicesOf(values, CAUDAL_SERVICE_KEY),
      userKey: CAUDAL_USER_KEY ?? CAUDAL_SERVICE_KEY,
      serviceKey: CAUDAL_SERVICE_KEY,
    };
  }
  if (!keyDirectory) throw new ConfigError([noKeys]);
  const ownUser = await keptKey(keyFile(keyDirectory), 'caudal-development');
  const ownService = await keptKey(join(keyDirectory, 'service-key.json'), 'caudal-development-services');
  const serviceKey = CAUDAL_SERVICE_KEY ?? ownService.privateKey;
  return {
    users: { keys: [ownUser.publicKey] },
    services: await servicesOf(values, serviceKey),
    userKey: ownUser.privateKey,
    serviceKey,
  };
}

/** The root of services: the keys of the settings, which are bound, or the public half of the one that all processes have. */
async function servicesOf(
  { CAUDAL_SERVICE_JWKS: keys }: IdentityValues,
  own: JWK | undefined,
): Promise<Keys['services']> {
  if (keys) {
    await checkFile('CAUDAL_SERVICE_JWKS', keys, parseServiceKeySet);
    return { keys, allow: allowedTo, exclusive: true, keyAdvice: 'Its public half must be in CAUDAL_SERVICE_JWKS.' };
  }
  if (!own) return null;
  const name = own.kid === undefined ? '' : ` ${JSON.stringify(own.kid)}`;
  return {
    keys: { keys: [publicHalf(own)] },
    keyAdvice: `This process takes tokens of services that are signed by its own CAUDAL_SERVICE_KEY${name} only: set the same one in all processes, or all public keys in CAUDAL_SERVICE_JWKS.`,
  };
}

/** A key set in a file is checked at the start, like one in a setting; later it is read as it is. */
async function checkFile(name: string, keys: JSONWebKeySet | URL, parse: (text: string) => unknown): Promise<void> {
  if (!(keys instanceof URL) || keys.protocol !== 'file:') return;
  try {
    // Version 0.2 took a URL from the file of CAUDAL_JWKS_FILE, which the chart mounted.
    if (parse(await readFile(keys, 'utf8')) instanceof URL)
      throw new Error(
        `it has the URL of keys, not the keys. Set ${name} to that URL: in the chart, in settings instead of secrets`,
      );
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const wrong = code === undefined ? message : `it can't be read (${code})`;
    throw new ConfigError([
      { name, wrong: `the file ${keys.pathname}: ${wrong}`, fix: 'Correct the file, or let the setting name another' },
    ]);
  }
}

const keyFile = (directory: string) => join(directory, 'key.json');

/** Whether a system has made its keys in this data directory. */
export function hasKey(directory: string): boolean {
  return existsSync(keyFile(directory));
}

/** The key in this file, which is made if it is missing. Two processes that make it at the same moment agree on one. */
async function keptKey(file: string, id: string): Promise<Key> {
  const read = async () => JSON.parse(await readFile(file, 'utf8')) as Key;
  try {
    return await read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const key = await generateKey(id);
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  await createFileAtomic(file, JSON.stringify(key));
  return read();
}
