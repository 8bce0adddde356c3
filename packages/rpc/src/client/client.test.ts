import dns, { type LookupAddress } from 'node:dns';
import { constants, createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2';
import { createServer, type Socket } from 'node:net';
import { OrderQueryServiceService, OrderServiceService } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import type { Caller } from '@caudal/kernel/context.ts';
import { CaudalError, unavailable } from '@caudal/kernel/errors.ts';
import { Server as GrpcServer, ServerCredentials, status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { order, placeOrder, type Seen, services, start, stopAll, token } from '../testing/fixture.ts';
import { type Client, service } from '../types.ts';
import { connect, defaultTimeoutMs } from './client.ts';
import { localClient } from './local-client.ts';

const permissions = ['orders.orders.place', 'orders.orders.read', 'orders.orders.cancel'];
const alice: Caller = { subject: 'alice', permissions: new Set(permissions) };
const auth = () => token('alice', permissions);
const get = (orderId: string, readMask?: string[]) => ({ orderId, readMask });

const seen: Seen[] = [];
let server: Awaited<ReturnType<typeof start>>;
beforeAll(async () => {
  server = await start({}, services(seen));
});
afterAll(stopAll);

type Orders = Client<typeof OrderServiceService> & { close(): void };
type Queries = Client<typeof OrderQueryServiceService> & { close(): void };

/** The same calls for both kinds of clients, with the same results. */
describe.each<[string, () => { orders: Orders; queries: Queries }]>([
  [
    'remote',
    () => ({
      orders: connect(OrderServiceService, { address: server.address, auth }),
      queries: connect(OrderQueryServiceService, { address: server.address, auth }),
    }),
  ],
  [
    'local',
    () => ({
      orders: localClient(OrderServiceService, services(seen), alice),
      queries: localClient(OrderQueryServiceService, services(seen), alice),
    }),
  ],
])('a %s client', (_, open) => {
  let orders: Orders;
  let queries: Queries;
  beforeAll(() => {
    ({ orders, queries } = open());
  });
  afterAll(() => {
    orders.close();
    queries.close();
  });

  test('gets answers', async () => {
    expect(await queries.getOrder(get('o-1'))).toEqual(order());
    const place = await orders.placeOrder(placeOrder({ requestId: '0190d6f0-1c5e-7b3a-9f00-5d2c8a4be101' }));
    expect(place.customerId).toBe('alice');
    const { commandId, caller } = seen.at(-1)!.call;
    expect(commandId!.key).toMatch(/^[0-9a-f-]{36}$/);
    expect([caller.subject, [...caller.permissions]]).toEqual(['alice', permissions]);
  });

  test('gets the fields of its mask', async () => {
    const { orderId, total, lines, etag } = await queries.getOrder(get('o-1', ['order_id', 'total.minor_units']));
    expect({ orderId, total, lines, etag }).toEqual({
      orderId: 'o-1',
      total: { minorUnits: 2500n, currency: '' },
      lines: [],
      etag: '',
    });
  });

  test.each([
    ['missing', { code: 'NOT_FOUND', reason: 'ORDER_NOT_FOUND', metadata: { order: 'missing' } }],
    ['refused', { code: 'FAILED_PRECONDITION', reason: 'ORDER_SHIPPED', message: 'The order has left already.' }],
    ['changed', { code: 'ABORTED', reason: 'ETAG_MISMATCH' }],
    ['down', { code: 'UNAVAILABLE', reason: 'DEPENDENCY_UNAVAILABLE', retryAfterMs: 1500 }],
    ['bug', { code: 'INTERNAL', reason: 'INTERNAL', message: 'Something went wrong on our side.' }],
    ['careless', { code: 'INTERNAL', reason: 'INTERNAL' }],
  ])('gets the error of an order that is %s', async (id, expected) => {
    const error = await queries.getOrder(get(id)).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(CaudalError);
    expect(error).toMatchObject(expected);
  });

  test('gets violations, and refusals for missing permissions', async () => {
    await expect(orders.placeOrder(placeOrder({ lines: [] }))).rejects.toMatchObject({
      reason: 'INVALID_REQUEST',
      violations: [{ field: 'lines', description: 'must have at least 1 item' }],
    });
    await expect(orders.placeOrder(placeOrder({ customerId: 'bob' }))).rejects.toMatchObject({
      code: 'PERMISSION_DENIED',
      reason: 'NOT_OWNER',
    });
  });

  test('gives the consistency token of an answer, and sends it with another call', async () => {
    const tokens: string[] = [];
    await orders.placeOrder(placeOrder(), { onConsistencyToken: (token) => tokens.push(token) });
    expect(tokens).toHaveLength(1);
    await queries.getOrder(get('o-1'), {
      consistencyToken: tokens[0],
      onConsistencyToken: (token) => tokens.push(token),
    });
    expect(seen.at(-1)!.call.consistency).toEqual([{ stream: 'orders.order/o-1', version: 1 }]);
    expect(tokens).toHaveLength(1);
  });

  test('waits no longer than its deadline', async () => {
    const before = Date.now();
    const deadline = new Date(before + 150);
    for (const options of [{ timeoutMs: 150 }, { deadline, timeoutMs: 60_000 }]) {
      await expect(queries.getOrder(get('slow'), options)).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    }
    expect(Date.now() - before).toBeLessThan(defaultTimeoutMs);
  });

  test('stops waiting when its signal fires', async () => {
    const controller = new AbortController();
    const before = seen.length;
    const call = queries.getOrder(get('slow'), { signal: controller.signal });
    while (seen.length === before) await new Promise((resolve) => setTimeout(resolve, 5));
    controller.abort();
    await expect(call).rejects.toMatchObject({ code: 'CANCELLED', reason: 'CALL_CANCELLED' });
    await expect(queries.getOrder(get('o-1'), { signal: controller.signal })).rejects.toMatchObject({
      code: 'CANCELLED',
    });
  });

  test('passes on causation, correlation, trace and consistency', async () => {
    const origin = {
      actor: 'somebody',
      causationId: 'e-1',
      correlationId: 'c-1',
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    };
    const consistency = [{ stream: 'orders.order/o-1', version: 3 }];
    await queries.getOrder(get('o-1'), { origin, consistency });
    const { call } = seen.at(-1)!;
    expect(call.origin).toMatchObject({ actor: 'alice', causationId: 'e-1', correlationId: 'c-1' });
    expect(call.origin.traceparent).toContain('0af7651916cd43dd8448eb211c80319c');
    expect(call.consistency).toEqual(consistency);
  });

  test('shares nothing with the handler', async () => {
    const request = placeOrder();
    const answer = await orders.placeOrder(request);
    const handled = seen.at(-1)!.request as typeof request;
    expect(handled.lines[0]).toEqual(request.lines[0]);
    expect(handled.lines).not.toBe(request.lines);
    expect(handled.lines[0]).not.toBe(request.lines[0]);
    answer.lines.length = 0;
    expect((await orders.placeOrder(request)).lines).toHaveLength(1);
  });
});

describe('localClient', () => {
  test('finds services that are added later, and reports methods that are not served', async () => {
    const list: ReturnType<typeof services> = [];
    const client = localClient(OrderQueryServiceService, list, alice);
    list.push(...services());
    expect((await client.getOrder(get('o-1'))).orderId).toBe('o-1');
    const none = localClient(OrderQueryServiceService, [], alice);
    await expect(none.getOrder(get('o-1'))).rejects.toMatchObject({ code: 'UNIMPLEMENTED' });
  });
});

describe('connect', () => {
  test('a peer that does not listen is UNAVAILABLE at once', async () => {
    const client = connect(OrderQueryServiceService, { address: '127.0.0.1:9' });
    const before = Date.now();
    await expect(client.getOrder(get('o-1'), { timeoutMs: 60_000 })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      reason: 'DEPENDENCY_UNAVAILABLE',
      metadata: { dependency: 'orders' },
    });
    expect(Date.now() - before).toBeLessThan(20_000);
    client.close();
  });

  test('a peer that accepts connections but never answers is UNAVAILABLE, too', async () => {
    const taken: Socket[] = [];
    const silent = createServer((socket) => taken.push(socket));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as { port: number };
    const client = connect(OrderQueryServiceService, { address: `127.0.0.1:${port}` });
    await expect(client.getOrder(get('o-1'), { timeoutMs: 200 })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    client.close();
    silent.close();
    // In grpc-js, a connection that is still being opened outlives the client.
    for (const socket of taken) socket.destroy();
  });

  /** Repeats the call until there is an answer, for 10 s at most. */
  async function isFound(client: Queries): Promise<boolean> {
    const end = Date.now() + 10_000;
    let found = false;
    while (!found && Date.now() < end)
      found = await client.getOrder(get('o-1')).then(
        () => true,
        () => false,
      );
    return found;
  }

  test('a peer that returns is found again', async () => {
    const first = await start();
    const client = connect(OrderQueryServiceService, { address: first.address, auth });
    await client.getOrder(get('o-1'));
    await first.stop();
    await expect(client.getOrder(get('o-1'))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    const second = await start({ grpc: { host: '127.0.0.1', port: first.grpcPort } });
    expect(await isFound(client)).toBe(true);
    client.close();
    await second.stop();
  });

  test('a peer that returns at another address is found, even soon after the last DNS answer', async () => {
    let host = '127.0.0.1';
    const lookup = jest.spyOn(dns.promises, 'lookup') as unknown as jest.Mock<() => Promise<LookupAddress[]>>;
    lookup.mockImplementation(async () => [{ address: host, family: 4 }]);
    const first = await start();
    const client = connect(OrderQueryServiceService, { address: `dns:///orders.test:${first.grpcPort}`, auth });
    await client.getOrder(get('o-1'));
    host = '127.0.0.2';
    const second = await start({ grpc: { host, port: first.grpcPort } });
    await first.stop();
    expect(await isFound(client)).toBe(true);
    client.close();
    await second.stop();
    lookup.mockRestore();
  });

  test('repeats calls that are UNAVAILABLE: queries, and commands under one request_id', async () => {
    const ids: string[] = [];
    let failures = 0;
    const flaky = async (requestId: string) => {
      ids.push(requestId);
      if (failures-- > 0) throw unavailable('PostgreSQL');
      return order();
    };
    const fails = service(OrderServiceService, {
      returnOrder: (request) => flaky(request.requestId),
      settleReturn: (request) => flaky(request.requestId),
      placeOrder: (request) => flaky(request.requestId),
      cancelOrder: (request, call) => {
        call.authorize('alice');
        return flaky(request.requestId);
      },
    });
    const failingQueries = service(OrderQueryServiceService, {
      getOrder: (request, call) => {
        call.authorize('alice');
        return flaky(request.orderId);
      },
      listOrders: async () => ({ orders: [], nextPageToken: '' }),
      summarizeOrders: async () => ({ groups: [], more: false }),
    });
    const unsteady = await start({}, [fails, failingQueries]);
    const client = connect(OrderServiceService, { address: unsteady.address, auth });
    failures = 1;
    expect((await client.placeOrder(placeOrder())).orderId).toBe('o-1');
    expect(ids).toHaveLength(2);
    expect(ids[0]).toMatch(/^[0-9a-f-]{36}$/);
    expect(ids[1]).toBe(ids[0]);
    failures = 1;
    expect((await client.placeOrder(placeOrder(), { idempotent: true })).orderId).toBe('o-1');
    expect(ids.splice(2)).toEqual(['', '']);
    client.close();
    const queries = connect(OrderQueryServiceService, { address: unsteady.address, auth });
    failures = 1;
    expect((await queries.getOrder(get('o-7'))).orderId).toBe('o-1');
    expect(ids.slice(2)).toEqual(['o-7', 'o-7']);
    queries.close();
    await unsteady.stop();
  });

  test('does not repeat other errors', async () => {
    const before = seen.length;
    const client = connect(OrderQueryServiceService, { address: server.address, auth });
    await expect(client.getOrder(get('changed'))).rejects.toMatchObject({ code: 'ABORTED' });
    expect(seen.length).toBe(before + 1);
    client.close();
  });

  test('accepts a server that sends no details', async () => {
    const plain = new GrpcServer();
    const { getOrder } = OrderQueryServiceService;
    let code: status = status.UNKNOWN;
    plain.addService({ getOrder } as never, {
      getOrder: (_: unknown, done: (error: object) => void) => done({ code, details: 'so it is' }),
    });
    const port = await new Promise<number>((resolve, reject) =>
      plain.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      ),
    );
    const client = connect(OrderQueryServiceService, { address: `127.0.0.1:${port}` });
    for (const [given, expected] of [
      [status.UNKNOWN, 'UNAVAILABLE'],
      [status.INTERNAL, 'UNAVAILABLE'],
      [status.CANCELLED, 'UNAVAILABLE'],
      [status.DATA_LOSS, 'INTERNAL'],
      [status.UNIMPLEMENTED, 'UNIMPLEMENTED'],
      [status.NOT_FOUND, 'NOT_FOUND'],
      [status.UNAVAILABLE, 'UNAVAILABLE'],
    ] as const) {
      code = given;
      await expect(client.getOrder(get('o-1'))).rejects.toMatchObject({ code: expected });
    }
    client.close();
    plain.forceShutdown();
  });

  test.each<[string, (stream: ServerHttp2Stream) => void]>([
    ['without a status', (stream) => stream.end()],
    ['by a reset', (stream) => stream.close(constants.NGHTTP2_INTERNAL_ERROR)],
    ['by a cancel of the server', (stream) => stream.close(constants.NGHTTP2_CANCEL)],
    ['with its connection', (stream) => stream.session!.destroy()],
  ])('a call that ends %s makes the peer UNAVAILABLE, and is not reported as a bug', async (_, end) => {
    const breaking = createHttp2Server();
    breaking.on('stream', (stream) => {
      stream.on('error', () => {});
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
      setTimeout(end, 20, stream);
    });
    await new Promise<void>((resolve) => breaking.listen(0, '127.0.0.1', resolve));
    const { port } = breaking.address() as { port: number };
    const client = connect(OrderQueryServiceService, { address: `127.0.0.1:${port}` });
    await expect(client.getOrder(get('o-1'))).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      metadata: { dependency: 'orders' },
    });
    client.close();
    breaking.close();
  });

  test('a call that an ending server drops is repeated once, under the same request_id', async () => {
    const asked: { path: string; body: Buffer }[] = [];
    const dying = createHttp2Server();
    dying.on('stream', (stream, headers) => {
      const chunks: Buffer[] = [];
      stream.on('error', () => {});
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => {
        asked.push({ path: String(headers[':path']), body: Buffer.concat(chunks) });
        stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
        stream.end();
      });
    });
    await new Promise<void>((resolve) => dying.listen(0, '127.0.0.1', resolve));
    const { port } = dying.address() as { port: number };
    const orders = connect(OrderServiceService, { address: `127.0.0.1:${port}` });
    await expect(orders.placeOrder(placeOrder())).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(asked).toHaveLength(2);
    expect(asked[1]).toEqual(asked[0]);
    orders.close();
    dying.close();
  });

  test('a request that can not be encoded is INTERNAL, for any peer', async () => {
    const client = connect(OrderServiceService, { address: server.address, auth });
    const wrong = placeOrder({ lines: [{ productId: 'p-1', quantity: 'many' as unknown as bigint }] });
    await expect(client.placeOrder(wrong)).rejects.toMatchObject({ code: 'INTERNAL' });
    client.close();
  });
});
