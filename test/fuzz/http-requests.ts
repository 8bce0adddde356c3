/**
 * HTTP/1.1 requests byte by byte. Each is correct except for one to three oddities, so that the cause of a failure can
 * be found, and code behind the parser is reached. Schemathesis varies JSON bodies; here everything around them varies.
 */
import fc from 'fast-check';
import {
  add,
  bytes,
  chunked,
  chunkOf,
  endOfChunks,
  type Oddity,
  type Parts,
  set,
  unfinished,
  without,
} from './http-parts.ts';
import { world } from './world.ts';

/** Texts, one per line. */
const lines = (text: string) => text.trim().split('\n');
/** Texts separated by blanks. */
const words = (text: string) => text.trim().split(/\s+/);
const x = (length: number) => 'x'.repeat(length);

const [product, order, wallet] = [world.product_id![0], world.order_id![0], world.wallet_id![0]];
const money = { minorUnits: '1', currency: 'GBP' };
const none = new Uint8Array();
const json = (value: unknown) => bytes(JSON.stringify(value));

/** Correct requests. */
const routes: readonly (readonly [string, string, Uint8Array])[] = [
  ['GET', `/v1/products/${product}`, none],
  ['GET', '/v1/products:search?query=thing', none],
  ['GET', `/v1/orders?customerId=${wallet}&pageSize=5`, none],
  ['GET', `/v1/orders/${order}?readMask=orderId,status`, none],
  ['GET', `/v1/wallets/${wallet}/transactions`, none],
  ['HEAD', `/v1/stock/${product}`, none],
  ['POST', `/v1/wallets/${wallet}:deposit`, json({ amount: money, reference: 'fuzz' })],
  ['POST', `/v1/products/${product}:setPrice`, json({ price: money })],
  ['POST', `/v1/stock/${product}:restock`, json({ quantity: '1' })],
  ['PATCH', `/v1/products/${product}`, json({ title: 'A thing' })],
  ['GET', '/openapi.json', none],
  ['GET', '/livez', none],
];

const methods = [
  ...words('DELETE PUT OPTIONS TRACE CONNECT QUERY PROPFIND PURGE M-SEARCH LINK POST GET get Get NOPE GÉT'),
  ...['', ' ', 'GET ', 'G\tET', 'GET\0', x(300)],
].map(
  (method): Oddity =>
    (parts) => ({ ...parts, method }),
);

const targets = [
  ...lines(`
*
/
//
///v1/orders
/v1
/v1/
/v1/orders/
/v1//orders
/v2/orders
v1/orders
http://127.0.0.1/v1/orders
http://elsewhere/v1/orders
http://[
ftp://x/
//elsewhere/v1/orders
127.0.0.1:80
/v1/orders/%
/v1/orders/%z
/v1/orders/%zz
/v1/orders/%00
/v1/orders/%0d%0aX:1
/v1/orders/%2f
/%76%31/orders
/v1/orders/%c0%af
/v1/orders/%ff
/v1/orders/%ed%a0%80
/v1/orders/%F0%9F%98%80
/v1/orders/é
/v1/orders/..
/v1/orders/../..
/v1/orders/%2e%2e/%2e%2e
/..%2f..%2fetc/passwd
/v1/orders/.
/v1\\orders
/v1/orders/x:
/v1/orders/:
/v1/orders/::
/v1/orders/x:cancel:cancel
/v1/orders:cancel
/v1/orders/x:__proto__
/v1/orders#x
/v1/orders?
/v1/orders??
/v1/orders?&&&
/v1/orders?=
/v1/orders?=1
/v1/orders?a
/v1/orders?%
/v1/orders?__proto__=1
/v1/orders?constructor.prototype=1
/v1/orders?toString=1
/v1/orders?customerId[]=1
/v1/orders?pageSize=1&pageSize=2
/v1/orders?pageSize=1e9
/v1/orders?pageSize=-1
/v1/orders?pageSize=0x10
/v1/orders?pageSize= 1
/v1/orders?customerId=%zz
/v1/orders?customerId=%00
/v1/orders?customerId=%ff
/v1/orders?readMask=..
/v1/orders?a.b.c.d.e.f=1
/openapi.json/
/openapi.json?x=1
/docs
/docs/
/docs/../../etc/passwd
/docs/%2e%2e%2fpackage.json
/docs/nothing
/livez/
/readyz?x
/metrics
/favicon.ico
/.env
/v1/orders HTTP/1.1
/v1/or ders`),
  ...['', '/v1/orders\tx', '/v1/orders/\0', `/v1/orders?${'a&'.repeat(3_000)}`, `/v1/orders?${'.'.repeat(9_000)}`],
  ...[1_000, 1_100, 8_000, 15_000, 17_000, 70_000].map((length) => `/v1/orders/${x(length)}`),
].map(
  (target): Oddity =>
    (parts) => ({ ...parts, target }),
);

