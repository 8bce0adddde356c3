/**
 * What one caller can take of a process, over both protocols: bytes, places, time and calls. docs/limits.md is the specification.
 */

import { type ClientHttp2Session, constants, connect as openSession } from 'node:http2';
import { gzipSync } from 'node:zlib';
import { InventoryQueryServiceService } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { OrderQueryServiceService, OrderServiceService } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { until } from '@caudal/testing/until.ts';
import { status } from '@grpc/grpc-js';
import { afterEach, describe, expect, test } from '@jest/globals';
import { gate, talk } from '../testing/connections.ts';
import { placeOrder, type Seen, services, start, stopAll, token } from '../testing/fixture.ts';
import { grpcCalls } from '../testing/grpc-calls.ts';
import { begun, call, codeOf } from '../testing/unfinished.ts';

const sessions: ClientHttp2Session[] = [];
const talks: ReturnType<typeof talk>[] = [];
afterEach(async () => {
  for (const session of sessions.splice(0)) session.destroy();
  for (const { socket } of talks.splice(0)) socket.destroy();
  await stopAll();
});

const mebibyte = 2 ** 20;
const place = OrderServiceService.placeOrder;
const read = OrderQueryServiceService.getOrder;
const message = (orderId: string) => read.requestSerialize({ orderId, readMask: undefined });

function session(address: string, options: Parameters<typeof openSession>[1] = {}): ClientHttp2Session {
  // Node's default is a limit for correct clients.
  const opened = openSession(`http://${address}`, { maxSessionMemory: 1_000, ...options });
  opened.on('error', () => {});
  sessions.push(opened);
  return opened;
}

const as = async (subject: string, permissions: string[] = ['orders.orders.read', 'orders.orders.place']) => ({
  authorization: `Bearer ${await token(subject, permissions)}`,
});

/** A REST request of which only the beginning is sent. */
function post(port: number, headers: Record<string, string>, length: number, part: string | Buffer) {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const head = `POST /v1/orders HTTP/1.1\r\nhost: a\r\n${lines.join('')}content-type: application/json\r\ncontent-length: ${length}\r\n\r\n`;
  const talking = talk(port, head);
  talking.socket.write(part);
  talks.push(talking);
  return talking;
}

