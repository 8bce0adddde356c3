import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Seen, services, start, token } from '../testing/fixture.ts';
import type { Problem } from './problem.ts';

const seen: Seen[] = [];
let server: Awaited<ReturnType<typeof start>>;
let alice: string;
let admin: string;

beforeAll(async () => {
  server = await start({ limits: { maxMessageBytes: 100_000 } }, services(seen));
  alice = await token('alice', ['orders.orders.place', 'orders.orders.read', 'orders.orders.cancel']);
  admin = await token('root', [
    ...['orders.orders.place:any', 'orders.orders.read:any', 'orders.orders.cancel:any'],
    ...['inventory.stock.read', 'inventory.stock.write', 'inventory.stock.reserve'],
  ]);
});
afterAll(() => server.stop());

async function call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}, as = alice) {
  const response = await fetch(`${server.url}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${as}`,
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    body: body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body),
  });
  const text = await response.text();
  const json = text && response.headers.get('content-type')?.includes('json') ? JSON.parse(text) : undefined;
  return { status: response.status, headers: response.headers, json, problem: json as Problem, text };
}

/** The answer to exactly these bytes. */
function raw(bytes: string): Promise<string> {
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1', () => socket.write(bytes));
  return text(socket);
}

const place = {
  orderId: 'o-9',
  customerId: 'alice',
  country: 'GB',
  lines: [{ productId: 'p', quantity: '1' }],
  paymentMethod: { walletId: 'w' },
};
const lastRequest = () => seen.at(-1)!.request as Record<string, unknown>;

describe('texts that are not UTF-8', () => {
  const post = (body: Buffer, type: string) =>
    fetch(`${server.url}/v1/orders`, {
      method: 'POST',
      headers: { authorization: `Bearer ${alice}`, 'content-type': type },
      body: new Uint8Array(body),
    });
  const latin1 = Buffer.from(JSON.stringify({ ...place, country: 'Österreich' }), 'latin1');

  test.each([
    ['application/json', 400, 'MALFORMED_REQUEST'],
    ['application/json; charset=utf-8', 400, 'MALFORMED_REQUEST'],
    ['application/json; charset=iso-8859-1', 415, 'UNSUPPORTED_MEDIA_TYPE'],
    ['application/json; charset="windows-1252"', 415, 'UNSUPPORTED_MEDIA_TYPE'],
    ['application/json;charset=utf-16', 415, 'UNSUPPORTED_MEDIA_TYPE'],
  ])('are refused in a body of %s: %d', async (type, status, reason) => {
    const count = seen.length;
    const response = await post(latin1, type);
    expect([response.status, ((await response.json()) as Problem).reason]).toEqual([status, reason]);
    expect(seen.length).toBe(count);
  });

  test('a body that says UTF-8 and is it, is read', async () => {
    const body = Buffer.from(JSON.stringify({ ...place, country: 'Österreich' }));
    for (const type of ['application/json; charset=UTF-8', 'application/json; charset="utf8"'])
      expect((await post(body, type)).status).toBe(200);
    expect(lastRequest().country).toBe('Österreich');
  });

  test('are refused in the query and in the path', async () => {
    const { status, problem } = await call('GET', '/v1/stock?pageToken=%FF', undefined, {}, admin);
    expect([status, problem.detail]).toEqual([400, 'The query has a text that is not UTF-8: pageToken.']);
    expect((await call('GET', '/v1/stock/%E4', undefined, {}, admin)).status).toBe(400);
  });

  test('a key that a body has twice is refused', async () => {
    const { status, problem } = await call('POST', '/v1/orders', '{"orderId": "a", "country": "GB", "orderId": "b"}');
    expect([status, problem.reason]).toEqual([400, 'MALFORMED_REQUEST']);
    expect(problem.detail).toBe('The body has the key "orderId" twice in one object.');
  });
});