const versions = [
  ...words('HTTP/1.0 HTTP/0.9 HTTP/1.2 HTTP/2.0 HTTP/3 HTTP/1 http/1.1 HTTP/1.1x ICE/1.0 HTTP/9999999999.1'),
  ...['', 'HTTP/1.1 '],
].map(
  (version): Oddity =>
    (parts) => ({ ...parts, version }),
);

const types = [
  ...words('text/plain application/x-www-form-urlencoded application/xml ; / */* application/json;;; APPLICATION/JSON'),
  ...words('application/jsonx application/merge-patch+json application/problem+json multipart/form-data;boundary=x'),
  ...[
    '',
    'application/json; charset=utf-8',
    'application/json; charset=utf-16',
    'application/json, text/plain',
    x(5_000),
  ],
].map((type) => set(['Content-Type', type]));

const withBody = [
  ...words(`{ } [] [ "x" 1 null true {"a":1}{"b":2} {'a':1} {a:1} {"a":1,} {"a":NaN} {"a":1e999} {"a":01} {"a":"\\x"}`),
  ...words('{"__proto__":{"a":1}} {"constructor":{"prototype":{"a":1}}} {"a":"\\ud800"} {"quantity":9007199254740993}'),
  ...words('{"amount":{"amount":{"amount":{}}}} {"quantity":"1","quantity":"2"}'),
  ...['\ufeff{}', '{}\0', '\0', ' ', '\n', '{"reference":"\u0001"}', '['.repeat(100_000), '{"a":'.repeat(50_000)],
  ...[`{"reference":"${x(1_000_000)}"}`, `{${'"a":1,'.repeat(20_000)}"a":1}`],
]
  .map((text): Uint8Array => bytes(text))
  .concat(Buffer.from([0xff, 0xfe, 0x7b, 0x00]), Buffer.from('{"a":"é"}', 'latin1'), Buffer.from('{"a":1}', 'utf16le'))
  .concat(Buffer.alloc(70_000))
  .map(
    (body): Oddity =>
      (parts) => ({ ...parts, body }),
  );

const lengths = unfinished([
  ...words('0 1 999999 -1 1.5 0x10 1e3 five +5 18446744073709551616').map((length) => set(['Content-Length', length])),
  ...['', ' 5 ', '5, 5', '5, 6', '9'.repeat(400)].map((length) => set(['Content-Length', length])),
  add(['Content-Length', '3']),
  add(['Content-Length', '3'], ['Transfer-Encoding', 'chunked']),
  ...words('xchunked identity gzip,chunked chunked,gzip chunked,chunked').map((coding) =>
    set(['Transfer-Encoding', coding]),
  ),
  ...['', ' chunked', 'chunked\x0b'].map((coding) => set(['Transfer-Encoding', coding])),
]);

const chunkings = unfinished([
  chunked((body) => Buffer.concat([chunkOf(body), endOfChunks])),
  chunked((body) => Buffer.concat([...[...body].map((each) => chunkOf(Buffer.of(each))), endOfChunks])),
  chunked((body) => chunkOf(body)),
  chunked(() => none),
  chunked(() => bytes('0\r\n')),
  ...['-1', 'zz', '', ' 5', '0x5', 'ffffffffffffffff', '7fffffff', '5;x=1', `5;${x(20_000)}`].map((size) =>
    chunked((body) => Buffer.concat([chunkOf(body, size), endOfChunks])),
  ),
  chunked((body) => Buffer.concat([chunkOf(body), bytes('0\r\nX-Trailer: 1\r\nContent-Length: 5\r\n\r\n')])),
  chunked((body) => Buffer.concat([chunkOf(body), bytes('0\r\nno trailer\r\n\r\n')])),
  chunked((body) => Buffer.from(chunkOf(body).toString('latin1').replaceAll('\r\n', '\n'), 'latin1')),
]);

