import { randomBytes } from 'node:crypto';
import { checkConfig } from '@caudal/config/config.ts';
import { generateKey } from '@caudal/rpc/server/tokens.ts';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { settings } from './settings.ts';
import { startChecks } from './start-checks.ts';

let keys: { CAUDAL_JWKS: string; CAUDAL_SERVICE_KEY: string };
beforeAll(async () => {
  const { publicKey, privateKey } = await generateKey('k');
  keys = { CAUDAL_JWKS: JSON.stringify({ keys: [publicKey] }), CAUDAL_SERVICE_KEY: JSON.stringify(privateKey) };
});

const DATABASE_URL = 'postgres://127.0.0.1/caudal';
const sealing = { CAUDAL_PERSONAL_DATA_KEYS: `first:${randomBytes(32).toString('base64')}` };
const real = { DATABASE_URL, ...sealing };
/** The settings that are wrong. */
const wrong = (env: Record<string, string>) =>
  checkConfig(settings, env, { checks: startChecks }).problems.map(({ name }) => name);

describe('before a process starts', () => {
  test('no settings, all settings, and authentication off are accepted', () => {
    expect(wrong({})).toEqual([]);
    expect(wrong({ ...real, ...keys })).toEqual([]);
    expect(wrong({ ...real, CAUDAL_AUTH: 'off', CAUDAL_ALLOW_NO_AUTH: 'true', CAUDAL_ROLES: 'saga' })).toEqual([]);
  });

  test('keys to check tokens with are required', () => {
    expect(wrong(real)).toEqual(['CAUDAL_JWKS']);
    expect(wrong({ ...real, CAUDAL_OIDC_ISSUER: 'https://issuer.test' })).toEqual([]);
    expect(wrong({ CAUDAL_OIDC_ISSUER: 'https://issuer.test', CAUDAL_JWKS: keys.CAUDAL_JWKS })).toEqual([
      'CAUDAL_OIDC_ISSUER',
    ]);
  });

  test.each([
    ['all roles of some contexts', { CAUDAL_CONTEXTS: 'orders' }],
    ['sagas without commands', { CAUDAL_ROLES: 'saga' }],
    ['commands without queries', { CAUDAL_ROLES: 'command' }],
    ['projections of some contexts', { CAUDAL_ROLES: 'projector', CAUDAL_CONTEXTS: 'orders' }],
  ])('a key to sign with is required for %s', (_, env) => {
    const { CAUDAL_JWKS } = keys;
    expect(wrong({ ...real, CAUDAL_JWKS, ...env })).toEqual(['CAUDAL_SERVICE_KEY']);
    expect(wrong({ ...real, ...keys, ...env })).toEqual([]);
  });

  test.each([
    ['everything in one process', {}],
    ['the relay and jobs', { CAUDAL_ROLES: 'relay,jobs', CAUDAL_CONTEXTS: 'orders' }],
    ['projections of all contexts', { CAUDAL_ROLES: 'projector' }],
  ])('no other process is called by %s', (_, env) => {
    expect(wrong({ ...real, CAUDAL_JWKS: keys.CAUDAL_JWKS, ...env })).toEqual([]);
  });

  test('a process that other processes call needs the keys of their calls', () => {
    const env = { ...real, CAUDAL_JWKS: keys.CAUDAL_JWKS, CAUDAL_ROLES: 'command,query' };
    expect(wrong(env)).toEqual(['CAUDAL_SERVICE_JWKS']);
    expect(wrong({ ...env, CAUDAL_SERVICE_KEY: keys.CAUDAL_SERVICE_KEY })).toEqual([]);
    const set = { keys: JSON.parse(keys.CAUDAL_JWKS).keys.map((key: object) => ({ ...key, caudal_contexts: ['*'] })) };
    expect(wrong({ ...env, CAUDAL_SERVICE_JWKS: JSON.stringify(set) })).toEqual([]);
    expect(wrong({ ...env, CAUDAL_AUTH: 'off', CAUDAL_ALLOW_NO_AUTH: 'true' })).toEqual([]);
  });

  describe('what is only for development', () => {
    const http = { CAUDAL_JWKS: 'http://127.0.0.1:8090/jwks' };
    test.each<[string, Record<string, string>, string[]]>([
      ['no authentication on this machine', { CAUDAL_AUTH: 'off' }, []],
      ['no authentication, by IPv6', { CAUDAL_AUTH: 'off', CAUDAL_HOST: '::1' }, []],
      ['no authentication beyond loopback', { CAUDAL_AUTH: 'off', CAUDAL_HOST: '0.0.0.0' }, ['CAUDAL_AUTH']],
      ['no authentication on all of IPv6', { CAUDAL_AUTH: 'off', CAUDAL_HOST: '::' }, ['CAUDAL_AUTH']],
      ['no authentication at a name', { CAUDAL_AUTH: 'off', CAUDAL_HOST: '127.evil.test' }, ['CAUDAL_AUTH']],
      ['no authentication on a real database', { ...real, CAUDAL_AUTH: 'off' }, ['CAUDAL_AUTH']],
      ['the same, if that is meant', { ...real, CAUDAL_AUTH: 'off', CAUDAL_ALLOW_NO_AUTH: 'true' }, []],
      ['keys at http:// on this machine', http, []],
      ['keys at http:// elsewhere', { CAUDAL_JWKS: 'http://issuer.test/jwks' }, ['CAUDAL_JWKS']],
      ['keys at http:// beyond loopback', { ...http, CAUDAL_HOST: '0.0.0.0' }, ['CAUDAL_JWKS']],
      ['keys at http:// on a real database', { ...real, ...http }, ['CAUDAL_JWKS']],
      ['the same, if that is meant', { ...real, ...http, CAUDAL_ALLOW_HTTP_JWKS: 'true' }, []],
      ['keys at https://', { ...real, CAUDAL_JWKS: 'https://issuer.test/jwks' }, []],
      ['keys in a file', { ...real, CAUDAL_JWKS: 'file:///run/secrets/jwks' }, []],
      ['an issuer at http://', { ...real, CAUDAL_OIDC_ISSUER: 'http://issuer.test' }, ['CAUDAL_OIDC_ISSUER']],
      [
        "services' keys at http://",
        { CAUDAL_SERVICE_JWKS: 'http://issuer.test/jwks', CAUDAL_HOST: '0.0.0.0' },
        ['CAUDAL_SERVICE_JWKS'],
      ],
    ])('%s', (_, env, expected) => {
      expect(wrong(env)).toEqual(expected);
    });
  });

  test.each([
    ['everything', {}, true],
    ['customers alone', { CAUDAL_CONTEXTS: 'customers', CAUDAL_ROLES: 'command' }, true],
    ['orders alone', { CAUDAL_CONTEXTS: 'orders', CAUDAL_ROLES: 'command' }, true],
    ['stock alone', { CAUDAL_CONTEXTS: 'inventory', CAUDAL_ROLES: 'command' }, false],
    ['relays and projectors', { CAUDAL_ROLES: 'relay,projector' }, false],
    ['an embedded database', { DATABASE_URL: '' }, false],
    ['unsealed data that is allowed', { CAUDAL_ALLOW_UNSEALED_PERSONAL_DATA: 'true' }, false],
  ])('a key to seal personal data with: %s', (_, env, needsOne) => {
    const wanted = needsOne ? ['CAUDAL_PERSONAL_DATA_KEYS'] : [];
    expect(wrong({ DATABASE_URL, ...keys, ...env })).toEqual(wanted);
    expect(wrong({ DATABASE_URL, ...keys, ...env, ...sealing })).toEqual([]);
  });

  test('two listeners must not share a port', () => {
    expect(wrong({ CAUDAL_REST_PORT: '9090' })).toEqual(['CAUDAL_GRPC_PORT']);
    expect(wrong({ CAUDAL_METRICS_PORT: '8080' })).toEqual(['CAUDAL_METRICS_PORT']);
    expect(wrong({ CAUDAL_REST_PORT: '0', CAUDAL_GRPC_PORT: '0' })).toEqual([]);
  });

  test('invalid keys are reported together, and once each', () => {
    const env = { CAUDAL_JWKS: '{', CAUDAL_SERVICE_KEY: 'x', CAUDAL_PERSONAL_DATA_KEYS: 'y', CAUDAL_ROLES: 'saga' };
    expect(wrong({ DATABASE_URL, ...env })).toEqual(['CAUDAL_JWKS', 'CAUDAL_SERVICE_KEY', 'CAUDAL_PERSONAL_DATA_KEYS']);
  });

  test('all traces are recorded unless a share is set', () => {
    expect(checkConfig(settings, {}).values?.CAUDAL_TRACE_SAMPLING).toBe(1);
    expect(checkConfig(settings, { CAUDAL_TRACE_SAMPLING: '0.05' }).values?.CAUDAL_TRACE_SAMPLING).toBe(0.05);
    expect(wrong({ CAUDAL_TRACE_SAMPLING: '5' })).toEqual(['CAUDAL_TRACE_SAMPLING']);
  });

  test('the choice among addresses is by turns unless it is set, and a wrong one is reported', () => {
    const chosen = (CAUDAL_BALANCING?: string) =>
      checkConfig(settings, CAUDAL_BALANCING ? { CAUDAL_BALANCING } : {}).values?.CAUDAL_BALANCING;
    expect(chosen()).toEqual({ policy: 'round-robin' });
    expect(chosen('weighted:10.0.0.7=3')).toEqual({ policy: 'weighted', weights: { '10.0.0.7': 3 } });
    expect(wrong({ CAUDAL_BALANCING: 'random' })).toEqual(['CAUDAL_BALANCING']);
  });
});
