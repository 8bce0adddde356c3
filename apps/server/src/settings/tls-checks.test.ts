import { checkConfig } from '@caudal/config/config.ts';
import type { Setting } from '@caudal/config/setting.ts';
import { generateKey } from '@caudal/rpc/server/tokens.ts';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { settings } from './settings.ts';
import { startChecks } from './start-checks.ts';
import { called } from './tls-checks.ts';

let keys: { CAUDAL_JWKS: string; CAUDAL_SERVICE_KEY: string };
beforeAll(async () => {
  const { publicKey, privateKey } = await generateKey('k');
  keys = { CAUDAL_JWKS: JSON.stringify({ keys: [publicKey] }), CAUDAL_SERVICE_KEY: JSON.stringify(privateKey) };
});

const wrong = (env: Record<string, string>) =>
  checkConfig(settings, env, { checks: startChecks }).problems.map(({ name }) => name);

describe('a certificate', () => {
  const both = { CAUDAL_TLS_CERTIFICATE: '/tls.crt', CAUDAL_TLS_KEY: '/tls.key' };
  const whole = { ...both, CAUDAL_TLS_CA: '/ca.crt', CAUDAL_TLS_SERVER_NAME: 'caudal.shop.svc' };

  test('has a key', () => {
    expect(wrong(both)).toEqual([]);
    expect(wrong({ CAUDAL_TLS_CERTIFICATE: '/tls.crt' })).toEqual(['CAUDAL_TLS_KEY']);
    expect(wrong({ CAUDAL_TLS_KEY: '/tls.key' })).toEqual(['CAUDAL_TLS_CERTIFICATE']);
  });

  test('of clients is checked with an authority and a name', () => {
    expect(wrong({ ...whole, CAUDAL_TLS_CLIENTS: 'services' })).toEqual([]);
    for (const name of ['CAUDAL_TLS_CA', 'CAUDAL_TLS_SERVER_NAME'])
      expect(wrong({ ...whole, CAUDAL_TLS_CLIENTS: 'services', [name]: '' })).toEqual([name]);
    expect(wrong({ CAUDAL_TLS_CLIENTS: 'services' })).toEqual(['CAUDAL_TLS_CERTIFICATE']);
  });

  test('of clients needs tokens, which say who is a service', () => {
    expect(wrong({ ...whole, CAUDAL_TLS_CLIENTS: 'services', CAUDAL_AUTH: 'off' })).toEqual(['CAUDAL_TLS_CLIENTS']);
  });
});