describe('without a token', () => {
  test('health takes tiny messages only: 260 unfinished ones of 4 MiB hold nothing', async () => {
    const server = await start();
    const on = [session(server.address), session(server.address)];
    const calls = Array.from({ length: 260 }, (_, n) => call(on[n % 2]!, '/grpc.health.v1.Health/Check'));
    for (const { stream } of calls) stream.write(begun(4 * mebibyte - 1, 64 * 1024));
    await until(() => calls.every((each) => each.seen.closed));
    expect(new Set(calls.map(codeOf))).toEqual(new Set([status.RESOURCE_EXHAUSTED]));
    const good = call(session(server.address), '/grpc.health.v1.Health/Check');
    good.stream.end(begun(0, 0));
    await until(() => codeOf(good) === status.OK);
  });

  test('small messages of health that do not end are ended, and an address gets half of the streams', async () => {
    const server = await start({ limits: { requestBodyMs: 1_000 } });
    const on = [session(server.address), session(server.address)];
    const calls = Array.from({ length: 300 }, (_, n) => call(on[n % 2]!, '/grpc.health.v1.Health/Watch'));
    for (const { stream } of calls) stream.write(begun(100, 50));
    await until(() => calls.filter(({ seen }) => seen.closed).length >= 44);
    expect(calls.filter((each) => codeOf(each) === status.RESOURCE_EXHAUSTED)).toHaveLength(44);
    await until(() => calls.every(({ seen }) => seen.closed));
    expect(calls.filter((each) => codeOf(each) === status.DEADLINE_EXCEEDED)).toHaveLength(256);
  });

  test('a message in frames of one byte counts for what its frames take', async () => {
    const server = await start();
    const on = session(server.address);
    const slow = call(on, '/grpc.health.v1.Health/Check');
    slow.stream.write(begun(1_000, 0));
    const ended = new Promise((resolve) => slow.stream.once('close', resolve));
    for (let n = 0; n < 300 && !slow.seen.closed; n++)
      await Promise.race([ended, new Promise((resolve) => slow.stream.write(Buffer.of(0x61), resolve))]);
    await until(() => slow.seen.closed);
    expect(codeOf(slow)).toBe(status.RESOURCE_EXHAUSTED);
  });

  test('a refused call leaves no stream open, also if its caller does not end it', async () => {
    const server = await start();
    const on = Array.from({ length: 4 }, () => session(server.address));
    const calls = Array.from({ length: 500 }, (_, n) => call(on[n % 4]!, place.path));
    for (const { stream } of calls) stream.write(begun(4 * mebibyte - 1, 1_000));
    await until(() => calls.every(({ seen }) => seen.closed));
    expect(new Set(calls.map(codeOf))).toEqual(new Set([status.UNAUTHENTICATED]));
  });

  test('reflection answers, but reads no further request before its answers are read', async () => {
    const server = await start({ reflection: true });
    const on = session(server.address, { settings: { initialWindowSize: 0 } });
    const path = '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo';
    const request = Buffer.concat([
      begun(28, 0),
      Buffer.from([0x22, 26]),
      Buffer.from('caudal.orders.v1.OrderServ'.padEnd(26)),
    ]);
    const open = call(on, path);
    for (let n = 0; n < 90; n++) open.stream.write(request);
    await until(() => open.seen.headers !== undefined);
    // The server reads on as the answers are read: their window is opened only now.
    let received = 0;
    open.stream.on('data', (part: Buffer) => {
      received += part.length;
    });
    on.settings({ initialWindowSize: 65_535 });
    await until(() => received > 1_000);
    expect(open.seen.closed).toBe(false);
  });
});

describe('a token that may do nothing', () => {
  test('is refused before its body, over both protocols', async () => {
    const server = await start();
    const powerless = await as('mallory', ['nothing.at.all']);
    const rest = post(server.restPort!, powerless, 4 * mebibyte - 1, '{');
    await until(() => rest.heard.includes('PERMISSION_MISSING'));
    const grpc = call(session(server.address), place.path, powerless);
    grpc.stream.write(begun(4 * mebibyte - 1, 1_000));
    await until(() => grpc.seen.closed);
    expect(codeOf(grpc)).toBe(status.PERMISSION_DENIED);
  });
});