/** Values that are wrong for a header. */
const values: Record<string, string[]> = {
  Authorization: ['', 'Bearer', 'Bearer  x', 'bearer x.y.z', 'Basic YTpi', `Bearer ${x(9_000)}`, 'Bearer é'],
  Host: ['', 'a b', 'é', '127.0.0.1:99999', x(5_000), '..', 'a,b', 'http://a'],
  Expect: ['100-continue', '200-ok', '', '100-continue, x'],
  Upgrade: ['h2c', 'websocket', 'TLS/1.0', 'x'],
  'Accept-Encoding': ['gzip', 'br', 'zstd', 'identity;q=0', '*;q=0', 'gzip;q=x', ',,,', x(2_000)],
  'Content-Encoding': ['gzip', 'br', 'x', 'identity', ''],
  Range: ['bytes=0-1', 'bytes=-1', 'bytes=9-1', 'x'],
  'If-None-Match': ['*', '""', 'W/"1"', '"1', ',,,', '"a", "b"', x(3_000)],
  'If-Match': ['*', '""', 'W/"1"', '"1', ',,,', x(3_000)],
  'Consistency-Token': ['!!', 'W10', 'e30', 'é', x(14_000)],
  'X-Request-Id': ['a b', 'é', '', x(300), '../..'],
  'X-HTTP-Method-Override': ['GET', 'DELETE', 'x'],
  Origin: ['http://elsewhere', 'null', 'é'],
  Cookie: ['a=b; '.repeat(1_000)],
  'X-Fuzz': ['\0', '\x01', 'a\rb', 'a\nb', '\x7f', 'a\r\n folded', x(8_000), x(15_000), x(17_000), x(70_000)],
};

const headers = [
  ...Object.entries(values).flatMap(([name, list]) => list.map((value) => set([name, value]))),
  ...['Host', 'Authorization', 'Content-Type', 'Consistency-Token', 'X-Request-Id'].map((name) =>
    add([name, 'x'], [name, 'y']),
  ),
  ...['host', 'authorization', 'content-type'].map((name) => without(name)),
  ...['', 'x y', 'x:', '\0', 'é', 'a\tb', '__proto__', 'constructor', '()'].map((name) => add([name, 'x'])),
  add(['Connection', 'Upgrade, HTTP2-Settings'], ['Upgrade', 'h2c'], ['HTTP2-Settings', 'AAMAAABkAAQAAP__']),
  add(['Connection', 'Upgrade'], ['Upgrade', 'websocket'], ['Sec-WebSocket-Version', '13']),
  ...[200, 3_000].map((count) => add(...Array.from({ length: count }, (_, n): [string, string] => [`X-${n}`, 'x']))),
];

const newlines = ['\n', '\r', '\n\r', '\r\r\n'].map(
  (newline): Oddity =>
    (parts) => ({ ...parts, newline }),
);

const some = (weight: number, oddities: Oddity[]) => ({ weight, arbitrary: fc.constantFrom(...oddities) });
const oddity = fc.oneof(
  ...[methods, versions, types, unfinished(newlines)].map((oddities) => some(1, oddities)),
  ...[targets, withBody, lengths, chunkings, headers].map((oddities) => some(3, oddities)),
);

export interface HttpRequest {
  method: string;
  bytes: Buffer;
  /** A server may wait for the rest of it. */
  unfinished: boolean;
}

function written({ method, target, version, chunks, newline, ...parts }: Parts): HttpRequest {
  const said = parts.headers.map(([name, value]) => `${name}: ${value}`);
  const head = [`${method} ${target}${version && ` ${version}`}`, ...said, '', ''].join(newline);
  const body = chunks ? chunks(parts.body) : parts.body;
  return { method, bytes: Buffer.concat([bytes(head), body]), unfinished: parts.unfinished };
}

/** Adds the body's length to requests that do not have it. */
function measured(parts: Parts): Parts {
  const isSaid = parts.headers.some(([name]) => /^(content-length|transfer-encoding)$/i.test(name));
  return isSaid || parts.body.length === 0 ? parts : add(['Content-Length', String(parts.body.length)])(parts);
}

/** Bytes that are not a request. */
const noise = fc
  .oneof(
    fc.uint8Array({ minLength: 1, maxLength: 200 }),
    fc.constantFrom(...['\r\n\r\n', 'GET', 'GET /', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'SSH-2.0-x\r\n'].map(bytes)),
    fc.constant(Buffer.from('16030102000100ff', 'hex')),
  )
  .map((some): HttpRequest => ({ method: '', bytes: Buffer.from(some), unfinished: true }));

/** Random requests with this token, as many as `count`. */
export function httpRequests(seed: number, count: number, token: string): HttpRequest[] {
  const good = fc.constantFrom(...routes).map(([method, target, body]): Parts => {
    const said: [string, string][] = [
      ['Host', '127.0.0.1'],
      ['Authorization', `Bearer ${token}`],
      ['Connection', 'close'],
    ];
    if (body.length > 0) said.push(['Content-Type', 'application/json']);
    return { method, target, version: 'HTTP/1.1', headers: said, body, newline: '\r\n', unfinished: false };
  });
  const odd = fc
    .tuple(good, fc.array(oddity, { minLength: 1, maxLength: 3 }))
    .map(([parts, oddities]) => written(measured(oddities.reduce((before, change) => change(before), parts))));
  return fc.sample(fc.oneof({ weight: 30, arbitrary: odd }, { weight: 1, arbitrary: noise }), { seed, numRuns: count });
}
