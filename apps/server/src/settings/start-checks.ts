/** Checks between settings before a process starts. Commands that only read the stores do not need them. */
import type { Check, Problem } from '@caudal/config/config.ts';
import { contexts } from '../contexts.ts';
import { contextsWithPersonalData, rolesOfCredentials } from './credential-roles.ts';
import type { RuntimeValues, runtimeSettings } from './settings.ts';
import { callsOverTls, incompleteTls, plainCalls, plainUrl } from './tls-checks.ts';

type RuntimeCheck = Check<typeof runtimeSettings>;
type Values = Pick<RuntimeValues, keyof typeof runtimeSettings>;

/** The problem if no keys are set to check tokens with. */
export const noKeys: Problem = {
  name: 'CAUDAL_JWKS',
  wrong: 'it is not set, so no token can be checked',
  fix: 'Set it to a JSON Web Key Set or the URL of one ("caudal keys" makes a pair), or set CAUDAL_OIDC_ISSUER, or CAUDAL_AUTH=off in development',
};

/** Whether a role of this process calls services of another process. */
function callsOthers({ CAUDAL_ROLES: roles, CAUDAL_CONTEXTS: own }: Values): boolean {
  const some = (...names: string[]) => roles.some((role) => names.includes(role));
  // Commands and sagas call commands and queries of other contexts; handlers read the logs of other contexts from them.
  if (own.length < contexts.length) return some('command', 'query', 'projector', 'saga');
  return some('command', 'saga') && !(roles.includes('command') && roles.includes('query'));
}

/** Only an embedded system makes its keys by itself, and only if none are set. */
const makesKey = ({ DATABASE_URL, CAUDAL_JWKS, CAUDAL_OIDC_ISSUER }: Values) =>
  !DATABASE_URL && !CAUDAL_JWKS && !CAUDAL_OIDC_ISSUER;

const keysToCheckWith: RuntimeCheck = {
  of: ['CAUDAL_AUTH', 'CAUDAL_JWKS', 'CAUDAL_OIDC_ISSUER', 'DATABASE_URL'],
  problem: (values) =>
    values.CAUDAL_AUTH === 'jwt' && !values.CAUDAL_JWKS && !values.CAUDAL_OIDC_ISSUER && !makesKey(values)
      ? noKeys
      : undefined,
};

const oneIssuer: RuntimeCheck = {
  of: ['CAUDAL_JWKS', 'CAUDAL_OIDC_ISSUER'],
  problem: ({ CAUDAL_JWKS, CAUDAL_OIDC_ISSUER }) =>
    CAUDAL_JWKS && CAUDAL_OIDC_ISSUER
      ? {
          name: 'CAUDAL_OIDC_ISSUER',
          wrong: 'CAUDAL_JWKS is set as well, and both say which keys check the tokens of users',
          fix: 'Unset one of the two',
        }
      : undefined,
};

const keyToSignWith: RuntimeCheck = {
  of: [
    'CAUDAL_AUTH',
    'CAUDAL_SERVICE_KEY',
    'CAUDAL_JWKS',
    'CAUDAL_OIDC_ISSUER',
    'DATABASE_URL',
    'CAUDAL_ROLES',
    'CAUDAL_CONTEXTS',
  ],
  problem: (values) =>
    values.CAUDAL_AUTH === 'jwt' && !values.CAUDAL_SERVICE_KEY && !makesKey(values) && callsOthers(values)
      ? {
          name: 'CAUDAL_SERVICE_KEY',
          wrong:
            'it is not set, but this process calls the roles and contexts that CAUDAL_ROLES and CAUDAL_CONTEXTS leave out in other processes, which need a token',
          fix: 'Set it to a private key whose public half is in CAUDAL_SERVICE_JWKS, or that all processes share ("caudal keys" makes one)',
        }
      : undefined,
};

