import { get, type IncomingHttpHeaders } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { contract } from '@caudal/contract/descriptors.ts';
import { until } from '@caudal/testing/until.ts';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Validator } from '@seriousme/openapi-schema-validator';
import { talk } from '../testing/connections.ts';
import { start, stopAll } from '../testing/fixture.ts';
import { openApi } from './openapi.ts';

type Json = { [key: string]: Json };
const document = JSON.parse(JSON.stringify(openApi(contract().methods()))) as Json;

describe('the OpenAPI document', () => {
  test('is valid', async () => {
    const { valid, errors } = await new Validator().validate(structuredClone(document));
    expect(errors).toBeUndefined();
    expect(valid).toBe(true);
    expect(document.openapi).toBe('3.1.0');
  });

  test('has no reference without a target', () => {
    const text = JSON.stringify(document);
    const references = [...text.matchAll(/"\$ref":"#\/components\/(\w+)\/([^"]+)"/g)];
    expect(references.length).toBeGreaterThan(50);
    for (const [, kind, name] of references) expect(document.components![kind!]).toHaveProperty([name!]);
  });

  test('has every route, and no internal method', () => {
    const routes = contract()
      .methods()
      .filter(({ access }) => !access.internal)
      .flatMap(({ http }) => http);
    for (const { method, template } of routes) {
      expect(document.paths![template]).toHaveProperty(method.toLowerCase());
    }
    expect(JSON.stringify(document)).not.toMatch(/ReadLog|CreatePaymentRequest|BatchGetProducts/);
  });

  test("has the contract's facts of a command", () => {
    const operation = document.paths!['/v1/stock/{product_id}:adjust']!.post as Json;
    expect(operation.operationId).toBe('InventoryService_AdjustStock');
    expect(operation.description).toContain('Corrects the number of pieces after a count.');
    expect(operation.description).toContain('`inventory.stock.write`');
    expect(operation.parameters).toContainEqual({
      name: 'product_id',
      in: 'path',
      required: true,
      description: 'The product.',
      schema: { type: 'string', pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$' },
    });
    const body = document.components!.schemas!['inventory.AdjustStockRequest'] as Json;
    expect(body.required).toEqual(['delta', 'reason']);
    expect(Object.keys(body.properties!)).toEqual(['requestId', 'delta', 'reason']);
    expect(body.properties!.reason).toMatchObject({ type: 'string', minLength: 1, maxLength: 200 });
    const reason = new RegExp((body.properties!.reason as Json).pattern as unknown as string, 'u');
    expect(['count', ' a b ', 'é'].every((text) => reason.test(text))).toBe(true);
    expect(['', ' ', ' \u00a0\ufeff', 'a\nb'].some((text) => reason.test(text))).toBe(false);
    expect(body.properties!.delta).toMatchObject({ type: 'string', format: 'int64' });
    expect((body.properties!.delta as Json).description).toContain('not 0');
  });

  test('a sum of amounts has not the bounds of one amount', () => {
    const group = document.components!.schemas!['payments.WalletGroup'] as Json;
    expect(group.properties).toMatchObject({
      highestBalance: { $ref: '#/components/schemas/type.Money' },
      totalBalance: { type: 'object', properties: { minorUnits: { type: 'string', format: 'int64' } } },
    });
    expect((group.properties!.totalBalance as Json).properties!.minorUnits).not.toHaveProperty('pattern');
  });

  test('bounds the items of lists', () => {
    const { properties } = (document.components!.schemas as Json)['credentials.CreateApiKeyRequest'] as Json;
    expect((properties!.permissions as Json).items).toEqual({
      type: 'string',
      pattern: '^[a-z]{1,40}[.][a-z_]{1,40}[.][a-z_]{1,40}(:any)?$',
    });
  });

  test('closes requests and the messages in them, but no answers', () => {
    const schemas = document.components!.schemas as Json;
    expect(schemas['inventory.AdjustStockRequest']).toMatchObject({ additionalProperties: false });
    expect(schemas['orders.PlaceOrderLine']).toMatchObject({ additionalProperties: false });
    const money = {
      $ref: '#/components/schemas/type.Money',
      required: ['minorUnits', 'currency'],
      unevaluatedProperties: false,
    };
    expect(schemas['payments.DepositRequest']!.properties!.amount).toMatchObject(money);
    const line = (schemas['inventory.ReserveStockRequest']!.properties!.lines as Json).items;
    expect(line).toMatchObject({ required: ['productId', 'quantity'], unevaluatedProperties: false });
    const trace = (schemas['tracking.RecordTracesRequest']!.properties!.traces as Json).items as Json;
    expect(trace).toMatchObject({ $ref: '#/components/schemas/tracking.Trace', unevaluatedProperties: false });
    expect(trace.properties!.place).toEqual({
      $ref: '#/components/schemas/tracking.Place',
      properties: { position: { $ref: '#/components/schemas/tracking.Position', unevaluatedProperties: false } },
      unevaluatedProperties: false,
    });
    for (const name of ['type.Money', 'inventory.ReservationLine', 'orders.Order']) {
      expect(Object.keys(schemas[name]!)).not.toContain('additionalProperties');
      // A mask may have removed it.
      expect(Object.keys(schemas[name]!)).not.toContain('required');
    }
  });

  test('has patterns for 64-bit numbers that match the rules', () => {
    const pattern = (name: string, field: string) => {
      const { properties } = (document.components!.schemas as Json)[name] as Json;
      const found = new RegExp((properties![field] as Json).pattern as unknown as string);
      return (text: string) => found.test(text);
    };
    const cases: [string, string, string[], string[]][] = [
      [
        'inventory.RestockRequest',
        'quantity',
        ['1', '10', '1000000000'],
        ['', '0', '-1', '01', '1000000001', '1e3', ' 1'],
      ],
      ['inventory.CreateStockItemRequest', 'quantity', ['0', '999999999', '1000000000'], ['-1', '00', '2000000000']],
      ['inventory.AdjustStockRequest', 'delta', ['1', '-1', '-1000000000'], ['0', '-0', '-1000000001']],
      ['type.Money', 'minorUnits', ['0', '-5', '1000000000000000'], ['1000000000000001', '1.5', 'x']],
    ];
    for (const [name, field, right, wrong] of cases) {
      expect([name, field, right.filter((text) => !pattern(name, field)(text))]).toEqual([name, field, []]);
      expect([name, field, wrong.filter(pattern(name, field))]).toEqual([name, field, []]);
    }
  });

  test('has valid examples of masks', async () => {
    const masks = Object.entries(document.paths!)
      .filter(([, item]) => item.get)
      .flatMap(([path, { get }]) =>
        (get!.parameters as unknown as Json[])
          .filter(({ name }) => (name as unknown) === 'readMask')
          .map(({ schema }) => [path, (schema!.examples as unknown as string[])[0]]),
      );
    expect(masks).toContainEqual(['/v1/orders', 'orderId,customerId,lines.productId']);
    expect(masks).toContainEqual(['/v1/stock/{product_id}', 'productId,kind']);
    const update = (document.components!.schemas as Json)['catalog.UpdateProductRequest']!.properties!.updateMask;
    expect((update as Json).examples).toEqual(['title,description,category']);
  });

  test("has the contract's facts of a query", () => {
    const { parameters, responses } = document.paths!['/v1/orders']!.get as Json;
    const byName = new Map(
      (parameters as unknown as Json[]).map((parameter) => [parameter.name as unknown, parameter]),
    );
    expect(byName.get('pageSize')).toMatchObject({
      in: 'query',
      schema: { type: 'integer', minimum: 0 },
    });
    expect(byName.get('status')!.schema).toEqual({ $ref: '#/components/schemas/orders.OrderStatus' });
    expect(byName.has('Consistency-Token')).toBe(true);
    expect(responses!['403']).toEqual({ $ref: '#/components/responses/Problem' });
    const is304 = (path: string) => Object.keys((document.paths![path]!.get as Json).responses!).includes('304');
    // Answers with personal fields are never confirmed.
    expect([is304('/v1/stock/{product_id}'), is304('/v1/orders/{order_id}')]).toEqual([true, false]);
  });
});

describe('the pages', () => {
  let server: Awaited<ReturnType<typeof start>>;
  beforeAll(async () => {
    server = await start({ limits: { answerMs: 1_000 } });
  });
  afterAll(stopAll);

  test('are served without a token, and load nothing from other servers', async () => {
    const served = await fetch(`${server.url}/openapi.json`);
    expect(served.status).toBe(200);
    expect(Object.keys(((await served.json()) as Json).paths!)).toContain('/v1/orders');
    const page = await fetch(`${server.url}/docs`);
    const html = await page.text();
    expect(page.headers.get('content-type')).toContain('text/html');
    expect(html).not.toMatch(/https?:\/\//);
    const policy = page.headers.get('content-security-policy')!;
    expect(policy).toContain("default-src 'none'; script-src 'self';");
    // No script is in the page itself, so none that is smuggled into it runs.
    expect(html).not.toMatch(/<script(?! src=)|\son\w+=|javascript:/);
    const start = await fetch(new URL('js/start.js', page.url));
    expect(start.headers.get('content-type')).toBe('text/javascript; charset=utf-8');
    expect(await start.text()).toContain('"url":"/openapi.json"');
  });

  /** The script as the server sends it: fetch would decompress it. */
  const rawScript = (headers: Record<string, string> = {}) =>
    new Promise<{ status: number; headers: IncomingHttpHeaders; body: Buffer }>((resolve, reject) => {
      get(`${server.url}/docs/js/scalar.js`, { headers }, async (reply) =>
        resolve({ status: reply.statusCode!, headers: reply.headers, body: await buffer(reply) }),
      ).once('error', reject);
    });

  test('their script is compressed once, apart from the loop that serves calls', async () => {
    const before = process.threadCpuUsage();
    const first = await rawScript({ 'accept-encoding': 'gzip, br' });
    // The CPU time of this thread alone, in ms: without the worker it takes more than a second of it.
    expect(process.threadCpuUsage(before).user / 1e3).toBeLessThan(500);
    expect([first.status, first.headers['content-encoding']]).toEqual([200, 'br']);
    expect(first.headers.vary).toMatch(/accept-encoding/i);
    const script = brotliDecompressSync(first.body);
    expect(script.length).toBeGreaterThan(1_000_000);
    expect(first.body.length).toBeLessThan(script.length / 3);

    const later = process.cpuUsage();
    const sizes = await Promise.all(
      Array.from({ length: 20 }, async () => (await rawScript({ 'accept-encoding': 'br' })).body.length),
    );
    expect(new Set(sizes)).toEqual(new Set([first.body.length]));
    // Compressing it again would take more than a second of CPU for each.
    expect(process.cpuUsage(later).user / 1e6).toBeLessThan(5);
    expect(gunzipSync((await rawScript({ 'accept-encoding': 'gzip;q=0.5' })).body).equals(script)).toBe(true);
    for (const accepted of [undefined, 'identity', 'br;q=0, gzip;q=0.0', 'deflate'])
      expect((await rawScript(accepted === undefined ? {} : { 'accept-encoding': accepted })).body.equals(script)).toBe(
        true,
      );
    const again = await rawScript({ 'if-none-match': first.headers.etag! });
    expect([again.status, again.body.length]).toEqual([304, 0]);
  });

  test('and the document are answered to so many at the same time, and those who do not read lose their connection', async () => {
    const one = 'GET /docs/js/scalar.js HTTP/1.1\r\nhost: a\r\n\r\n';
    const deaf = Array.from({ length: 4 }, () => talk(server.restPort!, one.repeat(10)));
    for (const { socket } of deaf) socket.pause();
    const ask = async () => {
      const reply = await fetch(`${server.url}/openapi.json`);
      return [reply.status, ((await reply.json()) as Json).reason, reply.headers.get('retry-after') !== null];
    };
    await until(async () => (await ask())[0] === 429);
    expect(await ask()).toEqual([429, 'SERVER_BUSY', true]);
    expect((await fetch(`${server.url}/livez`)).status).toBe(200);
    await until(async () => (await ask())[0] === 200);
    for (const { socket } of deaf) socket.resume();
    await until(async () => deaf.every(({ closed }) => closed));
  });

  test('the document is compressed once', async () => {
    const ask = () =>
      new Promise<{ headers: IncomingHttpHeaders; body: Buffer }>((resolve, reject) => {
        get(`${server.url}/openapi.json`, { headers: { 'accept-encoding': 'br' } }, async (reply) =>
          resolve({ headers: reply.headers, body: await buffer(reply) }),
        ).once('error', reject);
      });
    const [one, other] = [await ask(), await ask()];
    expect(one.body.equals(other.body)).toBe(true);
    // What is compressed for a request has no length before its end.
    expect(one.headers).toMatchObject({
      ...{ 'content-encoding': 'br', 'content-length': String(one.body.length), etag: other.headers.etag },
    });
    expect(JSON.parse(brotliDecompressSync(one.body).toString()).openapi).toBe('3.1.0');
    const again = await fetch(`${server.url}/openapi.json`, { headers: { 'if-none-match': one.headers.etag! } });
    expect([again.status, await again.text()]).toEqual([304, '']);
  });

  test.each([undefined, 'text/html,application/xhtml+xml,*/*;q=0.8', '*/*', 'text/html, application/json;q=0.9'])(
    '/ has links to them, for Accept: %s',
    async (accept) => {
      const page = await fetch(server.url, { headers: accept === undefined ? {} : { accept } });
      const html = await page.text();
      expect(page.status).toBe(200);
      expect(page.headers.get('content-type')).toMatch(/^text\/html; charset=utf-8$/);
      expect(page.headers.get('content-security-policy')).toMatch(/^default-src 'none'; style-src 'sha256-[\w+/]+='; /);
      expect(page.headers.get('vary')).toMatch(/\baccept\b(?!-)/);
      expect(page.headers.get('set-cookie')).toBeNull();
      expect(html).toContain('color-scheme: light dark');
      expect(html).not.toMatch(/https?:|<script|<img|<link|src=|@import|url\(/);
      const links = [...html.matchAll(/href="([^"]*)"/g)].map(([, path]) => path!);
      expect(links).toEqual(['/docs', '/openapi.json', '/readyz', '/livez']);
      // A server that is not ready yet answers 503.
      for (const path of links) expect([200, 503]).toContain((await fetch(`${server.url}${path}`)).status);
    },
  );

  test('/ is an object for a client that asks for JSON', async () => {
    const reply = await fetch(server.url, { headers: { accept: 'application/json' } });
    expect(reply.headers.get('content-type')).toMatch(/^application\/json/);
    expect(await reply.json()).toEqual({
      name: 'Caudal',
      docs: '/docs',
      openapi: '/openapi.json',
      readyz: '/readyz',
      livez: '/livez',
    });
  });

  test('/ answers HEAD, and no other method', async () => {
    const head = await fetch(server.url, { method: 'HEAD' });
    expect({ status: head.status, text: await head.text() }).toEqual({ status: 200, text: '' });
    for (const method of ['POST', 'PUT', 'DELETE']) expect((await fetch(server.url, { method })).status).toBe(404);
  });

  test('can be turned off', async () => {
    const bare = await start({ rest: { host: '127.0.0.1', port: 0, docs: false, compression: false } });
    for (const path of ['/', '/openapi.json', '/docs/']) expect((await fetch(`${bare.url}${path}`)).status).toBe(404);
    await bare.stop();
  });
});
