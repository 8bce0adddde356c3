import { once } from 'node:events';
import { connect as openHttp2 } from 'node:http2';
import { Agent } from 'node:https';
import { connect as openTcp } from 'node:net';
import { text } from 'node:stream/consumers';
import { type ConnectionOptions, connect as openTls } from 'node:tls';
import { LogServiceService } from '@caudal/contract/gen/caudal/log/v1/log.ts';
import { OrderQueryServiceService } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { until } from '@caudal/testing/until.ts';
import { makeAuthority } from '@caudal/tls/testing/certificates.ts';
import { Client } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { CallTls } from '../client/call-tls.ts';
import { connect } from '../client/client.ts';
import { gate, healthOf, talk } from '../testing/connections.ts';
import { services, start, stopAll, token } from '../testing/fixture.ts';
import { authority, calling, get, mounted, releaseName, unmountAll } from '../testing/tls.ts';

const getOrder = (orderId: string) => ({ orderId, readMask: undefined });
const read = { domain: 'orders', afterPosition: 0n, limit: 1, waitMillis: 0 };
const ofAlice = () => token('alice', ['orders.orders.read']);
const ofService = () => token('service:orders', ['log.events.read', 'orders.orders.read:any']);
const clients: { close(): void }[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await stopAll();
  await unmountAll();
});

type Started = Awaited<ReturnType<typeof start>>;

function orders({ address }: Started, tls: CallTls | undefined, auth = ofAlice) {
  const client = connect(OrderQueryServiceService, { address, auth, tls });
  clients.push(client);
  return client;
}

function log({ address }: Started, tls: CallTls | undefined) {
  const client = connect(LogServiceService, { address, auth: ofService, tls });
  clients.push(client);
  return client;
}

/** The reason of a call's error, with the texts of its causes. */
const failure = (call: Promise<unknown>) =>
  call.then(
    () => {
      throw new Error('it was answered');
    },
    (error: Error & { code: string; reason: string }) => ({
      code: error.code,
      reason: error.reason,
      why: `${error.message} ${(error.cause as Error | undefined)?.message ?? ''}`,
    }),
  );

/** The certificate that a port shows, by its serial number. */
async function shown(port: number, options: ConnectionOptions = {}): Promise<string> {
  const socket = openTls({ host: '127.0.0.1', port, ca: authority.ca, ...options });
  await once(socket, 'secureConnect');
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
}