/** Whether services of other processes call this one: it serves some, and leaves others out. */
const isCalled = ({ CAUDAL_ROLES: roles, CAUDAL_CONTEXTS: own }: Values) =>
  (roles.includes('command') || roles.includes('query')) &&
  (own.length < contexts.length ||
    !['command', 'query', 'projector', 'saga'].every((role) => roles.some((own) => own === role)));

const keysOfServices: RuntimeCheck = {
  of: [
    'CAUDAL_AUTH',
    'CAUDAL_SERVICE_KEY',
    'CAUDAL_SERVICE_JWKS',
    'CAUDAL_JWKS',
    'CAUDAL_OIDC_ISSUER',
    'DATABASE_URL',
    'CAUDAL_ROLES',
    'CAUDAL_CONTEXTS',
  ],
  problem: (values) =>
    values.CAUDAL_AUTH === 'jwt' &&
    !values.CAUDAL_SERVICE_JWKS &&
    !values.CAUDAL_SERVICE_KEY &&
    !makesKey(values) &&
    // Without a key to sign with, the message above says it.
    !callsOthers(values) &&
    isCalled(values)
      ? {
          name: 'CAUDAL_SERVICE_JWKS',
          wrong:
            'it is not set, and neither is CAUDAL_SERVICE_KEY, so the calls of roles and contexts that run in other processes would be refused',
          fix: 'Set it to the public keys of those processes ("caudal keys --workload" makes them), or set CAUDAL_SERVICE_KEY as they do',
        }
      : undefined,
};

const isLoopback = (host: string) =>
  host === 'localhost' || host === '::1' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host);

/** A system on a developer's machine: its data and its listeners are for nobody else. */
const isPrivate = ({ DATABASE_URL, CAUDAL_HOST }: Values) => !DATABASE_URL && isLoopback(CAUDAL_HOST);

const authentication: RuntimeCheck = {
  of: ['CAUDAL_AUTH', 'CAUDAL_ALLOW_NO_AUTH', 'CAUDAL_HOST', 'DATABASE_URL'],
  problem: (values) =>
    values.CAUDAL_AUTH === 'off' && !values.CAUDAL_ALLOW_NO_AUTH && !isPrivate(values)
      ? {
          name: 'CAUDAL_AUTH',
          wrong: 'it is off, so that every caller is an administrator, on a real database or beyond loopback',
          fix: 'Leave it out and set keys (CAUDAL_JWKS or CAUDAL_OIDC_ISSUER), or set CAUDAL_ALLOW_NO_AUTH=true if that is meant',
        }
      : undefined,
};

/** One check for each setting that may name such a place, so that the message names it. */
const keysByHttp = (['CAUDAL_JWKS', 'CAUDAL_SERVICE_JWKS', 'CAUDAL_OIDC_ISSUER'] as const).map(
  (name): RuntimeCheck => ({
    of: [name, 'CAUDAL_ALLOW_HTTP_JWKS', 'CAUDAL_HOST', 'DATABASE_URL'],
    problem(values) {
      const place = values[name];
      const url = place instanceof URL ? place : typeof place === 'string' ? new URL(place) : undefined;
      if (url?.protocol !== 'http:' || values.CAUDAL_ALLOW_HTTP_JWKS) return undefined;
      if (isPrivate(values) && isLoopback(url.hostname)) return undefined;
      return {
        name,
        wrong: 'it begins with http://, so whoever is on the way can send keys that sign any token',
        fix: 'Use https:// or file://, or set CAUDAL_ALLOW_HTTP_JWKS=true if that is meant',
      };
    },
  }),
);

const portNames = ['CAUDAL_REST_PORT', 'CAUDAL_GRPC_PORT', 'CAUDAL_METRICS_PORT'] as const;

const portsOfTheirOwn: RuntimeCheck = {
  of: [...portNames],
  problem(values) {
    const twice = portNames.findLast((name, index) =>
      portNames.some((other, before) => before < index && values[name] && values[name] === values[other]),
    );
    return (
      twice && {
        name: twice,
        wrong: `${values[twice]} is the port of another listener`,
        fix: 'Set each to a different port',
      }
    );
  },
};