describe('unfinished bodies', () => {
  test('count from their first byte: a caller has a quarter of the budget, and another caller goes on', async () => {
    const server = await start({ limits: { requestMemoryBytes: 16 * mebibyte } });
    const mallory = await as('mallory');
    const bodies = Array.from({ length: 40 }, () =>
      post(server.restPort!, mallory, 4 * mebibyte - 1, Buffer.alloc(mebibyte, 0x20)),
    );
    await until(() => bodies.filter(({ heard }) => heard.includes('CALLER_BUSY')).length >= 35);
    expect(bodies.find(({ heard }) => heard !== '')!.heard).toMatch(/^HTTP\/1.1 429 [\s\S]*retry-after: [12]/i);
    const other = await fetch(`${server.url}/v1/orders`, {
      method: 'POST',
      headers: { ...(await as('alice')), 'content-type': 'application/json' },
      body: JSON.stringify({
        orderId: 'o-1',
        customerId: 'alice',
        country: 'GB',
        lines: [{ productId: 'p', quantity: '1' }],
        paymentMethod: { walletId: 'w' },
      }),
    });
    expect(other.status).toBe(200);
  });

  test('over gRPC as well, also in small frames, and the place is given back with the stream', async () => {
    const server = await start({ limits: { requestMemoryBytes: 16 * mebibyte } });
    const mallory = await as('mallory');
    const on = session(server.address);
    const calls = Array.from({ length: 100 }, () => call(on, place.path, mallory));
    for (const { stream } of calls) stream.write(begun(4 * mebibyte - 1, 512 * 1024));
    await until(() => calls.filter((each) => codeOf(each) === status.RESOURCE_EXHAUSTED).length > 80);
    for (const { stream } of calls) stream.close(constants.NGHTTP2_CANCEL);
    const grpc = grpcCalls(server.address);
    const { authorization } = mallory;
    await until(() =>
      grpc
        .send(place.path, place.requestSerialize(placeOrder({ customerId: 'mallory' })), { as: authorization.slice(7) })
        .then(
          () => true,
          () => false,
        ),
    );
    grpc.close();
  });

  test('that are compressed count for what they become', async () => {
    const server = await start({ limits: { requestMemoryBytes: 16 * mebibyte } });
    const bomb = gzipSync(Buffer.alloc(4 * mebibyte - 100, 0x20));
    const framed = Buffer.concat([begun(bomb.length, 0), bomb]);
    framed[0] = 1;
    const on = session(server.address);
    const headers = { ...(await as('mallory')), 'grpc-encoding': 'gzip' };
    const calls = Array.from({ length: 60 }, () => call(on, place.path, headers));
    for (const { stream } of calls) stream.write(framed);
    await until(() => calls.filter((each) => codeOf(each) === status.RESOURCE_EXHAUSTED).length > 40);
  });

  test('end in time: 408 and the end of the connection, and DEADLINE_EXCEEDED', async () => {
    const server = await start({ limits: { requestBodyMs: 1_000 } });
    const alice = await as('alice');
    const rest = post(server.restPort!, alice, 1_000, '{');
    const grpc = call(session(server.address), place.path, alice);
    grpc.stream.write(begun(1_000, 10));
    const whole = call(session(server.address), place.path, alice);
    const request = Buffer.from(place.requestSerialize(placeOrder()));
    whole.stream.write(Buffer.concat([begun(request.length, 0), request]));
    await until(() => rest.closed && grpc.seen.closed && whole.seen.closed);
    expect(rest.heard).toMatch(/^HTTP\/1.1 408 [\s\S]*REQUEST_TIMEOUT/);
    expect([codeOf(grpc), codeOf(whole)]).toEqual([status.DEADLINE_EXCEEDED, status.DEADLINE_EXCEEDED]);
  });

  test('of a refused request end in time, too', async () => {
    const server = await start({ limits: { requestBodyMs: 1_000 } });
    const nobody = post(server.restPort!, {}, 1_000_000, '{');
    await until(() => nobody.heard.includes('TOKEN_MISSING'));
    await until(() => nobody.closed);
  });

  test('take a place: one caller can not fill all with them', async () => {
    const server = await start({ limits: { maxConcurrent: 32 } });
    const mallory = await as('mallory');
    const bodies = Array.from({ length: 40 }, () => post(server.restPort!, mallory, 1_000, '{'));
    await until(() => bodies.filter(({ heard }) => heard.includes('CALLER_BUSY')).length === 12);
    const other = await fetch(`${server.url}/v1/orders/o-1`, { headers: await as('alice') });
    expect(other.status).toBe(200);
  });
});

