/** What `caudal` says of wrong settings: everything at once, before anything is started or waited for. */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { expect, test } from '@jest/globals';
import { cli } from './testing/run-cli.ts';

const wrong = {
  // Nobody is there: whoever waited for it would wait for a minute.
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
  expect(said).toContain('the key "mine" is a private one');
  expect(said).toContain('it is no JSON object');
  expect(said).toContain('key "2026" has');
  expect(said).toContain('8080 is the port of another listener');
  expect(said).not.toContain('hunter2');
});

test('what `start` asks for beyond that, `config` tells too', async () => {
  const { code, stdout } = await cli({ DATABASE_URL: wrong.DATABASE_URL })('config');
  expect(code).toBe(1);
  expect(stdout).toContain('so no token can be checked');
});

test('CAUDAL_TOKEN is no stranger, and is not shown', async () => {
  const { code, stdout } = await cli({ CAUDAL_TOKEN: 'hunter2' })('config');
  expect(code).toBe(0);
  expect(stdout).toContain('CAUDAL_TOKEN=***');
  expect(stdout).not.toMatch(/no effect|hunter2/);
});

test('a port that is taken is told by its setting, without a stack', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as AddressInfo;
  const { code, stderr } = await cli({ CAUDAL_METRICS_PORT: String(port), LOG_LEVEL: 'warn' })('start');
  taken.close();
  expect(code).toBe(1);
  expect(stderr).toContain(`CAUDAL_METRICS_PORT: 127.0.0.1:${port} is in use already`);
  expect(stderr).not.toMatch(/\n\s+at /);
});
