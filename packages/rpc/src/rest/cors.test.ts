/** Web pages of other origins: what browsers send, and what they accept (Fetch Standard). */
import { request as httpRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { services, start, stopAll, token } from '../testing/fixture.ts';

const shop = 'https://shop.example';
const evil = 'https://evil.example';
let server: Awaited<ReturnType<typeof start>>;
let alice: string;

beforeAll(async () => {
  const cors = { origins: [shop, 'http://localhost:5173'], maxAgeSeconds: 600 };
  server = await start({ rest: { host: '127.0.0.1', port: 0, cors } }, services());
  alice = await token('alice', ['orders.orders.place', 'orders.orders.read', 'orders.orders.cancel']);
});
afterAll(stopAll);

interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: string;
}

/** Not by fetch, which keeps some of these headers for itself. */
function send(method: string, path: string, headers: Record<string, string>, url = server.url): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(`${url}${path}`, { method, headers }, async (response) => {
      let body = '';
      for await (const part of response) body += part;
      resolve({ status: response.statusCode!, headers: response.headers, body });
    });
    request.on('error', reject).end();
  });
}

const preflight = (path: string, method: string, origin = shop, headers = 'authorization,content-type') =>
  send('OPTIONS', path, {
    origin,
    'access-control-request-method': method,
    'access-control-request-headers': headers,
  });
const permissions = ({ headers }: Answer) => Object.keys(headers).filter((name) => name.startsWith('access-control-'));

describe('a preflight', () => {
  test('is answered without a token: the methods of the path, the headers of the API, and for how long', async () => {
    const answer = await preflight('/v1/orders/o-1', 'GET');
    expect({ status: answer.status, body: answer.body }).toEqual({ status: 204, body: '' });
    expect(answer.headers).toMatchObject({
      'access-control-allow-origin': shop,
      'access-control-allow-methods': 'GET, HEAD',
      'access-control-max-age': '600',
      vary: 'Origin',
    });
    const headers = String(answer.headers['access-control-allow-headers']).split(', ');
    for (const name of ['authorization', 'content-type', 'idempotency-key', 'if-match', 'consistency-token'])
      expect(headers).toContain(name);
    expect(answer.headers['access-control-allow-credentials']).toBeUndefined();
  });

  test.each([
    ['/v1/orders', 'POST', 'POST, GET, HEAD'],
    ['/v1/orders/o-1:cancel', 'POST', 'POST'],
    ['/v1/orders/a%2Fb:cancel', 'POST', 'POST'],
    ['/v1/stock?pageSize=5', 'GET', 'POST, GET, HEAD'],
  ])('of %s names the methods of that path', async (path, method, expected) => {
    const { status, headers } = await preflight(path, method, 'http://localhost:5173');
    expect(status).toBe(204);
    expect(String(headers['access-control-allow-methods']).split(', ').sort()).toEqual(expected.split(', ').sort());
    expect(headers['access-control-allow-origin']).toBe('http://localhost:5173');
  });

  test.each([
    evil,
    'null',
    'https://shop.example:8443',
    'http://shop.example',
    'https://SHOP.example',
    `${shop}.evil.example`,
  ])('of the origin %s is refused', async (origin) => {
    const answer = await preflight('/v1/orders', 'POST', origin);
    expect([answer.status, JSON.parse(answer.body).reason]).toEqual([403, 'CORS_REFUSED']);
    expect(permissions(answer)).toEqual([]);
    expect(answer.headers.vary).toBe('Origin');
    expect(answer.headers['content-type']).toContain('application/problem+json');
  });

  test('for a method that the path does not have is refused', async () => {
    for (const method of ['DELETE', 'PUT', 'post', '*', 'GET, POST'])
      expect([method, (await preflight('/v1/orders/o-1', method)).status]).toEqual([method, 403]);
  });

  test('of an unknown path, and OPTIONS that is no preflight, are answered as any other request', async () => {
    expect((await preflight('/v1/nothing', 'GET')).status).toBe(404);
    const options = await send('OPTIONS', '/v1/orders', { origin: shop });
    expect([options.status, options.headers.allow]).toEqual([405, expect.stringContaining('POST')]);
    expect((await send('OPTIONS', '/v1/orders', { 'access-control-request-method': 'GET' })).status).toBe(405);
  });
});

describe('a call', () => {
  test('from an allowed page may be read by it; errors too, whoever made them', async () => {
    for (const [path, status] of [
      ['/v1/orders/o-1', 200],
      ['/v1/orders/missing', 404],
      ['/v1/nothing', 404],
    ] as const) {
      const { headers, status: got } = await send('GET', path, { origin: shop, authorization: `Bearer ${alice}` });
      expect([path, got, headers['access-control-allow-origin']]).toEqual([path, status, shop]);
      expect(String(headers.vary).split(', ')).toContain('Origin');
      for (const name of ['etag', 'consistency-token', 'x-request-id', 'retry-after'])
        expect(String(headers['access-control-expose-headers']).split(', ')).toContain(name);
    }
    const withoutToken = await send('GET', '/v1/orders/o-1', { origin: shop });
    expect([withoutToken.status, withoutToken.headers['access-control-allow-origin']]).toEqual([401, shop]);
  });

  test('from another page, or from none, is served, without permission to read it', async () => {
    for (const from of [{ origin: evil }, {}] as Record<string, string>[]) {
      const answer = await send('GET', '/v1/orders/o-1', { ...from, authorization: `Bearer ${alice}` });
      expect([answer.status, permissions(answer)]).toEqual([200, []]);
      expect(answer.headers.vary).toMatch(/Origin.*authorization/);
    }
  });

  test('a compressed answer names all that it depends on', async () => {
    const admin = await token('root', ['inventory.stock.read']);
    const headers = { origin: shop, authorization: `Bearer ${admin}`, 'accept-encoding': 'gzip' };
    const answer = await send('GET', '/v1/stock', headers);
    expect(answer.headers['content-encoding']).toBe('gzip');
    expect(String(answer.headers.vary).toLowerCase().split(/, */).sort()).toEqual([
      'accept-encoding',
      'authorization',
      'origin',
    ]);
  });
});

test('without the setting nothing is answered for other origins', async () => {
  const closed = await start({ rest: { host: '127.0.0.1', port: 0 } });
  const headers = { origin: shop, 'access-control-request-method': 'GET' };
  const asked = await send('OPTIONS', '/v1/orders/o-1', headers, closed.url);
  expect([asked.status, permissions(asked), asked.headers.vary]).toEqual([405, [], undefined]);
});