describe('answers that are not read', () => {
  test('count against their caller, over gRPC', async () => {
    const server = await start({ limits: { requestMemoryBytes: 16 * mebibyte, answerMs: 2_000 } }, large());
    const headers = await as('deaf', ['inventory.stock.read']);
    const on = session(server.address, { settings: { initialWindowSize: 0 } });
    const list = InventoryQueryServiceService.listStockItems;
    const request = Buffer.from(
      list.requestSerialize({ maxAvailable: undefined, pageSize: 1, pageToken: '', readMask: undefined, orderBy: '' }),
    );
    const calls = Array.from({ length: 100 }, () => call(on, list.path, headers, true));
    for (const { stream } of calls) stream.end(Buffer.concat([begun(request.length, 0), request]));
    await until(() => calls.filter((each) => codeOf(each) === status.RESOURCE_EXHAUSTED).length > 90, 40_000);
    // What is left unread is ended, and the caller may read again.
    await until(() => calls.every(({ seen }) => seen.closed), 20_000);
    const grpc = grpcCalls(server.address);
    await grpc.send(list.path, request, { as: headers.authorization.slice(7) });
    grpc.close();
  }, 90_000);

  test('over REST they end with their connection', async () => {
    const server = await start({ limits: { answerMs: 1_000 } }, large());
    const { authorization } = await as('deaf', ['inventory.stock.read']);
    const one = `GET /v1/stock HTTP/1.1\r\nhost: a\r\nauthorization: ${authorization}\r\n\r\n`;
    const deaf = talk(server.restPort!, one.repeat(40));
    deaf.socket.pause();
    talks.push(deaf);
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    deaf.socket.resume();
    await until(() => deaf.closed);
    expect(deaf.heard.split('HTTP/1.1 200').length - 1).toBeLessThan(40);
  });
});

/** Services whose stock has an answer of a mebibyte. */
function large() {
  return services().map((each) => {
    if (!('listStockItems' in each.handlers)) return each;
    const item = {
      productId: 'x'.repeat(mebibyte),
      kind: '',
      policy: {},
      onHand: 0n,
      reserved: 0n,
      available: 0n,
      etag: '',
    };
    const listStockItems = async () => ({ stockItems: [item], nextPageToken: '' });
    return { ...each, handlers: { ...each.handlers, listStockItems } };
  });
}

describe('places', () => {
  test('a caller that leaves while its token is checked is not served, over REST', async () => {
    const { closed, open } = gate();
    const asked: unknown[] = [];
    const seen: Seen[] = [];
    const alice = { subject: 'alice', permissions: new Set(['orders.orders.read']) };
    const auth = (header: string | undefined) => {
      asked.push(header);
      return closed.then(() => alice);
    };
    const server = await start({ auth }, services(seen));
    const leaving = talk(server.restPort!, 'GET /v1/orders/o-1 HTTP/1.1\r\nhost: a\r\nauthorization: Bearer t\r\n\r\n');
    await until(() => asked.length === 1);
    leaving.socket.destroy();
    // The server has noticed it.
    for (const _ of [1, 2, 3]) await fetch(`${server.url}/livez`);
    open();
    expect((await fetch(`${server.url}/v1/orders/o-2`, { headers: { authorization: 'Bearer t' } })).status).toBe(200);
    expect(seen.map(({ request }) => request)).toEqual([expect.objectContaining({ orderId: 'o-2' })]);
  });

  test('one caller can not fill them with calls that wait, and the refusal says so over both protocols', async () => {
    const { closed, open } = gate();
    const server = await start({ limits: { maxConcurrent: 24 } }, services([], closed));
    const hog = await as('hog');
    const on = session(server.address);
    const calls = Array.from({ length: 40 }, () => call(on, read.path, hog));
    const request = Buffer.from(message('gate'));
    for (const { stream } of calls) stream.end(Buffer.concat([begun(request.length, 0), request]));
    await until(() => calls.filter((each) => codeOf(each) === status.RESOURCE_EXHAUSTED).length === 19);
    const refused = await fetch(`${server.url}/v1/orders/o-1`, { headers: hog });
    expect([refused.status, ((await refused.json()) as { reason: string }).reason]).toEqual([429, 'CALLER_BUSY']);
    const others = await Promise.all(
      Array.from(
        { length: 2 },
        async () => (await fetch(`${server.url}/v1/orders/o-1`, { headers: await as('alice') })).status,
      ),
    );
    expect(others).toEqual([200, 200]);
    open();
    await until(() => calls.every(({ seen }) => seen.closed));
    expect((await fetch(`${server.url}/v1/orders/o-1`, { headers: await as('alice') })).status).toBe(200);
  });

  test('of requests behind others on a connection that ends are given back', async () => {
    const { closed, open } = gate();
    const server = await start({ limits: { maxConcurrent: 4 } }, services([], closed));
    const { authorization } = await as('alice');
    const one = (id: string) => `GET /v1/orders/${id} HTTP/1.1\r\nhost: a\r\nauthorization: ${authorization}\r\n\r\n`;
    const line = talk(server.restPort!, one('gate') + one('o-1') + one('o-2'));
    talks.push(line);
    await until(
      async () =>
        (await fetch(`${server.url}/v1/orders/o-1`, { headers: await as('bob', ['orders.orders.read:any']) }))
          .status === 200,
    );
    line.socket.destroy();
    open();
    await until(async () => {
      const all = Array.from({ length: 3 }, async () =>
        fetch(`${server.url}/v1/orders/o-1`, { headers: { authorization } }).then((each) => each.status),
      );
      return (await Promise.all(all)).every((each) => each === 200);
    });
  });
});

