import { get } from 'node:http';
import { until } from '@caudal/testing/until.ts';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { talk } from '../testing/connections.ts';
import { start, stopAll, token } from '../testing/fixture.ts';

let server: Awaited<ReturnType<typeof start>>;
beforeAll(async () => {
  server = await start({
    rest: { host: '127.0.0.1', port: 0, cors: { origins: ['https://shop.example'], maxAgeSeconds: 1 } },
  });
});
afterAll(stopAll);

const safe = (headers: Headers) => {
  expect(headers.get('x-content-type-options')).toBe('nosniff');
  expect(headers.get('referrer-policy')).toBe('no-referrer');
  expect(headers.get('content-security-policy')).toMatch(/default-src 'none'.*frame-ancestors 'none'/);
  expect(headers.get('content-security-policy')).not.toMatch(/script-src[^;]*unsafe/);
};

describe('every answer says how browsers must treat it', () => {
  test.each([
    ['an answer', '/v1/orders/o-1', {}, 200],
    ['no token', '/v1/orders/o-1', { headers: { authorization: '' } }, 401],
    ['an error of a handler', '/v1/orders/missing', {}, 404],
    ['no such path', '/nowhere', {}, 404],
    ['another method', '/v1/orders/o-1', { method: 'PUT' }, 405],
    ['a malformed path', '/v1/orders/%', {}, 400],
    [
      'a malformed body',
      '/v1/orders',
      { method: 'POST', body: '{', headers: { 'content-type': 'application/json' } },
      400,
    ],
    ['another type', '/v1/orders', { method: 'POST', body: '<a/>', headers: { 'content-type': 'text/xml' } }, 415],
    [
      'a preflight',
      '/v1/orders',
      { method: 'OPTIONS', headers: { origin: 'https://shop.example', 'access-control-request-method': 'POST' } },
      204,
    ],
    [
      'a refused preflight',
      '/v1/orders',
      { method: 'OPTIONS', headers: { origin: 'https://evil.example', 'access-control-request-method': 'POST' } },
      403,
    ],
    ['the front page', '/', {}, 200],
    ['the pages', '/docs/', {}, 200],
    ['a redirect to them', '/docs', { redirect: 'manual' }, 301],
    ['their script', '/docs/js/start.js', {}, 200],
    ['the document', '/openapi.json', {}, 200],
    ['health', '/readyz', {}, 200],
  ] as [string, string, RequestInit, number][])('%s', async (_, path, request, status) => {
    const authorization = `Bearer ${await token('alice', ['orders.orders.read', 'orders.orders.place'])}`;
    const reply = await fetch(`${server.url}${path}`, { ...request, headers: { authorization, ...request.headers } });
    expect(reply.status).toBe(status);
    safe(reply.headers);
  });

  test.each([
    ['no HTTP', 'hello\r\n\r\n'],
    ['too many headers', `GET / HTTP/1.1\r\nhost: a\r\nx: ${'x'.repeat(20_000)}\r\n\r\n`],
    ['no host', 'GET / HTTP/1.1\r\n\r\n'],
    ['CONNECT', 'CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n'],
    ['an unknown expectation', 'GET /nowhere HTTP/1.1\r\nhost: a\r\nexpect: nothing\r\nconnection: close\r\n\r\n'],
    [
      'a request that is two',
      'POST /v1/orders HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n',
    ],
  ])('%s', async (_, text) => {
    const talking = talk(server.restPort!, text);
    await until(() => talking.closed || talking.heard.includes('\r\n\r\n'));
    talking.socket.destroy();
    expect(talking.heard).toMatch(/^HTTP\/1.1 4\d\d/);
    const lines = talking.heard.split('\r\n\r\n')[0]!.split('\r\n').slice(1);
    safe(new Headers(lines.map((line) => line.split(/: ?(.*)/s).slice(0, 2) as [string, string])));
  });
});

describe('browsers are told to come back by HTTPS', () => {
  const hsts = (host: string, proto?: string, of = server) =>
    new Promise((resolve, reject) => {
      const headers = { host, ...(proto && { 'x-forwarded-proto': proto }) };
      get(`${of.url}/nowhere`, { headers }, (reply) => {
        reply.resume();
        resolve(reply.headers['strict-transport-security']);
      }).once('error', reject);
    });

  test('only if they came by it, here or at a gateway', async () => {
    expect(await hsts('shop.example')).toBeUndefined();
    expect(await hsts('shop.example', 'http')).toBeUndefined();
    expect(await hsts('shop.example', 'https')).toBe('max-age=31536000');
  });

  test.each(['localhost:8080', 'a.localhost', '127.0.0.1:8080', '[::1]:8080'])(
    'not of %s, where others have ports',
    async (host) => expect(await hsts(host, 'https')).toBeUndefined(),
  );

  test('for as long as the setting says, and 0 lets them forget it', async () => {
    const rest = { host: '127.0.0.1', port: 0 };
    const short = await start({ rest: { ...rest, hstsSeconds: 60 } });
    const never = await start({ rest: { ...rest, hstsSeconds: 0 } });
    const of = (one: typeof server) => hsts('shop.example', 'https', one);
    expect([await of(short), await of(never)]).toEqual(['max-age=60', 'max-age=0']);
  });
});
