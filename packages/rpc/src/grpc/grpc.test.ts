import { once } from 'node:events';
import { connect as openSession } from 'node:http2';
import { InventoryServiceService } from '@caudal/contract/gen/caudal/inventory/v1/inventory.ts';
import { OrderQueryServiceService, OrderServiceService } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { Client, credentials, type Deadline, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { fromStatus } from '../errors.ts';
import { developer } from '../server/auth.ts';
import { createPipeline } from '../server/pipeline.ts';
import { defaultLimits } from '../server/server.ts';
import { placeOrder, type Seen, services, start, token } from '../testing/fixture.ts';
import { grpcServer } from './grpc.ts';

const seen: Seen[] = [];
let server: Awaited<ReturnType<typeof start>>;
let client: Client;
let alice: string;

beforeAll(async () => {
  server = await start({ limits: { maxMessageBytes: 100_000 } }, services(seen));
  client = new Client(server.address, credentials.createInsecure());
  alice = await token('alice', [
    'orders.orders.place',
    'orders.orders.read',
    'orders.orders.cancel',
    'log.events.read',
  ]);
});
afterAll(async () => {
  client.close();
  await server.stop();
});

interface Answer {
  response?: unknown;
  error?: ServiceError;
  metadata?: Metadata;
}

function send(path: string, bytes: Uint8Array, headers: Record<string, string> = {}, deadline?: Deadline, as = alice) {
  const metadata = new Metadata();
  if (as) metadata.set('authorization', `Bearer ${as}`);
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  return new Promise<Answer>((resolve) => {
    let initial: Metadata | undefined;
    const call = client.makeUnaryRequest(
      path,
      (value: Buffer) => value,
      (value: Buffer) => value,
      Buffer.from(bytes),
      metadata,
      { deadline: deadline ?? Date.now() + 5_000 },
      (error, response) => resolve({ error: error ?? undefined, response, metadata: initial }),
    );
    call.on('metadata', (received) => {
      initial = received;
    });
  });
}

const { placeOrder: place } = OrderServiceService;
const { reserveStock: reserve } = InventoryServiceService;
const { getOrder, listOrders } = OrderQueryServiceService;
const get = (orderId: string, headers = {}, deadline?: Deadline, as = alice) =>
  send(getOrder.path, getOrder.requestSerialize({ orderId, readMask: undefined }), headers, deadline, as);

describe('gRPC', () => {
  test('answers, with request id and consistency token in the metadata', async () => {
    const { response, metadata } = await send(place.path, place.requestSerialize(placeOrder()), {
      'x-request-id': 'r1',
    });
    expect(place.responseDeserialize(response as Buffer)).toMatchObject({ orderId: 'o-1', customerId: 'alice' });
    expect(metadata!.get('x-request-id')).toEqual(['r1']);
    const [consistency] = metadata!.get('caudal-consistency-token');
    await get('o-1', { 'caudal-consistency-token': consistency });
    expect(seen.at(-1)!.call.consistency).toEqual([{ stream: 'orders.order/o-1', version: 1 }]);
  });

  test('a connection may have far more calls than are served: they are refused with a reason', async () => {
    const session = openSession(`http://${server.address}`);
    await once(session, 'remoteSettings');
    // Its caller is known.
    const stream = session.request({
      ':path': getOrder.path,
      ':method': 'POST',
      'content-type': 'application/grpc',
      te: 'trailers',
      authorization: `Bearer ${alice}`,
    });
    stream.on('error', () => {});
    const [settings] = await once(session, 'remoteSettings');
    expect(settings.maxConcurrentStreams).toBeGreaterThanOrEqual(4_000);
    session.destroy();
  });

  test('an answer from a cache has its age', async () => {
    expect((await get('o-1')).metadata!.get('caudal-age')).toEqual([]);
    expect((await get('remembered')).metadata!.get('caudal-age')).toEqual(['4']);
  });

  test('the handler gets the caller, the causation and the deadline', async () => {
    const deadline = Date.now() + 30_000;
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    await get('o-1', { 'x-request-id': 'r2', 'caudal-correlation-id': 'c2', traceparent }, deadline);
    const { call } = seen.at(-1)!;
    expect(call.origin).toMatchObject({ actor: 'alice', causationId: 'r2', correlationId: 'c2' });
    expect(call.origin.traceparent).toMatch(/^00-0af7651916cd43dd8448eb211c80319c-/);
    // gRPC sends the time that is left, so the latency is added. It is neither the default (5 s) nor the maximum (60
    // s).
    expect(Math.abs(call.deadline.getTime() - deadline)).toBeLessThan(20_000);
    expect(call).toMatchObject({ method: getOrder.path, caller: { subject: 'alice' }, commandId: undefined });
  });

  test('a field mask leaves zero values for the other fields', async () => {
    const request = { ...placeOrder(), readMask: ['order_id', 'lines.product_id', 'status'], orderId: 'o-3' };
    const { response } = await send(getOrder.path, getOrder.requestSerialize(request));
    expect(getOrder.responseDeserialize(response as Buffer)).toMatchObject({
      orderId: 'o-3',
      customerId: '',
      status: 1,
      total: undefined,
      etag: '',
      lines: [{ productId: 'p-1', quantity: 0n, title: '', unitPrice: undefined }],
    });
  });

  test('a command id is the same for the same request', async () => {
    const id = '0190d6f0-1c5e-7b3a-9f00-5d2c8a4be101';
    const ids = [];
    for (const request of [
      placeOrder({ requestId: id }),
      placeOrder({ requestId: id.toUpperCase() }),
      placeOrder({ requestId: id, reference: 'other' }),
      placeOrder({ requestId: '0190d6f0-1c5e-7b3a-9f00-5d2c8a4be102' }),
    ]) {
      await send(place.path, place.requestSerialize(request));
      const { commandId } = seen.at(-1)!.call;
      ids.push({ key: commandId!.key, hash: Buffer.from(commandId!.hash).toString('hex') });
    }
    expect(ids[1]).toEqual(ids[0]);
    expect(ids[2]!.key).toBe(ids[0]!.key);
    expect(ids[2]!.hash).not.toBe(ids[0]!.hash);
    expect(ids[3]!.key).not.toBe(ids[0]!.key);
    await send(place.path, place.requestSerialize(placeOrder()));
    expect(seen.at(-1)!.call.commandId).toBeUndefined();
  });

  test('the order of a map does not change the hash, its content does', async () => {
    const reserver = await token('service:orders', ['inventory.stock.reserve']);
    const hashes = [];
    for (const attributes of [
      { tier: 'gold', country: 'GB' },
      { country: 'GB', tier: 'gold' },
      { country: 'DE', tier: 'gold' },
    ] as Record<string, string>[]) {
      const bytes = reserve.requestSerialize({
        requestId: '0190d6f0-1c5e-7b3a-9f00-5d2c8a4be103',
        reservationId: 'r-1',
        lines: [{ productId: 'p-1', quantity: 1n }],
        ttl: undefined,
        attributes,
      });
      expect((await send(reserve.path, bytes, {}, undefined, reserver)).error).toBeUndefined();
      hashes.push(Buffer.from(seen.at(-1)!.call.commandId!.hash).toString('hex'));
    }
    expect(hashes[1]).toBe(hashes[0]);
    expect(hashes[2]).not.toBe(hashes[0]);
  });
});

describe('gRPC errors', () => {
  test('have exactly one ErrorInfo, the violations and a delay for the repeat', async () => {
    const bad = await send(place.path, place.requestSerialize(placeOrder({ lines: [], country: '' })));
    expect(bad.error!.code).toBe(status.INVALID_ARGUMENT);
    expect(fromStatus(bad.error!, 'orders')).toMatchObject({
      code: 'INVALID_ARGUMENT',
      reason: 'INVALID_REQUEST',
      violations: [
        { field: 'country', description: 'must not be empty' },
        { field: 'lines', description: 'must have at least 1 item' },
      ],
    });
    const down = await get('down');
    expect(down.error!.code).toBe(status.UNAVAILABLE);
    expect(fromStatus(down.error!, 'orders')).toMatchObject({
      reason: 'DEPENDENCY_UNAVAILABLE',
      retryAfterMs: 1500,
      metadata: { dependency: 'PostgreSQL' },
    });
    const refused = fromStatus((await get('refused')).error!, 'orders');
    expect(refused).toMatchObject({
      code: 'FAILED_PRECONDITION',
      reason: 'ORDER_SHIPPED',
      metadata: { order: 'refused' },
    });
  });

  test.each(['bug', 'careless', 'broken'])('a bug (%s) shows nothing but INTERNAL and the request id', async (id) => {
    const { error } = await get(id, { 'x-request-id': 'r9' });
    expect([error!.code, error!.details]).toEqual([status.INTERNAL, 'Something went wrong on our side.']);
    expect(error!.metadata.get('x-request-id')).toEqual(['r9']);
    expect(JSON.stringify(error!.metadata.toJSON())).not.toContain('4111');
  });

  test('bytes that are not a message', async () => {
    const { error } = await send(place.path, Buffer.from('ffffffff', 'hex'));
    expect(fromStatus(error!, 'orders')).toMatchObject({ code: 'INVALID_ARGUMENT', reason: 'MALFORMED_REQUEST' });
  });

  test('too many bytes, and unknown methods', async () => {
    const large = await send(place.path, place.requestSerialize(placeOrder({ reference: 'x'.repeat(100_001) })));
    expect(large.error!.code).toBe(status.RESOURCE_EXHAUSTED);
    expect(fromStatus(large.error!, 'orders')).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      reason: 'REQUEST_TOO_LARGE',
      metadata: { max_request_bytes: '100000' },
    });
    const none = await send('/caudal.orders.v1.OrderService/Burn', Buffer.alloc(0));
    expect(none.error!.code).toBe(status.UNIMPLEMENTED);
  });

  test('a deadline that passes', async () => {
    // If the deadline passes before the call arrives, the handler does not run. Then the test calls again.
    const before = seen.length;
    for (let ms = 200; seen.length === before; ms *= 2) {
      const { error } = await get('slow', {}, Date.now() + ms);
      expect(error!.code).toBe(status.DEADLINE_EXCEEDED);
    }
    const { signal } = seen.at(-1)!.call;
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    expect(['DEADLINE_EXCEEDED', 'CANCELLED']).toContain(signal.reason.code);
  });

  test('hundreds of violations still fit into the trailers', async () => {
    const lines = Array.from({ length: 500 }, () => ({ productId: 'x'.repeat(100), quantity: 0n }));
    const { error } = await send(place.path, place.requestSerialize(placeOrder({ lines })));
    const { violations } = fromStatus(error!, 'orders');
    expect(violations.length).toBeGreaterThan(5);
    expect(violations[0]!.field).toBe('lines[0].product_id');
  });

  test('a missing token, a missing permission, and another owner', async () => {
    const reason = async (answer: Promise<Answer>) => fromStatus((await answer).error!, 'orders').reason;
    const bob = await token('bob', ['orders.orders.read']);
    expect(await reason(get('o-1', {}, undefined, ''))).toBe('TOKEN_MISSING');
    expect(await reason(get('o-1', {}, undefined, 'x.y.z'))).toBe('TOKEN_INVALID');
    expect(await reason(get('o-1', {}, undefined, await token('bob', ['orders.orders.place:any'])))).toBe(
      'PERMISSION_MISSING',
    );
    expect(await reason(get('o-1', {}, undefined, bob))).toBe('ORDER_NOT_FOUND');
    const list = listOrders.requestSerialize({
      customerId: '',
      status: 0,
      needsAttention: false,
      pageSize: 0,
      pageToken: '',
      readMask: undefined,
      orderBy: '',
    });
    expect(await reason(send(listOrders.path, list, {}, undefined, bob))).toBe('NOT_OWNER');
  });

  test('internal methods are for services only', async () => {
    const path = '/caudal.log.v1.LogService/ReadLog';
    const request = Buffer.from([0x0a, 1, 0x61]); // domain "a"
    expect(fromStatus((await send(path, request)).error!, 'log').reason).toBe('INTERNAL_METHOD');
    const service = await token('service:orders', ['log.events.read']);
    expect((await send(path, request, {}, undefined, service)).error).toBeUndefined();
    // "*" is only for development mode: in a token it is ignored.
    const greedy = await token('alice', ['*']);
    expect(fromStatus((await send(path, request, {}, undefined, greedy)).error!, 'log').reason).toBe('INTERNAL_METHOD');
    expect(fromStatus((await get('o-1', {}, undefined, greedy)).error!, 'orders').reason).toBe('PERMISSION_MISSING');
  });

  test('a permission with a scope holds for requests about that only, and the refusal names what is missing', async () => {
    const path = '/caudal.log.v1.LogService/ReadLog';
    const of = (domain: string) => Buffer.concat([Buffer.from([0x0a, domain.length]), Buffer.from(domain)]);
    const as = async (domain: string, ...permissions: string[]) => {
      const { error } = await send(path, of(domain), {}, undefined, await token('service:orders', permissions));
      return error && fromStatus(error, 'log').metadata.permission;
    };
    expect(await as('payments', 'log.events.read:payments', 'log.events.read:shipping')).toBeUndefined();
    expect(await as('payments', 'log.events.read:any')).toBeUndefined();
    expect(await as('payments', 'log.events.read')).toBeUndefined();
    expect(await as('customers', 'log.events.read:payments')).toBe('log.events.read:customers');
    expect(await as('customers', 'log.events.readx', 'log.events.follow:customers')).toBe('log.events.read');
    expect(await as('any', 'log.events.read:payments')).toBe('log.events.read:any');
  });

  test('a connection that got GOAWAY is not cut before the deadlines of its calls', () => {
    const { maxTimeoutMs } = defaultLimits;
    const { options } = grpcServer(
      [],
      { pipeline: createPipeline(defaultLimits), admission: {} as never, authenticate: async () => developer },
      defaultLimits,
    ) as unknown as {
      options: Record<string, number>;
    };
    expect(options['grpc.max_connection_age_grace_ms']).toBeGreaterThan(maxTimeoutMs);
  });

  test('a caller without a valid token is refused before the message is received', async () => {
    const session = openSession(`http://${server.address}`);
    const stream = session.request({
      ':path': getOrder.path,
      ':method': 'POST',
      'content-type': 'application/grpc',
      te: 'trailers',
      'x-request-id': 'r7',
    });
    stream.on('error', () => {});
    stream.write(Buffer.from([0, 0, 0, 100, 0])); // the start of a message of 25 KiB, whose rest is never sent
    const headers = await new Promise<Record<string, unknown>>((resolve) => stream.on('response', resolve));
    expect(headers).toMatchObject({ 'grpc-status': String(status.UNAUTHENTICATED), 'x-request-id': 'r7' });
    session.destroy();
  });

  test('an HTTP/2 request that is not gRPC is refused', async () => {
    const session = openSession(`http://${server.address}`);
    const stream = session.request({ ':path': '/v1/orders', ':method': 'GET' });
    const code = await new Promise((resolve) => stream.on('response', (headers) => resolve(headers[':status'])));
    expect(code).toBe(415);
    session.close();
  });

  test('texts that are not UTF-8 are refused, with the names of their fields; U+FFFD itself is a character', async () => {
    const { placeOrder: method } = OrderServiceService;
    const marked = (mark: string) =>
      Buffer.from(
        method.requestSerialize(
          placeOrder({
            country: mark,
            lines: [
              { productId: 'p-1', quantity: 1n },
              { productId: mark, quantity: 1n },
            ],
            paymentMethod: { method: { $case: 'walletId', value: mark } },
            attributes: { tier: mark },
          }),
        ),
      );
    const broken = marked('xx\u00e9');
    // Bytes of Latin-1 in the place of the two bytes of UTF-8.
    for (let at = broken.indexOf('\u00e9'); at !== -1; at = broken.indexOf('\u00e9')) broken.set([0xe9, 0x78], at);
    const count = seen.length;
    const { error } = await send(method.path, broken);
    expect(fromStatus(error!, 'orders')).toMatchObject({
      code: 'INVALID_ARGUMENT',
      reason: 'MALFORMED_REQUEST',
      violations: ['country', 'lines[1].product_id', 'payment_method.wallet_id', 'attributes'].map((field) => ({
        field,
        description: 'must be UTF-8',
      })),
    });
    expect(seen.length).toBe(count);
    const whole = await send(method.path, method.requestSerialize(placeOrder({ country: '\ufffd' })));
    expect(whole.error).toBeUndefined();
  });
});