describe('rates', () => {
  const quotas = { read: { calls: 3, windowMs: 60_000 }, write: { calls: 1, windowMs: 60_000 } };

  test('are told with every answer, and hold for a caller over both protocols', async () => {
    const server = await start({ quotas });
    const alice = await as('alice');
    const get = () => fetch(`${server.url}/v1/orders/o-1`, { headers: alice });
    const first = await get();
    expect([first.status, first.headers.get('ratelimit-policy'), first.headers.get('ratelimit')]).toEqual([
      200,
      '"read";q=3;w=60',
      expect.stringMatching(/^"read";r=2;t=(60|59)$/),
    ]);
    const missing = await fetch(`${server.url}/v1/orders/missing`, { headers: alice });
    expect([missing.status, missing.headers.get('ratelimit')]).toEqual([404, expect.stringContaining('r=1')]);
    const grpc = grpcCalls(server.address);
    await grpc.send(read.path, message('o-1'), { as: alice.authorization.slice(7) });
    const refused = await get();
    expect(await refused.json()).toMatchObject({ reason: 'RATE_LIMITED', metadata: { policy: 'read', quota: '3' } });
    expect([refused.status, refused.headers.get('ratelimit')]).toEqual([429, expect.stringContaining('r=0')]);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(50);
    const error = await grpc.error(read.path, message('o-1'), { as: alice.authorization.slice(7) });
    expect([error.code, error.metadata.get('ratelimit')]).toEqual([
      status.RESOURCE_EXHAUSTED,
      [expect.stringContaining('"read";r=0')],
    ]);
    // Another class, and another caller, have their own.
    expect(
      (await fetch(`${server.url}/v1/orders/o-1`, { headers: await as('bob', ['orders.orders.read:any']) })).status,
    ).toBe(200);
    grpc.close();
  });

  test("do not hold for Caudal's services, nor for classes without a quota", async () => {
    const server = await start({ quotas });
    for (let n = 0; n < 6; n++) {
      const { status: code, headers } = await fetch(`${server.url}/v1/orders/o-1`, {
        headers: await as('service:orders', ['orders.orders.read:any']),
      });
      expect([code, headers.get('ratelimit')]).toEqual([200, null]);
    }
  });

  test('a long body takes several calls of the quota, also if it is refused', async () => {
    const server = await start({ quotas: { write: { calls: 100, windowMs: 60_000 } } });
    const send = async (body: string) =>
      fetch(`${server.url}/v1/orders`, {
        method: 'POST',
        headers: { ...(await as('alice')), 'content-type': 'application/json' },
        body,
      });
    expect((await send(' '.repeat(300 * 1024))).headers.get('ratelimit')).toContain('r=24');
    expect((await send(' '.repeat(300 * 1024))).headers.get('ratelimit')).toContain('r=0');
    expect((await send('{}')).status).toBe(429);
  });
});