describe('if TLS is required', () => {
  const encrypted = 'postgres://db/caudal?sslmode=verify-full';
  /** What is plain is allowed by the settings that have another reason. */
  const real = (env: Record<string, string>) => {
    const { CAUDAL_JWKS, ...signing } = keys;
    const { CAUDAL_OIDC_ISSUER: issuer } = env;
    return {
      ...{ CAUDAL_ALLOW_UNSEALED_PERSONAL_DATA: 'true', CAUDAL_ALLOW_HTTP_JWKS: 'true', DATABASE_URL: encrypted },
      ...signing,
      ...(issuer === undefined && { CAUDAL_JWKS }),
      ...env,
    };
  };
  const problems = (env: Record<string, string>) => wrong({ CAUDAL_TLS_REQUIRED: 'true', ...real(env) });

  test('what is on this machine, and the embedded database, may be plain', () => {
    expect(wrong({ CAUDAL_TLS_REQUIRED: 'true' })).toEqual([]);
    for (const url of [
      'postgres://localhost/x',
      'postgres://u:p@127.0.0.1:5432/x',
      'postgres://[::1]/x',
      'postgres://db/x?host=localhost',
    ])
      expect([url, problems({ DATABASE_URL: url })]).toEqual([url, []]);
  });

  test.each([
    [
      'DATABASE_URL',
      ['postgres://db/x?sslmode=require', 'postgres://db/x?ssl=true', 'postgres://db/x?sslrootcert=/ca.crt'],
    ],
    ['RABBITMQ_URL', ['amqps://mq']],
    ['RABBITMQ_MANAGEMENT_URL', ['https://mq:15671']],
    ['MONGODB_URL', ['mongodb://a,b/?tls=true', 'mongodb://a/?ssl=true', 'mongodb+srv://a']],
    ['ELASTICSEARCH_URL', ['https://a:9200', 'https://a:9200,https://b:9200', 'https://a,http://127.0.0.1']],
    ['REDIS_URL', ['rediss://cache']],
    ['CAUDAL_ARCHIVE_ENDPOINT', ['https://s3.example']],
    ['CAUDAL_OTLP_ENDPOINT', ['https://traces:4317']],
    ['CAUDAL_OWNER_DATABASE_URL', ['postgres://owner:secret@db/x?sslmode=verify-full', 'postgres://localhost/x']],
    ['CAUDAL_JWKS', ['https://issuer.example/jwks', 'file:///run/secrets/caudal/CAUDAL_JWKS']],
    ['CAUDAL_SERVICE_JWKS', ['https://issuer.example/jwks', 'file:///run/secrets/caudal/CAUDAL_SERVICE_JWKS']],
    ['CAUDAL_OIDC_ISSUER', ['https://issuer.example', 'http://localhost:8080/realms/shop']],
    ['PAYMENTS_GATEWAY_URL', ['https://gateway.example']],
    ['NOTIFICATIONS_MAIL_URL', ['smtps://mail', 'smtp://mail:587?requireTLS=true']],
  ])('%s takes what is encrypted', (name, urls) => {
    for (const url of urls) expect([url, problems({ [name]: url })]).toEqual([url, []]);
  });

  test.each([
    [
      'DATABASE_URL',
      [
        'postgres://db/x',
        'postgres://db/x?sslmode=disable',
        'postgres://db/x?sslmode=no-verify',
        'postgres://db/x?sslmode=require&uselibpqcompat=true',
        'postgres://db/x?sslmode=verify-full&sslmode=disable',
        'postgres://localhost/x?host=db.example',
        // Names that pg does not know, or knows in another spelling.
        'postgres://db/x?sslMode=verify-full',
        'postgres://db/x?sslmode=verify-full&%73slmode=disable',
        'postgres://db/x?HOST=localhost',
      ],
    ],
    ['RABBITMQ_URL', ['amqp://mq', 'amqp://localhost.example', 'amqp://mq?host=localhost']],
    ['RABBITMQ_MANAGEMENT_URL', ['http://mq:15672']],
    [
      'MONGODB_URL',
      [
        'mongodb://a',
        'mongodb://localhost,b',
        'mongodb+srv://a/?tls=false',
        'mongodb://a/?tls=true&tlsInsecure=true',
        'mongodb://a/?tls=true&TLS%49nsecure=true',
      ],
    ],
    ['ELASTICSEARCH_URL', ['http://a:9200', 'https://a:9200,http://b:9200']],
    ['REDIS_URL', ['redis://cache', 'redis://127.0.0.1@cache', 'redis://cache?host=127.0.0.1']],
    ['CAUDAL_ARCHIVE_ENDPOINT', ['http://s3.example']],
    ['CAUDAL_OTLP_ENDPOINT', ['http://traces:4317']],
    ['CAUDAL_OWNER_DATABASE_URL', ['postgres://owner:secret@db/x', 'postgres://owner:secret@db/x?sslmode=no-verify']],
    ['CAUDAL_JWKS', ['http://issuer.example/jwks']],
    ['CAUDAL_SERVICE_JWKS', ['http://issuer.example/jwks']],
    ['CAUDAL_OIDC_ISSUER', ['http://issuer.example']],
    ['PAYMENTS_GATEWAY_URL', ['http://gateway.example']],
    [
      'NOTIFICATIONS_MAIL_URL',
      [
        'smtp://mail',
        'smtp://mail?requiretls=true',
        'smtps://mail?tls.rejectUnauthorized=false',
        'smtp://mail?requireTLS=true&ignoreTLS=true',
      ],
    ],
  ])('%s refuses what is plain or unverified, and says what to write', (name, urls) => {
    for (const url of urls) expect([url, problems({ [name]: url })]).toEqual([url, [name]]);
    const env = real({ [name]: urls[0]! });
    expect(wrong(env)).toEqual([]);
    const [problem] = checkConfig(settings, { ...env, CAUDAL_TLS_REQUIRED: 'true' }, { checks: startChecks }).problems;
    expect(problem!.fix).toMatch(/^Write .*, or set CAUDAL_TLS_REQUIRED=false$/);
  });

  test('every setting that is a URL is looked at', () => {
    const urls = Object.entries(settings as Record<string, Setting<unknown>>)
      .filter(([, { secrecy, expects }]) => secrecy === 'url' || /URL/.test(expects))
      .map(([name]) => name)
      // Refused by its own parser if it is plain: services/tracking.
      .filter((name) => name !== 'TRACKING_CARRIER_URLS');
    expect(urls.length).toBeGreaterThan(8);
    expect(urls.filter((name) => !Object.hasOwn(called, name))).toEqual([]);
    expect(Object.keys(called).filter((name) => !Object.hasOwn(settings, name))).toEqual([]);
  });

  test('calls between processes use it, and so do forwarded commands', () => {
    const some = { CAUDAL_ROLES: 'saga' };
    expect(problems(some)).toEqual(['CAUDAL_TLS_CALLS']);
    expect(problems({ ...some, CAUDAL_TLS_CALLS: 'true' })).toEqual([]);
    expect(problems({ CAUDAL_FORWARD_HOST: '10.0.0.7' })).toEqual(['CAUDAL_TLS_CALLS']);
    const certificate = { CAUDAL_TLS_CERTIFICATE: '/tls.crt', CAUDAL_TLS_KEY: '/tls.key' };
    expect(problems({ CAUDAL_FORWARD_HOST: '10.0.0.7', ...certificate })).toEqual([]);
    expect(problems({ ...some, ...certificate, CAUDAL_TLS_CALLS: 'false' })).toEqual(['CAUDAL_TLS_CALLS']);
  });
});
