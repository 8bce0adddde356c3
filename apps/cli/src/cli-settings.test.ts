/** Wrong settings: `caudal` reports all of them at once, before it starts anything or waits for anything. */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { describe, expect, test } from '@jest/globals';
import { cli } from './testing/run-cli.ts';

const wrong = {
  // No server listens there: a command that waited for it would wait a minute.
  DATABASE_URL: 'postgres://127.0.0.1:9/caudal',
  CAUDAL_JWKS: '{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "mine", "x": "AA", "d": "hunter2"}]}',
  CAUDAL_SERVICE_KEY: 'hunter2',
  CAUDAL_PERSONAL_DATA_KEYS: '2026:hunter2',
  CAUDAL_GRPC_PORT: '8080',
};

test.each([['config'], ['start'], ['start', '--print-config']])('"caudal %s %s" names all of them', async (...args) => {
  const { code, stdout, stderr } = await cli(wrong)(...args.filter(Boolean));
  expect(code).toBe(1);
  const said = stdout + stderr;
  expect(said).toContain('the key "mine" is a private key');
  expect(said).toContain('it is not a JSON object');
  expect(said).toContain('key "2026" has');
  expect(said).toContain('8080 is the port of another listener');
  expect(said).not.toContain('hunter2');
});

test('`config` reports the additional checks of `start` too', async () => {
  const { code, stdout } = await cli({ DATABASE_URL: wrong.DATABASE_URL })('config');
  expect(code).toBe(1);
  expect(stdout).toContain('so no token can be checked');
});

test.each([
  ['migrate', 'CAUDAL_OWNER_DATABASE_URL'],
  ['migrate --check', 'CAUDAL_OWNER_DATABASE_URL'],
  ['verify all', 'DATABASE_URL'],
])('"caudal %s" opens no plain connection if TLS is required: %s', async (command, name) => {
  // Nothing answers to this name: what calls it fails in another way.
  const env = { CAUDAL_TLS_REQUIRED: 'true', [name]: 'postgres://owner:hunter2@db.invalid/caudal' };
  const { code, stderr } = await cli(env)(...command.split(' '));
  expect(code).toBe(1);
  expect(stderr).toContain(`${name}: its URL is without TLS`);
  expect(stderr).not.toContain('hunter2');
});

test('CAUDAL_TOKEN is a known setting, and is not shown', async () => {
  const { code, stdout } = await cli({ CAUDAL_TOKEN: 'hunter2' })('config');
  expect(code).toBe(0);
  expect(stdout).toContain('CAUDAL_TOKEN=***');
  expect(stdout).not.toMatch(/no effect|hunter2/);
});

test.each([
  ['REDIS_URL', 'redis://hunter2@cache:6379'],
  ['REDIS_URL', 'redis://:hunter2@cache:6379'],
  ['CAUDAL_OTLP_ENDPOINT', 'https://traces.example/?signature=hunter2'],
  ['CAUDAL_OTLP_ENDPOINT', 'https://traces.example/#hunter2'],
  ['RABBITMQ_MANAGEMENT_URL', 'http://hunter2:@mq:15672'],
  ['CAUDAL_JWKS', 'https://hunter2@issuer.example/jwks'],
  ['CAUDAL_ISSUER', 'https://hunter2@issuer.example'],
  ['CAUDAL_ARCHIVE_ENDPOINT', 'https://key:hunter2@s3.example'],
  ['CAUDAL_ARCHIVE', 's3://key:hunter2@bucket/logs'],
  ['CAUDAL_CORS_ORIGINS', 'https://hunter2@shop.example'],
  ['CAUDAL_COMMAND_ADDRESS', 'key:hunter2@127.0.0.1:9090'],
  ['DATABASE_URL', 'caudal:hunter2@db:5432/caudal'],
])('`config` shows no secret that a URL has, wherever it has it: %s=%s', async (name, url) => {
  for (const more of [[], ['--json']]) {
    const { stdout, stderr } = await cli({ [name]: url })('config', ...more);
    expect(stdout).toContain(name);
    expect(stdout + stderr).not.toContain('hunter2');
  }
});

test('a port that is taken is reported by its setting, without a stack', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as AddressInfo;
  const { code, stderr } = await cli({ CAUDAL_METRICS_PORT: String(port), LOG_LEVEL: 'warn' })('start');
  taken.close();
  expect(code).toBe(1);
  expect(stderr).toContain(`CAUDAL_METRICS_PORT: 127.0.0.1:${port} is in use already`);
  expect(stderr).not.toMatch(/\n\s+at /);
});

describe('deprecated names', () => {
  const old = { CAUDAL_ROLES: 'process,jobs', CAUDAL_SWEEP_INTERVAL: '7s' };
  const role = 'CAUDAL_ROLES: "process" is deprecated and will be removed in 0.3: use "saga".';
  const interval =
    'CAUDAL_SWEEP_INTERVAL is deprecated and will be removed in 0.3: use CAUDAL_RECONCILIATION_INTERVAL.';

  test('`config` shows the value, its source, and the new names', async () => {
    const { code, stdout } = await cli(old)('config');
    expect(code).toBe(0);
    expect(stdout).toContain('CAUDAL_RECONCILIATION_INTERVAL=7s  (env, as CAUDAL_SWEEP_INTERVAL)');
    expect(stdout).toContain(`!! ${role}\n`);
    expect(stdout).toContain(`!! ${interval}\n`);
    expect((await cli(old)('config', '--json')).json()).toMatchObject({
      problems: [],
      warnings: expect.arrayContaining([role, interval]),
      settings: expect.arrayContaining([
        expect.objectContaining({
          name: 'CAUDAL_RECONCILIATION_INTERVAL',
          value: '7s',
          readAs: 'CAUDAL_SWEEP_INTERVAL',
        }),
      ]),
    });
  });

  test('`start` and other commands warn, on standard error only', async () => {
    const away = { ...old, DATABASE_URL: wrong.DATABASE_URL, CAUDAL_AUTH: 'off', PAYMENTS_GATEWAY: 'sandbox' };
    // An invalid port, so it ends before it waits for the missing database.
    const started = await cli({ ...away, CAUDAL_REST_PORT: 'none', LOG_LEVEL: 'warn' })('start');
    const said = started.stderr.split('\n').filter((line) => line.startsWith('{'));
    expect(said.map((line) => JSON.parse(line))).toEqual(
      expect.arrayContaining([role, interval].map((msg) => expect.objectContaining({ level: 'warn', msg }))),
    );
    const listed = await cli(away)('deadletters', 'list');
    expect(listed.stderr).toContain(`${role}\n`);
    expect(listed.stderr).toContain(`${interval}\n`);
    expect(listed.stdout).toBe('');
  });

  test('both names of a setting with different values are refused', async () => {
    const { code, stdout } = await cli({ ...old, CAUDAL_RECONCILIATION_INTERVAL: '8s' })('config');
    expect(code).toBe(1);
    expect(stdout).toContain('!! CAUDAL_SWEEP_INTERVAL, its deprecated name, is set as well, and to another value');
  });
});
