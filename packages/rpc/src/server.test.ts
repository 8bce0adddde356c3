import { connect as openSocket } from 'node:net';
import { contract } from '@caudal/contract/descriptors.ts';
import { OrderQueryServiceService, OrderServiceService } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { type CaudalError, refused } from '@caudal/kernel/errors.ts';
import { Client, credentials } from '@grpc/grpc-js';
import { afterEach, describe, expect, test } from '@jest/globals';
import { service as health } from 'grpc-health-check';
import { connect } from './client.ts';
import { services, start, stopAll, token } from './fixture.ts';
import { service } from './types.ts';

afterEach(stopAll);

const getOrder = (orderId: string) => ({ orderId, readMask: undefined });

/** A gate that is opened by hand. */
function gate() {
  let open = () => {};
  const closed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { closed, open };
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + 5_000;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error('It did not come to that within 5 s.');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const source = async () => token('alice', ['orders.orders.read']);

describe('the gRPC port', () => {
  test('answers health over HTTP/1 and over gRPC, each as ready as the other', async () => {
    const server = await start();
    const client = new Client(server.address, credentials.createInsecure());
    const check = (name: string) =>
      new Promise((resolve) => {
        const method = health.Check as {
          path: string;
          requestSerialize(v: unknown): Buffer;
          responseDeserialize(v: Buffer): unknown;
        };
        client.makeUnaryRequest(
          method.path,
          method.requestSerialize,
          method.responseDeserialize,
          { service: name },
          (error, response) => resolve(error ? error.code : (response as { status: string }).status),
        );
      });
    const probe = async (path: string) => (await fetch(`http://${server.address}${path}`)).status;
    expect([await probe('/livez'), await probe('/readyz'), await probe('/v1/orders')]).toEqual([200, 200, 404]);
    expect([await check(''), await check('caudal.orders.v1.OrderService'), await check('nope')]).toEqual([
      'SERVING',
      'SERVING',
      5,
    ]);
    server.setReady(false);
    expect([await probe('/livez'), await probe('/readyz')]).toEqual([200, 503]);
    expect((await fetch(`${server.url}/readyz`)).status).toBe(503);
    expect(await check('')).toBe('NOT_SERVING');
    client.close();
    await server.stop();
  });

  test('tells HTTP/2 from HTTP/1 however few bytes come at once', async () => {
    const server = await start();
    const talk = (chunks: string[]) =>
      new Promise<string>((resolve, reject) => {
        const socket = openSocket(server.grpcPort, '127.0.0.1');
        socket.setNoDelay(true);
        socket.once('error', reject);
        socket.once('data', (data) => {
          resolve(data.toString('latin1'));
          socket.destroy();
        });
        const next = () => {
          const chunk = chunks.shift();
          if (chunk !== undefined) socket.write(chunk, () => setTimeout(next, 20));
        };
        socket.once('connect', next);
      });
    expect(await talk(['G', 'E', 'T /livez HTTP/1.1\r\nhost: a\r\n\r\n'])).toMatch(/^HTTP\/1.1 200/);
    // A SETTINGS frame comes back: its type is the fourth byte.
    const settings = await talk(['P', 'R', 'I * HTTP/2.0\r\n\r\nSM\r\n\r\n', '\0\0\0\x04\0\0\0\0\0']);
    expect(settings.charCodeAt(3)).toBe(4);
    await server.stop();
  });
});

describe('limits', () => {
  test('calls above the bound are refused at once, with a time to come back', async () => {
    const { closed, open } = gate();
    const seen: never[] = [];
    const server = await start({ limits: { maxConcurrent: 2 } }, services(seen, closed));
    const client = connect(OrderQueryServiceService, { address: server.address, auth: source });
    const waiting = [client.getOrder(getOrder('gate')), client.getOrder(getOrder('gate'))];
    await until(() => seen.length === 2);
    const error: CaudalError = await client.getOrder(getOrder('o-1')).then(
      () => expect(true).toBe('refused'),
      (thrown) => thrown,
    );
    expect(error).toMatchObject({ code: 'RESOURCE_EXHAUSTED', reason: 'SERVER_BUSY' });
    expect(error.retryAfterMs).toBeGreaterThan(0);
    const busy = await fetch(`${server.url}/v1/orders/o-1`, { headers: { authorization: `Bearer ${await source()}` } });
    expect([busy.status, Number(busy.headers.get('retry-after'))]).toEqual([429, expect.any(Number)]);
    open();
    await Promise.all(waiting);
    await client.getOrder(getOrder('o-1'));
    client.close();
    await server.stop();
  });
});

describe('stop', () => {
  test('calls in hand end, over gRPC and REST; new ones find nobody', async () => {
    const { closed, open } = gate();
    const seen: never[] = [];
    const server = await start({}, services(seen, closed));
    const client = connect(OrderQueryServiceService, { address: server.address, auth: source });
    const other = connect(OrderQueryServiceService, { address: server.address, auth: source });
    const remote = client.getOrder(getOrder('gate'));
    const authorization = `Bearer ${await source()}`;
    const rest = fetch(`${server.url}/v1/orders/gate`, { headers: { authorization } });
    await until(() => seen.length === 2);
    const stopped = server.stop();
    await expect(other.getOrder(getOrder('o-1'))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    open();
    expect((await remote).orderId).toBe('gate');
    expect((await rest).status).toBe(200);
    await Promise.all([stopped, server.stop()]);
    await expect(fetch(`${server.url}/readyz`)).rejects.toThrow();
    client.close();
    other.close();
  });

  test('a call over gRPC alone is waited for', async () => {
    const { closed, open } = gate();
    const seen: never[] = [];
    const server = await start({}, services(seen, closed));
    const client = connect(OrderQueryServiceService, { address: server.address, auth: source });
    const remote = client.getOrder(getOrder('gate'));
    await until(() => seen.length === 1);
    let stopped = false;
    const stop = server.stop().then(() => {
      stopped = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(stopped).toBe(false);
    open();
    expect((await remote).orderId).toBe('gate');
    await stop;
    client.close();
  });

  test('what does not end is ended at the bound', async () => {
    const seen: never[] = [];
    const server = await start({ limits: { drainMs: 100 } }, services(seen));
    const client = connect(OrderQueryServiceService, { address: server.address, auth: source });
    const authorization = `Bearer ${await source()}`;
    const remote = client.getOrder(getOrder('slow')).catch((error: CaudalError) => error.code);
    const rest = fetch(`${server.url}/v1/orders/slow`, { headers: { authorization } }).then(
      (response) => response.status,
      () => 'closed',
    );
    await until(() => seen.length === 2);
    const before = Date.now();
    await server.stop();
    expect(Date.now() - before).toBeLessThan(2_000);
    expect(await remote).toBe('UNAVAILABLE');
    expect([503, 'closed']).toContain(await rest);
    client.close();
  });

  test('an open health watch does not hold it up', async () => {
    const server = await start();
    const client = new Client(server.address, credentials.createInsecure());
    const method = health.Watch as {
      path: string;
      requestSerialize(v: unknown): Buffer;
      responseDeserialize(v: Buffer): unknown;
    };
    const watch = client.makeServerStreamRequest(method.path, method.requestSerialize, method.responseDeserialize, {
      service: '',
    });
    const states: unknown[] = [];
    watch.on('data', (state: { status: string }) => states.push(state.status));
    watch.on('error', () => {});
    await until(() => states.length === 1);
    const before = Date.now();
    await server.stop();
    expect(Date.now() - before).toBeLessThan(2_000);
    await until(() => states.includes('NOT_SERVING'));
    client.close();
  });
});

describe('start', () => {
  test('is refused without a handler, or where the port is taken', async () => {
    const lacking = { ...services()[0]!, handlers: {} };
    await expect(start({}, [lacking])).rejects.toThrow('/caudal.orders.v1.OrderService/PlaceOrder has no handler');
    const server = await start();
    const grpc = { host: '127.0.0.1', port: server.grpcPort };
    await expect(start({ grpc })).rejects.toThrow('EADDRINUSE');
    const rest = { host: '127.0.0.1', port: server.restPort! };
    await expect(start({ rest })).rejects.toThrow('EADDRINUSE');
    await server.stop();
  });

  test('is refused for a method that the contract does not know', async () => {
    const { placeOrder } = OrderServiceService;
    const unknown = service({ burn: { ...placeOrder, path: '/caudal.orders.v1.OrderService/Burn' } }, {
      burn: async () => refused('X', 'x'),
    } as never);
    await expect(start({}, [unknown])).rejects.toThrow('has no method');
  });

  test('auth: off takes everybody for a developer', async () => {
    const server = await start({ auth: 'off' });
    expect((await fetch(`${server.url}/v1/orders`)).status).toBe(200);
    await server.stop();
  });

  test('lists its services by reflection if told to', async () => {
    for (const reflection of [false, true]) {
      const server = await start({ reflection });
      const client = new Client(server.address, credentials.createInsecure());
      const type = contract().registry.getMessage('grpc.reflection.v1.ServerReflectionRequest');
      expect(type).toBeUndefined();
      const call = client.makeBidiStreamRequest(
        '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => bytes.toString('latin1'),
      );
      const answer = new Promise<string>((resolve) => {
        call.on('data', resolve);
        call.on('error', (error) => resolve(error.message));
      });
      call.write(Buffer.from('\x3a\x01*', 'latin1')); // list_services: "*"
      expect(await answer).toContain(reflection ? 'caudal.orders.v1.OrderQueryService' : 'UNIMPLEMENTED');
      call.cancel();
      client.close();
      await server.stop();
    }
  });
});