describe('REST', () => {
  test('a query answers in canonical JSON, zero values included', async () => {
    const { status, json, headers } = await call('GET', '/v1/stock/p-7', undefined, {}, admin);
    expect(status).toBe(200);
    expect(json).toEqual({
      productId: 'p-7',
      kind: 'standard',
      policy: { safety: '2' },
      onHand: '10',
      reserved: '10',
      available: '0',
      updateTime: '2026-01-01T12:00:00.250Z',
      etag: 's1',
    });
    expect(headers.get('cache-control')).toBe('private, no-cache');
    expect(headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  });

  test('a command takes both spellings of fields, and answers with a consistency token', async () => {
    const { status, json, headers } = await call('POST', '/v1/orders', { ...place, request_id: '', reference: 'r' });
    expect(status).toBe(200);
    expect(json.status).toBe('ORDER_STATUS_PENDING');
    const consistency = headers.get('consistency-token')!;
    expect(lastRequest()).toMatchObject({
      lines: [{ productId: 'p', quantity: 1n }],
      paymentMethod: { method: { $case: 'walletId', value: 'w' } },
      reference: 'r',
    });
    await call('GET', '/v1/orders/o-9', undefined, { 'consistency-token': consistency });
    expect(seen.at(-1)!.call.consistency).toEqual([{ stream: 'orders.order/o-9', version: 1 }]);
  });

  test('an answer from a cache has its age', async () => {
    expect((await call('GET', '/v1/orders/o-1')).headers.get('age')).toBeNull();
    const { status, headers } = await call('GET', '/v1/orders/remembered');
    expect([status, headers.get('age')]).toEqual([200, '4']);
  });

  test('a custom verb takes path, body and If-Match together', async () => {
    const { status } = await call('POST', '/v1/orders/o-1:cancel', { reason: 'late' }, { 'if-match': 'W/"v7"' });
    expect(status).toBe(200);
    expect(lastRequest()).toMatchObject({ orderId: 'o-1', reason: 'late', etag: 'v7' });
    expect((await call('POST', '/v1/orders/o-1:cancel')).status).toBe(200);
  });

  describe('Idempotency-Key', () => {
    const id = '0190d6f0-1c5e-7b3a-9f00-5d2c8a4be101';
    const cancel = (key: string, body: object = {}) =>
      call('POST', '/v1/orders/o-1:cancel', body, { 'idempotency-key': key });

    test('is the request id: a UUID as it is, in quotes or without', async () => {
      for (const key of [id, `"${id}"`, id.toUpperCase(), ` "${id}" `]) {
        expect((await cancel(key)).status).toBe(200);
        expect(lastRequest().requestId).toBe(id);
      }
      expect((await cancel(id, { requestId: id.toUpperCase() })).status).toBe(200);
      const ids = new Set([seen.at(-1)!, seen.at(-2)!].map(({ call }) => call.commandId!.key));
      expect(ids.size).toBe(1);
    });

    test('may be any text: equal texts are equal ids', async () => {
      const idOf = async (key: string) => {
        expect((await cancel(key)).status).toBe(200);
        return lastRequest().requestId;
      };
      const first = await idOf('order 7, attempt 1'.replaceAll(' ', '-'));
      expect(first).toMatch(/^[0-9a-f-]{36}$/);
      expect(await idOf('"order-7,-attempt-1"')).toBe(first);
      expect(await idOf('order-7,-attempt-2')).not.toBe(first);
      expect(await idOf('"a \\"b\\" \\\\ c"')).toMatch(/^[0-9a-f-]{36}$/);
      expect(await idOf('x'.repeat(255))).not.toBe(await idOf('x'.repeat(254)));
    });

    test.each(['', '""', '"a', 'a"b', 'x'.repeat(256), '"\\x"', 'caf\u00e9'])('is refused: %j', async (key) => {
      const { status, problem } = await cancel(key);
      expect([status, problem.violations?.[0]?.field]).toEqual([400, 'Idempotency-Key']);
    });

    test('is refused in words that agree with what is taken', async () => {
      const { problem } = await cancel('a b');
      expect(problem.violations).toEqual([
        {
          field: 'Idempotency-Key',
          description:
            'must be a text of 1 to 255 characters of ASCII, such as a UUID; one with blanks in double quotes',
        },
      ]);
      expect((await cancel('"a b"')).status).toBe(200);
    });

    test('must not contradict the body', async () => {
      const { problem } = await cancel('another', { requestId: id });
      expect(problem.violations).toEqual([
        { field: 'request_id', description: 'must be the same as in Idempotency-Key, or absent' },
      ]);
    });

    test('of a query is not looked at', async () => {
      expect((await call('GET', '/v1/orders/o-1', undefined, { 'idempotency-key': '"' })).status).toBe(200);
    });
  });

  test('path and body must not contradict each other', async () => {
    const { status, problem } = await call('POST', '/v1/orders/o-1:cancel', { order_id: 'o-2' });
    expect(status).toBe(400);
    expect(problem.violations).toEqual([
      { field: 'order_id', description: 'must be "o-1", as in the path, or absent' },
    ]);
    const etags = await call('POST', '/v1/orders/o-1:cancel', { etag: 'a' }, { 'if-match': '"b"' });
    expect(etags.problem.violations).toMatchObject([{ field: 'etag' }]);
  });

  test('query parameters become fields: enums, numbers, masks; both spellings', async () => {
    const path =
      '/v1/orders?customer_id=alice&status=ORDER_STATUS_SHIPPED&pageSize=5&pageToken=x&readMask=order_id,total.currency';
    const { status, json } = await call('GET', path);
    expect(status).toBe(200);
    expect(lastRequest()).toMatchObject({ customerId: 'alice', status: 3, pageSize: 5, pageToken: 'x' });
    expect(json).toEqual({
      orders: [
        { orderId: 'o-1', total: { currency: 'GBP' } },
        { orderId: 'o-2', total: { currency: 'GBP' } },
      ],
      nextPageToken: 'next',
    });
    expect((await call('GET', '/v1/stock?maxAvailable=9007199254740993', undefined, {}, admin)).status).toBe(200);
    expect(lastRequest()).toMatchObject({ maxAvailable: 9007199254740993n });
  });

  test('a mask with an unknown field is refused', async () => {
    const { status, problem } = await call('GET', '/v1/orders/o-1?readMask=orderId,nope');
    expect(status).toBe(400);
    expect(problem.violations).toEqual([
      { field: 'read_mask', description: 'names "nope", which is not a field of Order' },
    ]);
  });

  test('an unchanged resource is not sent again', async () => {
    const read = (ifNoneMatch: string) =>
      call('GET', '/v1/stock/p-7', undefined, { 'if-none-match': ifNoneMatch }, admin);
    const { headers } = await read('"s0"');
    const etag = headers.get('etag')!;
    expect(etag).toBe('"s1"');
    for (const tag of [etag, `W/${etag}`, `"other", ${etag}`]) {
      const again = await read(tag);
      expect([again.status, again.text, again.headers.get('etag')]).toEqual([304, '', etag]);
    }
    expect((await read('"v0"')).status).toBe(200);
  });

  test('an answer with personal fields is not kept, and always sent: its texts change without its etag', async () => {
    const { headers } = await call('GET', '/v1/orders/o-1');
    expect([headers.get('etag'), headers.get('cache-control')]).toEqual(['"v1"', 'private, no-store']);
    const again = await call('GET', '/v1/orders/o-1', undefined, { 'if-none-match': '"v1"' });
    expect([again.status, again.json.orderId]).toEqual([200, 'o-1']);
  });

  test('large answers are compressed if the client accepts it', async () => {
    const { headers, json } = await call('GET', '/v1/stock', undefined, { 'accept-encoding': 'gzip' }, admin);
    expect(headers.get('content-encoding')).toBe('gzip');
    expect(headers.get('vary')).toMatch(/authorization.*accept-encoding/i);
    expect(json.stockItems).toHaveLength(40);
  });

  test('HEAD answers as GET, without the body', async () => {
    const { status, text, headers } = await call('HEAD', '/v1/orders/o-1');
    expect([status, text, headers.get('etag')]).toEqual([200, '', '"v1"']);
  });
});

describe('REST errors', () => {
  test.each([
    ['no document', '{"orderId":', 'MALFORMED_REQUEST', undefined],
    ['no object', '[1]', 'MALFORMED_REQUEST', undefined],
    ['null', 'null', 'MALFORMED_REQUEST', undefined],
    ['a wrong type', { ...place, lines: 'x' }, 'MALFORMED_REQUEST', ['lines']],
    [
      'a fraction',
      { ...place, lines: [{ productId: 'p', quantity: 1.5 }] },
      'MALFORMED_REQUEST',
      ['lines[0].quantity'],
    ],
    [
      'a number too large',
      { ...place, lines: [{ quantity: '9223372036854775808' }] },
      'MALFORMED_REQUEST',
      ['lines[0].quantity'],
    ],
    ['unknown fields', { ...place, foo: 1, lines: [{ bar: 1 }] }, 'MALFORMED_REQUEST', ['lines[0].bar', 'foo']],
    ['a field twice', { ...place, order_id: 'x' }, 'MALFORMED_REQUEST', ['order_id']],
    [
      'two of a oneof',
      { ...place, paymentMethod: { walletId: 'w', cardToken: 'c' } },
      'MALFORMED_REQUEST',
      ['payment_method.card_token'],
    ],
    ['half a surrogate pair', { ...place, reference: '\ud800' }, 'MALFORMED_REQUEST', ['reference']],
    ['__proto__', `{"__proto__":{"a":1},"customerId":"alice"}`, 'MALFORMED_REQUEST', ['__proto__']],
    ['rules broken', { customerId: 'alice' }, 'INVALID_REQUEST', ['country', 'lines', 'payment_method']],
    [
      'a rule inside',
      { ...place, lines: [place.lines[0], { productId: '-', quantity: '0' }] },
      'INVALID_REQUEST',
      ['lines[1].product_id', 'lines[1].quantity'],
    ],
  ])('%s in the body is a 400', async (_, body, reason, fields) => {
    const { status, problem, headers } = await call('POST', '/v1/orders', body);
    expect([status, problem.reason]).toEqual([400, reason]);
    expect(problem.violations?.map(({ field }) => field)).toEqual(fields);
    expect(headers.get('content-type')).toContain('application/problem+json');
  });

  test.each([
    ['an unknown enum', '/v1/orders?customerId=alice&status=SHIPPED', ['status']],
    ['an undefined enum', '/v1/orders?customerId=alice&status=99', ['status']],
    ['no number', '/v1/orders?customerId=alice&pageSize=many', ['page_size']],
    ['unknown fields', '/v1/orders?customerId=alice&foo=1&order.x=2', ['foo', 'order.x']],
    ['a field twice', '/v1/orders?customerId=alice&pageSize=1&pageSize=2', ['page_size']],
    ['a rule broken', '/v1/orders?customerId=alice&pageSize=-1', ['page_size']],
    ['a path that breaks a rule', `/v1/orders/${'a'.repeat(65)}`, ['order_id']],
    ['nested into a scalar', '/v1/orders?customerId.x=alice', ['customer_id.x']],
  ])('%s in the query is a 400', async (_, path, fields) => {
    const { status, problem } = await call('GET', path, undefined, {}, admin);
    expect(status).toBe(400);
    expect(problem.violations?.map(({ field }) => field)).toEqual(fields);
  });

  test('a query string for a method with a body', async () => {
    expect((await call('POST', '/v1/orders?customerId=alice', place)).problem.violations).toMatchObject([
      { field: 'customerId' },
    ]);
  });

  test.each([
    ['POST', '/v1/orders', 'If-None-Match', '*'],
    ['POST', '/v1/orders', 'If-Unmodified-Since', 'Sat, 29 Oct 1994 19:43:31 GMT'],
    ['POST', '/v1/orders', 'If-Modified-Since', 'Sat, 29 Oct 1994 19:43:31 GMT'],
    ['POST', '/v1/orders/o-1:cancel', 'If-None-Match', '"v1"'],
    ['POST', '/v1/orders/o-1:cancel', 'If-Range', '"v1"'],
    ['POST', '/v1/orders/o-1:cancel', 'If-Match', '"v1", "v2"'],
    ['GET', '/v1/orders/o-1', 'If-Match', '"v1"'],
    ['GET', '/v1/orders/o-1', 'If-Modified-Since', 'Sat, 29 Oct 1994 19:43:31 GMT'],
    ['GET', '/v1/orders', 'If-None-Match', '"v1"'],
  ])('%s %s refuses the condition %s: %s, which it could not honour', async (method, path, name, value) => {
    const count = seen.length;
    const { status, problem } = await call(method, path, method === 'POST' ? {} : undefined, { [name]: value });
    expect([status, problem.reason]).toEqual([400, 'MALFORMED_REQUEST']);
    expect(problem.violations?.map(({ field }) => field)).toEqual([name]);
    expect(seen.length).toBe(count);
  });

  test('If-Match is refused for a method without an etag', async () => {
    for (const tag of ['"v1"', '*']) {
      const { status, problem } = await call('POST', '/v1/orders', place, { 'if-match': tag });
      expect([status, problem.violations?.map(({ field }) => field)]).toEqual([400, ['If-Match']]);
    }
  });

  test.each([
    ['items', { ...place, lines: Array(1_000).fill(1) }, 50, 'lines[0] must be an object (PlaceOrderLine) (and more).'],
    [
      'items, more than the contract allows',
      { ...place, lines: [...Array(2_000).fill({ quantity: '1' }), 1, 1] },
      1,
      'lines must have at most 1000 items.',
    ],
    [
      'fields',
      Object.fromEntries(Array.from({ length: 5_000 }, (_, n) => [`x${n}`, n])),
      50,
      'x0 is not a field of PlaceOrderRequest (and more).',
    ],
    [
      'broken rules',
      { ...place, lines: Array(400).fill({ productId: 'p' }) },
      50,
      'lines[0].quantity must be at least 1 (and more).',
    ],
  ])('of thousands of wrong %s only the first are reported, without a total', async (_, body, count, detail) => {
    const { status, problem } = await call('POST', '/v1/orders', body);
    expect([status, problem.violations?.length, problem.detail]).toEqual([400, count, detail]);
  });

  test('too large: 413, not JSON: 415, compressed: 415', async () => {
    expect(await call('POST', '/v1/orders', { reference: 'x'.repeat(100_001) })).toMatchObject({
      status: 413,
      problem: { reason: 'REQUEST_TOO_LARGE' },
    });
    expect((await call('POST', '/v1/orders', 'a=b', { 'content-type': 'text/plain' })).status).toBe(415);
    expect((await call('POST', '/v1/orders', place, { 'content-encoding': 'gzip' })).status).toBe(415);
  });

  test('an unknown path: 404; a wrong HTTP method: 405', async () => {
    for (const path of ['/', '/v2/orders', '/v1/orders/a/b', '/v1/log', '/v1/orders/'])
      expect(await call('POST', path, {})).toMatchObject({ status: 404, problem: { reason: 'ROUTE_NOT_FOUND' } });
    const wrong = await call('DELETE', '/v1/orders/o-1');
    expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'GET']);
    expect((await call('GET', '/v1/orders/o-1:cancel')).headers.get('allow')).toBe('POST');
    // Not a verb: a part of the id.
    expect((await call('POST', '/v1/orders/o-1:burn', {})).headers.get('allow')).toBe('GET');
    expect((await call('GET', '/v1/orders/%E0%A4%A')).status).toBe(400);
  });

  test('a wrong verb is not taken for a part of the id', async () => {
    for (const path of ['/v1/orders:burn', '/v1/stock:adjust', '/v1/orders/:/cancel'])
      expect((await call('GET', path, undefined, {}, admin)).problem).toMatchObject({ status: 404 });
  });

  test('a wrong HTTP method is refused without parsing the body', async () => {
    for (const method of ['QUERY', 'PUT']) {
      const answer = await raw(`${method} /v1/orders HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
      expect(answer).toMatch(/^HTTP\/1.1 405 /);
      expect(answer).toMatch(/\r\nallow: POST, GET\r\n/i);
    }
    expect(await call('POST', '/v1/nothing', 'a=b', { 'content-type': 'text/plain' })).toMatchObject({
      status: 404,
      problem: { reason: 'ROUTE_NOT_FOUND' },
    });
  });

  test.each([
    ['missing', 404, 'ORDER_NOT_FOUND', 'There is no order "missing".'],
    ['refused', 400, 'ORDER_SHIPPED', 'The order has left already.'],
    ['changed', 412, 'ETAG_MISMATCH', 'The order has changed.'],
    ['down', 503, 'DEPENDENCY_UNAVAILABLE', "PostgreSQL can't be reached at the moment."],
    ['bug', 500, 'INTERNAL', 'Something went wrong on our side.'],
    ['careless', 500, 'INTERNAL', 'Something went wrong on our side.'],
    ['broken', 500, 'INTERNAL', 'Something went wrong on our side.'],
  ])('an order that is %s: %i %s', async (id, status, reason, detail) => {
    const answer = await call('GET', `/v1/orders/${id}`, undefined, { 'x-request-id': 'req-1' });
    expect([answer.status, answer.problem.reason]).toEqual([status, reason]);
    if (detail) expect(answer.problem.detail).toBe(detail);
    expect(answer.problem.instance).toBe('urn:caudal:request:req-1');
    expect(answer.headers.get('x-request-id')).toBe('req-1');
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(answer.text).not.toMatch(/4111|10\.0\.0\.7|at .*\.ts/);
    if (id === 'down') {
      expect(answer.headers.get('retry-after')).toBe('2');
      expect(answer.problem.retryAfterMs).toBe(1500);
    }
  });

  test('one that takes too long: 504', async () => {
    const hasty = await start({ limits: { defaultTimeoutMs: 300 } }, services());
    const answer = await fetch(`${hasty.url}/v1/orders/slow`, { headers: { authorization: `Bearer ${alice}` } });
    expect([answer.status, ((await answer.json()) as Problem).reason]).toEqual([504, 'DEADLINE_EXCEEDED']);
    await hasty.stop();
  });

  test('no valid token: 401; no permission: 403', async () => {
    const nobody = await fetch(`${server.url}/v1/orders/o-1`);
    expect([nobody.status, nobody.headers.get('www-authenticate')]).toEqual([401, 'Bearer']);
    expect(((await nobody.json()) as Problem).reason).toBe('TOKEN_MISSING');
    expect((await call('GET', '/v1/stock/p-1')).problem).toMatchObject({
      status: 403,
      reason: 'PERMISSION_MISSING',
      metadata: { permission: 'inventory.stock.read' },
    });
  });

  test("others' resources: named in the request, or found by the handler", async () => {
    for (const customerId of ['bob', '']) {
      const { status, problem } = await call('GET', `/v1/orders${customerId && `?customerId=${customerId}`}`);
      expect([status, problem.reason, problem.metadata?.field]).toEqual([403, 'NOT_OWNER', 'customer_id']);
      expect(problem.detail).toContain('customer_id');
    }
    expect((await call('POST', '/v1/orders', { ...place, customerId: 'bob' })).status).toBe(403);
    const bob = await token('bob', ['orders.orders.read']);
    const { status, problem } = await call('GET', '/v1/orders/o-1', undefined, {}, bob);
    expect([status, problem.reason, problem.detail]).toEqual([404, 'ORDER_NOT_FOUND', 'There is no order "o-1".']);
    expect((await call('GET', '/v1/orders', undefined, {}, admin)).status).toBe(200);
    expect((await call('GET', '/v1/orders/o-1', undefined, {}, admin)).status).toBe(200);
  });

  test.each(['x', 'e30', 'W1siYSJdXQ', `${'A'.repeat(12_000)}`, 'W1sib3JkZXJzLm9yZGVyL28tMSIsLTFdXQ'])(
    'a consistency token of another system is a 400: %.10s',
    async (consistency) => {
      const { status, problem } = await call('GET', '/v1/orders/o-1', undefined, { 'consistency-token': consistency });
      expect([status, problem.reason]).toEqual([400, 'INVALID_CONSISTENCY_TOKEN']);
    },
  );

  test('a request id that could do harm is replaced', async () => {
    const { headers } = await call('GET', '/v1/orders/o-1', undefined, { 'x-request-id': `a b${'c'.repeat(500)}` });
    expect(headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  });

  test('a request that is too long or not HTTP gets problem+json', async () => {
    const long = await call('GET', `/v1/orders?customerId=${'x'.repeat(30_000)}`);
    expect(long.headers.get('content-type')).toBe('application/problem+json');
    expect(long.problem).toMatchObject({ status: 431, reason: 'HEADERS_TOO_LARGE' });
    expect(long.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);

    const answer = await raw('good morning\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1.1 400 Bad Request\r\nContent-Type: application\/problem\+json\r\n/);
    expect(JSON.parse(answer.split('\r\n\r\n')[1]!)).toMatchObject({ status: 400, reason: 'MALFORMED_REQUEST' });
  });

  test.each([
    ['no Host', 'GET /v1/orders HTTP/1.1\r\n\r\n', 400],
    ['an empty Host', 'GET /docs HTTP/1.1\r\nHost: \r\n\r\n', 400],
    ['a Host that is invalid', 'GET /docs HTTP/1.1\r\nHost: a b\r\n\r\n', 400],
    ['a port that is invalid', 'GET /docs HTTP/1.1\r\nHost: a:99999\r\n\r\n', 400],
    ['CONNECT', 'CONNECT elsewhere:80 HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['an expectation', 'GET /v1/orders HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\nConnection: close\r\n\r\n', 401],
  ])('%s gets problem+json', async (_, bytes, status) => {
    const [head = '', body = ''] = (await raw(bytes.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'))).split(
      '\r\n\r\n',
    );
    expect(head).toMatch(
      new RegExp(`^HTTP/1.1 ${status} [\\s\\S]*\\r\\ncontent-type: application/problem\\+json`, 'i'),
    );
    expect(JSON.parse(body)).toMatchObject({ status });
  });

  test.each(['a', 'a:80', '127.0.0.1:8080', '[::1]', '[::1]:80', 'shop.example'])(
    'the host %s is valid',
    async (host) => {
      expect(await raw(`GET /livez HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)).toMatch(/^HTTP\/1.1 200 /);
    },
  );

  test('HTTP/1.0 needs no Host', async () => {
    expect(await raw('GET /livez HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1.1 200 /);
    expect(await raw('GET /docs HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1.1 301 [\s\S]*\r\nlocation: \/docs\/\r\n/);
  });

  test('a caller that disconnects ends the call', async () => {
    const before = seen.length;
    const going = httpRequest(`${server.url}/v1/orders/slow`, { headers: { authorization: `Bearer ${alice}` } });
    going.on('error', () => {});
    going.end();
    while (seen.length === before) await new Promise((resolve) => setTimeout(resolve, 5));
    const { signal } = seen.at(-1)!.call;
    const ended = new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    going.destroy();
    await ended;
    expect(signal.reason.code).toBe('CANCELLED');
  });
});
