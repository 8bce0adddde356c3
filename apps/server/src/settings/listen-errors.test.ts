import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { ConfigError } from '@caudal/config/config.ts';
import { startServer } from '@caudal/rpc/server/server.ts';
import { startTelemetry } from '@caudal/telemetry/start.ts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { atPorts } from './listen-errors.ts';
import type { RuntimeValues } from './settings.ts';

let taken: Server;
let port: number;
beforeAll(async () => {
  taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  ({ port } = taken.address() as AddressInfo);
});
afterAll(() => {
  taken.close();
});

const values = (fields: object) => ({ CAUDAL_HOST: '127.0.0.1', ...fields }) as unknown as RuntimeValues;
const host = '127.0.0.1';
const rpc = { services: [], auth: 'off' as const };

test.each([
  ['CAUDAL_GRPC_PORT', () => startServer({ ...rpc, grpc: { host, port } })],
  ['CAUDAL_REST_PORT', () => startServer({ ...rpc, grpc: { host, port: 0 }, rest: { host, port } })],
  [
    'CAUDAL_METRICS_PORT',
    () => startTelemetry({ serviceName: 'x', serviceVersion: '1', role: 'x', prometheus: { host, port } }),
  ],
])('a port that is taken is reported by its setting: %s', async (name, listen) => {
  const ended = (listen() as Promise<unknown>).catch(atPorts(values({ [name]: port })));
  await expect(ended).rejects.toThrow(`${name}: 127.0.0.1:${port} is in use already. Stop what listens there`);
  await expect(ended).rejects.toBeInstanceOf(ConfigError);
});

test('an address of another machine and a privileged port are reported by their settings', async () => {
  const elsewhere = startServer({ ...rpc, grpc: { host: '192.0.2.1', port: 0 } });
  await expect(elsewhere.catch(atPorts(values({ CAUDAL_HOST: '192.0.2.1' })))).rejects.toThrow('CAUDAL_HOST');
  const denied = Object.assign(new Error('listen EACCES'), { code: 'EACCES', port: 443 });
  expect(() => atPorts(values({ CAUDAL_REST_PORT: 443 }))(denied)).toThrow('CAUDAL_REST_PORT: this process may not');
});

test('any other error stays as it is', () => {
  const bug = new TypeError('x');
  expect(() => atPorts(values({}))(bug)).toThrow(bug);
});