describe('ports with a certificate', () => {
  let server: Started;
  let tls: Awaited<ReturnType<typeof mounted>>;
  beforeEach(async () => {
    tls = await mounted();
    server = await start({ tls: { source: tls.source } });
  });

  test('serve REST, gRPC, and health over both protocols', async () => {
    const rest = await get(server.restPort!, '/v1/orders/o-1');
    expect([rest.status, rest.protocol]).toEqual([401, 'TLSv1.3']);
    expect((await get(server.restPort!, '/readyz')).status).toBe(200);
    expect(await orders(server, await calling()).getOrder(getOrder('o-1'))).toMatchObject({ orderId: 'o-1' });
    const { credentials } = await calling();
    const client = new Client(server.address, credentials);
    clients.push(client);
    expect(await healthOf(client, '')).toBe('SERVING');
    // As the kubelet and Kong ask: over HTTP/1, without a certificate; and without ALPN.
    expect((await get(server.grpcPort, '/readyz')).status).toBe(200);
    expect((await get(server.grpcPort, '/livez', { agent: new Agent({ ALPNProtocols: [] }) })).body).toBe('ok\n');
  });

  test('answer health over HTTP/2, too, which the kubelet and curl agree on', async () => {
    const offer = { ca: authority.ca, ALPNProtocols: ['h2', 'http/1.1'] };
    const session = openHttp2(`https://127.0.0.1:${server.grpcPort}`, offer);
    session.on('error', () => {});
    const ask = async (path: string, method = 'GET') => {
      const stream = session.request({ ':path': path, ':method': method });
      const [headers] = await once(stream, 'response');
      return [headers[':status'], await text(stream)];
    };
    expect(await ask('/readyz')).toEqual([200, 'ok\n']);
    expect(await ask('/livez?verbose')).toEqual([200, 'ok\n']);
    server.setReady(false);
    expect(await ask('/readyz')).toEqual([503, 'not ready\n']);
    // What is neither health nor gRPC is grpc-js's.
    expect((await ask('/v1/orders'))[0]).toBe(415);
    session.close();
  });

  test('take TLS 1.2, and nothing older', async () => {
    for (const port of [server.restPort!, server.grpcPort]) {
      await expect(shown(port, { maxVersion: 'TLSv1.2' })).resolves.toBeTruthy();
      const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
      await expect(shown(port, old)).rejects.toThrow(/protocol version|unsupported protocol|alert/i);
    }
  });

  test('let browsers come back by HTTPS only', async () => {
    const { headers } = await get(server.restPort!, '/nowhere', { headers: { host: 'shop.example' } });
    expect(headers['strict-transport-security']).toBe('max-age=31536000');
  });

  test.each([
    ['another authority', async () => calling(undefined, makeAuthority().ca), /certificate/i],
    ['another name', async () => calling(undefined, authority.ca, 'elsewhere.svc'), /elsewhere\.svc/],
  ])('are not called by a process that expects %s', async (_, make, why) => {
    const error = await failure(orders(server, await make()).getOrder(getOrder('o-1'), { timeoutMs: 1_000 }));
    expect(error.code).toBe('UNAVAILABLE');
    expect(error.why).toMatch(why);
  });

  test('are not called with an expired certificate, and again once it is renewed', async () => {
    await tls.files.swap(authority.make([releaseName, '127.0.0.1'], { endsMs: -60_000 }), authority.ca);
    await tls.source.look();
    const client = orders(server, await calling());
    const error = await failure(client.getOrder(getOrder('o-1'), { timeoutMs: 1_000 }));
    expect([error.code, error.why]).toEqual(['UNAVAILABLE', expect.stringMatching(/expired/)]);
    await tls.files.swap(authority.make([releaseName, '127.0.0.1']), authority.ca);
    await tls.source.look();
    await until(async () => (await client.getOrder(getOrder('o-1')).catch(() => undefined)) !== undefined);
  });

  test('answer plain HTTP with one sentence', async () => {
    for (const port of [server.restPort!, server.grpcPort]) {
      const reply = await fetch(`http://127.0.0.1:${port}/readyz`);
      expect(reply.status).toBe(400);
      expect(reply.headers.get('content-type')).toBe('application/problem+json');
      expect(reply.headers.get('x-content-type-options')).toBe('nosniff');
      expect(await reply.json()).toMatchObject({ reason: 'TLS_REQUIRED' });
    }
  });

  test('close other plain connections without a reset, which would look like a dead process', async () => {
    for (const port of [server.restPort!, server.grpcPort]) {
      const socket = openTcp(port, '127.0.0.1');
      const errors: unknown[] = [];
      socket.on('error', (error) => errors.push(error));
      socket.resume();
      socket.write(`PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${'x'.repeat(100_000)}`);
      await once(socket, 'close');
      expect(errors).toEqual([]);
    }
    const error = await failure(orders(server, undefined).getOrder(getOrder('o-1'), { timeoutMs: 1_000 }));
    expect(error.code).toBe('UNAVAILABLE');
    expect(error.why).not.toMatch(/ECONNRESET|ECONNREFUSED/);
  });

  test('are not stopped by garbage, or by a handshake that never ends', async () => {
    for (const port of [server.restPort!, server.grpcPort]) {
      const garbage = talk(port, '\x16\x03\x01\x00\x05hello');
      await until(() => garbage.closed);
      talk(port, '\x16\x03\x01');
      talk(port, '\x16');
    }
    expect((await get(server.restPort!, '/readyz')).status).toBe(200);
  });
});

test('a new certificate is used at once, while calls and connections that are open go on', async () => {
  const { closed, open } = gate();
  const { files, source } = await mounted();
  const server = await start({ tls: { source } }, services([], closed));
  const agent = new Agent({ keepAlive: true, maxSockets: 1, ca: authority.ca });
  const client = orders(server, await calling());
  const inFlight = client.getOrder(getOrder('gate'));
  await get(server.restPort!, '/readyz', { agent });
  const before = await shown(server.restPort!);
  expect(await shown(server.grpcPort, { ALPNProtocols: ['h2'] })).toBe(before);
  let closedSockets = 0;
  for (const socket of Object.values(agent.freeSockets).flat()) socket?.once('close', () => (closedSockets += 1));

  await files.swap(authority.make([releaseName, '127.0.0.1']), authority.ca);
  await source.look();
  const after = await shown(server.restPort!);
  expect(after).not.toBe(before);
  expect(await shown(server.grpcPort, { ALPNProtocols: ['h2'] })).toBe(after);
  open();
  await expect(inFlight).resolves.toMatchObject({ orderId: 'gate' });
  expect((await get(server.restPort!, '/readyz', { agent })).status).toBe(200);
  expect(closedSockets).toBe(0);
  agent.destroy();
});