const archiveKeyWhole: RuntimeCheck = {
  of: ['CAUDAL_ARCHIVE_ACCESS_KEY_ID', 'CAUDAL_ARCHIVE_SECRET_ACCESS_KEY'],
  problem: ({ CAUDAL_ARCHIVE_ACCESS_KEY_ID: id, CAUDAL_ARCHIVE_SECRET_ACCESS_KEY: secret }) =>
    Boolean(id) === Boolean(secret)
      ? undefined
      : {
          name: id ? 'CAUDAL_ARCHIVE_SECRET_ACCESS_KEY' : 'CAUDAL_ARCHIVE_ACCESS_KEY_ID',
          wrong: 'it is not set, but the other half of the key is',
          fix: 'Set both, or neither',
        },
};

const tlsComplete: RuntimeCheck = {
  of: [
    'CAUDAL_TLS_CERTIFICATE',
    'CAUDAL_TLS_KEY',
    'CAUDAL_TLS_CA',
    'CAUDAL_TLS_SERVER_NAME',
    'CAUDAL_TLS_CLIENTS',
    'CAUDAL_AUTH',
  ],
  problem: incompleteTls,
};

/** For every command: each may use what it is told. */
export const urlsOverTls: RuntimeCheck = {
  of: ['CAUDAL_TLS_REQUIRED'],
  problem: (values) => (values.CAUDAL_TLS_REQUIRED ? plainUrl(values) : undefined),
};

const callsByTls: RuntimeCheck = {
  of: ['CAUDAL_TLS_REQUIRED', 'CAUDAL_ROLES', 'CAUDAL_CONTEXTS', 'CAUDAL_TLS_CALLS', 'CAUDAL_FORWARD_HOST'],
  problem(values) {
    if (!values.CAUDAL_TLS_REQUIRED) return undefined;
    const forwards = values.CAUDAL_FORWARD_HOST !== undefined && values.CAUDAL_ROLES.includes('command');
    return (callsOthers(values) || forwards) && !callsOverTls(values) ? plainCalls : undefined;
  },
};

/** The contexts of a process whose personal data it reads or writes. */
export function keepsPersonalData({
  CAUDAL_ROLES: roles,
  CAUDAL_CONTEXTS: own,
}: Pick<Values, 'CAUDAL_ROLES' | 'CAUDAL_CONTEXTS'>): string[] {
  if (!rolesOfCredentials.CAUDAL_PERSONAL_DATA_KEYS.some((role) => roles.includes(role))) return [];
  return contextsWithPersonalData.filter((name) => own.some((context) => context === name));
}

const keyToSealWith: RuntimeCheck = {
  of: [
    'CAUDAL_PERSONAL_DATA_KEYS',
    'CAUDAL_ALLOW_UNSEALED_PERSONAL_DATA',
    'DATABASE_URL',
    'CAUDAL_ROLES',
    'CAUDAL_CONTEXTS',
  ],
  problem(values) {
    if (values.CAUDAL_PERSONAL_DATA_KEYS || values.CAUDAL_ALLOW_UNSEALED_PERSONAL_DATA || !values.DATABASE_URL)
      return undefined;
    const own = keepsPersonalData(values);
    if (own.length === 0) return undefined;
    return {
      name: 'CAUDAL_PERSONAL_DATA_KEYS',
      wrong: `it is not set, but this process keeps personal data (${own.join(', ')})`,
      fix: 'Set it to "<name>:<key>", where "openssl rand -base64 32" prints a key, in all processes alike; or set CAUDAL_ALLOW_UNSEALED_PERSONAL_DATA=true to write personal data as it is',
    };
  },
};

export const startChecks: RuntimeCheck[] = [
  keysToCheckWith,
  oneIssuer,
  keyToSignWith,
  keysOfServices,
  authentication,
  ...keysByHttp,
  keyToSealWith,
  portsOfTheirOwn,
  archiveKeyWhole,
  tlsComplete,
  urlsOverTls,
  callsByTls,
];
