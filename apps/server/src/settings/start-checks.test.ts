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
/** The settings that are wrong. */
const wrong = (env: Record<string, string>) =>
  checkConfig(settings, env, { checks: startChecks }).problems.map(({ name }) => name);

describe('before a process starts', () => {
  test('no settings, all settings, and authentication off are accepted', () => {
    expect(wrong({})).toEqual([]);
    expect(wrong({ DATABASE_URL, ...keys, ...sealing })).toEqual([]);
    expect(wrong({ DATABASE_URL, CAUDAL_AUTH: 'off', CAUDAL_ROLES: 'saga', ...sealing })).toEqual([]);
  });

  test('keys to check tokens with are required', () => {
    expect(wrong({ DATABASE_URL, ...sealing })).toEqual(['CAUDAL_JWKS']);
  });

  test.each([
    ['all roles of some contexts', { CAUDAL_CONTEXTS: 'orders' }],
    ['sagas without commands', { CAUDAL_ROLES: 'saga' }],
    ['commands without queries', { CAUDAL_ROLES: 'command' }],
    ['projections of some contexts', { CAUDAL_ROLES: 'projector', CAUDAL_CONTEXTS: 'orders' }],
  ])('a key to sign with is required for %s', (_, env) => {
    const { CAUDAL_JWKS } = keys;
    expect(wrong({ DATABASE_URL, CAUDAL_JWKS, ...sealing, ...env })).toEqual(['CAUDAL_SERVICE_KEY']);
    expect(wrong({ DATABASE_URL, ...keys, ...sealing, ...env })).toEqual([]);
  });

  test.each([
    ['everything in one process', {}],
    ['commands and queries of all contexts', { CAUDAL_ROLES: 'command,query' }],
    ['the relay and jobs', { CAUDAL_ROLES: 'relay,jobs', CAUDAL_CONTEXTS: 'orders' }],
    ['projections of all contexts', { CAUDAL_ROLES: 'projector' }],
  ])('no other process is called by %s', (_, env) => {
    expect(wrong({ DATABASE_URL, CAUDAL_JWKS: keys.CAUDAL_JWKS, ...sealing, ...env })).toEqual([]);
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
});
