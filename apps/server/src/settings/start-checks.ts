/** Checks between settings before a process starts. Commands that only read the stores do not need them. */
import type { Check, Problem } from '@caudal/config/config.ts';
import { protectionsOf } from '@caudal/contract/personal.ts';
import { contexts } from '../contexts.ts';
import type { RuntimeValues, runtimeSettings } from './settings.ts';

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

/** Only these roles read or write what is personal. */
const rolesWithPersonalData = ['command', 'query', 'saga', 'jobs'];

/** The contexts of a process whose personal data it reads or writes. */
export function keepsPersonalData({
  CAUDAL_ROLES: roles,
  CAUDAL_CONTEXTS: own,
}: Pick<Values, 'CAUDAL_ROLES' | 'CAUDAL_CONTEXTS'>): string[] {
  if (!roles.some((role) => rolesWithPersonalData.includes(role))) return [];
  const withPersonal = contexts.filter(({ deciders }) =>
    deciders.some(({ entity }) => protectionsOf(entity.name).size > 0),
  );
  return withPersonal.flatMap(({ name }) => (own.includes(name) ? [name] : []));
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
  keyToSignWith,
  keyToSealWith,
  portsOfTheirOwn,
  archiveKeyWhole,
];
