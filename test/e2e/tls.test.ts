/** Two processes with half of the contexts each, over mTLS: docs/tls.md. */
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { connect as openTls } from 'node:tls';
import { everything } from '@caudal/cli/permissions.ts';
import { LogServiceService } from '@caudal/contract/gen/caudal/log/v1/log.ts';
import { connect } from '@caudal/rpc/client/client.ts';
import { generateKey, signToken } from '@caudal/rpc/server/tokens.ts';
import { contexts } from '@caudal/server/contexts.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { until } from '@caudal/testing/until.ts';
import { type Mounted, makeAuthority, mount } from '@caudal/tls/testing/certificates.ts';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import type { Json } from './api.ts';
import { createPart, freePorts, type Part, root } from './part.ts';
import { makeStores, type Stores } from './stores.ts';

jest.setTimeout(120_000);

const name = 'caudal.e2e.svc';
const halves = {
  first: contexts
    .map((context) => context.name)
    .filter((each) => !['orders', 'shipping', 'notifications'].includes(each)),
  second: ['orders', 'shipping', 'notifications'],
};
const authority = makeAuthority();

let files: Mounted;
let stores: Stores;
let parts: Record<keyof typeof halves, Part>;
let token: string;
let serviceToken: string;
const folders: string[] = [];

describeWith(['postgres'], 'processes that call each other over mTLS', () => {
  beforeAll(async () => {
    files = await mount(authority.make([name, '127.0.0.1']), authority.ca);
    stores = await makeStores();
    const { privateKey, publicKey } = await generateKey('e2e');
    const sign = (subject: string, permissions: string[]) =>
      signToken({ key: privateKey, issuer: 'caudal', audience: 'caudal', subject, permissions, ttlSeconds: 3_600 });
    token = await sign('e2e', everything());
    serviceToken = await sign('service:e2e', ['log.events.read']);
    const logs = join(root, '.caudal/e2e');
    mkdirSync(logs, { recursive: true });
    const folder = mkdtempSync(join(logs, 'tls-'));
    const data = mkdtempSync(join(tmpdir(), 'caudal-e2e-tls-'));
    folders.push(folder, data);
    const ports = await freePorts(4);
    const made = Object.entries(halves).map(([half, own], at) => {
      const other = `127.0.0.1:${ports[at === 0 ? 3 : 1]!}`;
      const part = createPart({
        name: half,
        ports: { rest: ports[at * 2]!, grpc: ports[at * 2 + 1]! },
        logFile: join(folder, `${half}.log`),
        env: {
          DATABASE_URL: stores.databaseUrl,
          CAUDAL_DATA_DIR: data,
          CAUDAL_CONTEXTS: own.join(','),
          CAUDAL_COMMAND_ADDRESS: other,
          CAUDAL_QUERY_ADDRESS: other,
          CAUDAL_JWKS: JSON.stringify({ keys: [publicKey] }),
          CAUDAL_SERVICE_KEY: JSON.stringify(privateKey),
          CAUDAL_TLS_CERTIFICATE: files.certificate,
          CAUDAL_TLS_KEY: files.key,
          CAUDAL_TLS_CA: files.ca,
          CAUDAL_TLS_SERVER_NAME: name,
          CAUDAL_TLS_CLIENTS: 'services',
          // So that the test finds out in the usual way whether they are ready.
          CAUDAL_TLS_PLAINTEXT: 'true',
        },
      });
      return [half, part] as const;
    });
    parts = Object.fromEntries(made) as typeof parts;
    await Promise.all(Object.values(parts).map((part) => part.start()));
  });

  afterAll(async () => {
    await Promise.all(Object.values(parts ?? {}).map((part) => part.end('SIGTERM')));
    await stores?.drop();
    files?.remove();
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  });

  /** A call over HTTPS, verified. */
  async function call(part: Part, method: string, path: string, body?: Json): Promise<Json> {
    const headers = { authorization: `Bearer ${token}`, ...(body && { 'content-type': 'application/json' }) };
    const url = part.rest.replace('http:', 'https:') + path;
    const { promise, resolve, reject } = Promise.withResolvers<Json>();
    const sent = request(url, { method, headers, ca: authority.ca }, async (reply) => {
      const answer = JSON.parse(await text(reply));
      if (reply.statusCode! < 300) resolve(answer);
      else reject(new Error(JSON.stringify(answer)));
    });
    sent.once('error', reject);
    sent.end(body && JSON.stringify(body));
    return promise;
  }

  async function order(id: string): Promise<void> {
    const { first, second } = parts;
    await call(second, 'POST', '/v1/orders', {
      orderId: id,
      customerId: 'ada',
      country: 'GB',
      lines: [{ productId: 'MUG-1', quantity: '1' }],
      paymentMethod: { cardToken: 'tok_approved' },
    });
    await until(
      async () =>
        (await call(second, 'GET', `/v1/orders/${id}`).catch(() => ({})))?.status === 'ORDER_STATUS_CONFIRMED',
      40_000,
    );
    expect(await call(first, 'GET', '/v1/stock/MUG-1')).toMatchObject({ productId: 'MUG-1' });
  }

  test('an order is confirmed, whose steps are in both', async () => {
    const { first } = parts;
    const price = { minorUnits: '650', currency: 'GBP' };
    await call(first, 'POST', '/v1/products', { productId: 'MUG-1', title: 'Mug', price });
    await call(first, 'POST', '/v1/stock', { productId: 'MUG-1', quantity: '10' });
    const ada = { customerId: 'ada', displayName: 'Ada', email: 'ada@example.com', country: 'GB' };
    await call(first, 'POST', '/v1/customers', ada);
    await order('before');
  });

  test('a service without a certificate does not read the log', async () => {
    const log = connect(LogServiceService, { address: parts.second.grpc, auth: async () => serviceToken });
    const read = log.readLog({ domain: 'orders', afterPosition: 0n, limit: 1, waitMillis: 0 });
    await expect(read).rejects.toMatchObject({ code: 'UNAUTHENTICATED', reason: 'CLIENT_CERTIFICATE_REQUIRED' });
    log.close();
  });

  test('new files are in use soon, in both, and orders go on', async () => {
    const shown = async ({ grpc }: Part) => {
      const [, port] = grpc.split(':');
      const socket = openTls({ host: '127.0.0.1', port: Number(port), ca: authority.ca });
      await once(socket, 'secureConnect');
      const { serialNumber } = socket.getPeerCertificate();
      socket.destroy();
      return serialNumber;
    };
    const before = await shown(parts.first);
    await files.swap(authority.make([name, '127.0.0.1']), authority.ca);
    for (const part of Object.values(parts)) await until(async () => (await shown(part)) !== before, 20_000);
    await order('after');
  });
});
