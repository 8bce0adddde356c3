/** Checks between settings before a process starts. Commands that only read the stores do not need them. */
import type { Check, Problem } from '@caudal/config/config.ts';
import { contexts } from '../contexts.ts';
import type { RuntimeValues, runtimeSettings } from './settings.ts';
import { callsOverTls, incompleteTls, plainCalls, plainUrl } from './tls-checks.ts';

type RuntimeCheck = Check<typeof runtimeSettings>;
type Values = Pick<RuntimeValues, keyof typeof runtimeSettings>;

/** The problem if no keys are set to check tokens with. */
export const noKeys: Problem = {
  name: 'CAUDAL_JWKS',
  wrong: 'it is not set, so no token can be checked',
  fix: 'Set it to a JSON Web Key Set or the URL of one ("caudal keys" makes a pair), or CAUDAL_AUTH=off in development',
};

/** Whether a role of this process calls services of another process. */
function callsOthers({ CAUDAL_ROLES: roles, CAUDAL_CONTEXTS: own }: Values): boolean {
  const some = (...names: string[]) => roles.some((role) => names.includes(role));
  // Commands and sagas call commands and queries of other contexts; handlers read the logs of other contexts from them.
  if (own.length < contexts.length) return some('command', 'query', 'projector', 'saga');
  return some('command', 'saga') && !(roles.includes('command') && roles.includes('query'));
}

/** Only an embedded system makes a key by itself, and only if none is set. */
const makesKey = ({ DATABASE_URL, CAUDAL_JWKS }: Values) => !DATABASE_URL && !CAUDAL_JWKS;

const keysToCheckWith: RuntimeCheck = {
  of: ['CAUDAL_AUTH', 'CAUDAL_JWKS', 'DATABASE_URL'],
  problem: (values) => (values.CAUDAL_AUTH === 'jwt' && !values.CAUDAL_JWKS && !makesKey(values) ? noKeys : undefined),
};

const keyToSignWith: RuntimeCheck = {
  of: ['CAUDAL_AUTH', 'CAUDAL_SERVICE_KEY', 'CAUDAL_JWKS', 'DATABASE_URL', 'CAUDAL_ROLES', 'CAUDAL_CONTEXTS'],
  problem: (values) =>
    values.CAUDAL_AUTH === 'jwt' && !values.CAUDAL_SERVICE_KEY && !makesKey(values) && callsOthers(values)
      ? {
          name: 'CAUDAL_SERVICE_KEY',
          wrong:
            'it is not set, but this process calls the roles and contexts that CAUDAL_ROLES and CAUDAL_CONTEXTS leave out in other processes, which need a token',
          fix: 'Set it to the private key whose public key is in CAUDAL_JWKS ("caudal keys" makes a pair)',
        }
      : undefined,
};

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

const tlsEverywhere: RuntimeCheck = {
  of: ['CAUDAL_TLS_REQUIRED', 'CAUDAL_ROLES', 'CAUDAL_CONTEXTS', 'CAUDAL_TLS_CALLS', 'CAUDAL_FORWARD_HOST'],
  problem(values) {
    if (!values.CAUDAL_TLS_REQUIRED) return undefined;
    const forwards = values.CAUDAL_FORWARD_HOST !== undefined && values.CAUDAL_ROLES.includes('command');
    const isPlain = (callsOthers(values) || forwards) && !callsOverTls(values);
    return plainUrl(values) ?? (isPlain ? plainCalls : undefined);
  },
};

export const startChecks: RuntimeCheck[] = [
  keysToCheckWith,
  keyToSignWith,
  portsOfTheirOwn,
  archiveKeyWhole,
  tlsComplete,
  tlsEverywhere,
];