test('a caller follows its own files: the authority of the server may be replaced', async () => {
  const next = makeAuthority('The next');
  const server = await start({
    tls: { source: (await mounted(next.make([releaseName, '127.0.0.1']), next.ca)).source },
  });
  const own = await mounted();
  const { callTls } = await import('../client/call-tls.ts');
  const client = orders(server, callTls(own.source, releaseName));
  const first = await failure(client.getOrder(getOrder('o-1'), { timeoutMs: 1_000 }));
  expect(first.code).toBe('UNAVAILABLE');
  await own.files.swap(authority.make([releaseName]), authority.ca + next.ca);
  await own.source.look();
  await until(async () => (await client.getOrder(getOrder('o-1')).catch(() => undefined)) !== undefined);
});

test('while TLS is turned on, both ports take both', async () => {
  const server = await start({ tls: { source: (await mounted()).source, plaintext: true } });
  expect((await fetch(`${server.url}/readyz`)).status).toBe(200);
  expect((await get(server.restPort!, '/readyz')).status).toBe(200);
  expect((await fetch(`http://${server.address}/readyz`)).status).toBe(200);
  for (const tls of [undefined, await calling()])
    expect(await orders(server, tls).getOrder(getOrder('o-1'))).toMatchObject({ orderId: 'o-1' });
  const plain = await fetch(`${server.url}/readyz`);
  expect(plain.headers.get('strict-transport-security')).toBeNull();
});

describe('ports that demand a client certificate of services', () => {
  const clientName = releaseName;
  let server: Started;
  beforeEach(async () => {
    server = await start({ tls: { source: (await mounted()).source, clientName } });
  });

  test('serve a service that has one', async () => {
    const tls = await calling(authority.make([releaseName, 'another.svc']), authority.ca, releaseName);
    expect(await log(server, tls).readLog(read)).toMatchObject({ headPosition: 7n });
    expect(await orders(server, tls, ofService).getOrder(getOrder('o-1'))).toMatchObject({ orderId: 'o-1' });
  });

  test.each([
    ['none', async () => calling()],
    ['one of another name', async () => calling(authority.make(['else.test.svc']))],
    ['a wildcard of the same authority', async () => calling(authority.make(['*.test.svc']))],
    ['an expired one', async () => calling(authority.make([releaseName], { endsMs: -60_000 }))],
    ['one of another authority', async () => calling(makeAuthority().make([releaseName]), authority.ca)],
  ])('refuse a service that has %s, and say why', async (_, make) => {
    const tls = await make();
    for (const call of [
      () => log(server, tls).readLog(read),
      () => orders(server, tls, ofService).getOrder(getOrder('o-1')),
    ]) {
      const { code, reason, why } = await failure(call());
      expect([code, reason]).toEqual(['UNAUTHENTICATED', 'CLIENT_CERTIFICATE_REQUIRED']);
      expect(why).toContain(releaseName);
    }
  });

  test('demand none of users and probes', async () => {
    expect(await orders(server, await calling()).getOrder(getOrder('o-1'))).toMatchObject({ orderId: 'o-1' });
    for (const port of [server.grpcPort, server.restPort!]) expect((await get(port, '/readyz')).status).toBe(200);
  });

  test('refuse services over REST, where no connection has a certificate', async () => {
    const headers = { authorization: `Bearer ${await ofService()}` };
    const { status, body } = await get(server.restPort!, '/v1/orders/o-1', { headers });
    expect([status, JSON.parse(body).reason]).toEqual([401, 'CLIENT_CERTIFICATE_REQUIRED']);
  });

  test('do not take a certificate of an authority that was removed', async () => {
    await server.stop();
    const next = makeAuthority('The next');
    const { files, source } = await mounted();
    const again = await start({ tls: { source, clientName } });
    const old = authority.make([releaseName]);
    expect(await log(again, await calling(old)).readLog(read)).toMatchObject({ headPosition: 7n });
    await files.swap(next.make([releaseName, '127.0.0.1']), next.ca);
    await source.look();
    const { reason } = await failure(log(again, await calling(old, next.ca)).readLog(read));
    expect(reason).toBe('CLIENT_CERTIFICATE_REQUIRED');
  });

  test('have no certificate on plain connections, while TLS is turned on', async () => {
    const both = await start({ tls: { source: (await mounted()).source, clientName, plaintext: true } });
    const { reason } = await failure(log(both, undefined).readLog(read));
    expect(reason).toBe('CLIENT_CERTIFICATE_REQUIRED');
  });
});

test('HTTP/2 without ALPN is a health request, not gRPC', async () => {
  const server = await start({ tls: { source: (await mounted()).source } });
  const socket = openTls({ host: '127.0.0.1', port: server.grpcPort, ca: authority.ca });
  socket.on('error', () => {});
  const session = openHttp2('https://127.0.0.1', { createConnection: () => socket });
  session.on('error', () => {});
  await until(() => session.destroyed);
  expect((await get(server.grpcPort, '/livez')).status).toBe(200);
});
