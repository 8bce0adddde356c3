import { contract } from '@caudal/contract/descriptors.ts';
import { OrderQueryServiceService, OrderServiceService } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { type CaudalError, refused } from '@caudal/kernel/errors.ts';
import { startTelemetry } from '@caudal/telemetry/start.ts';
import { until } from '@caudal/testing/until.ts';
import { Client, credentials } from '@grpc/grpc-js';
import { afterEach, describe, expect, test } from '@jest/globals';
import { service as health } from 'grpc-health-check';
import { connect } from '../client/client.ts';
import { localClient } from '../client/local-client.ts';
import { gate, talk } from '../testing/connections.ts';
import { services, start, stopAll, token } from '../testing/fixture.ts';
import { service } from '../types.ts';

afterEach(stopAll);

const getOrder = (orderId: string) => ({ orderId, readMask: undefined });

const source = async () => token('alice', ['orders.orders.read']);

describe('limits', () => {
  test.each(['grpcPort', 'restPort'] as const)('connections above the bound are closed at once (%s)', async (port) => {
    const server = await start({ limits: { maxConnections: 2 } });
    const taken = [talk(server[port]!, ''), talk(server[port]!, '')];
    await until(() => taken.every(({ socket }) => !socket.connecting));
    const refused = talk(server[port]!, 'GET /livez HTTP/1.1\r\nhost: a\r\n\r\n');
    await until(() => refused.closed);
    expect(refused.heard).toBe('');
    taken[0]!.socket.destroy();
    await until(async () => {
      const next = talk(server[port]!, 'GET /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n');
      await until(() => next.closed);
      return next.heard.startsWith('HTTP/1.1 200');
    });
    taken[1]!.socket.destroy();
    await server.stop();
  });

  test('over REST, a caller without a token, or a call too many, is refused before the body is received', async () => {
    const { closed, open } = gate();
    const seen: never[] = [];
    const server = await start({ limits: { maxConcurrent: 1 } }, services(seen, closed));
    const post = (authorization: string) =>
      talk(
        server.restPort!,
        `POST /v1/orders HTTP/1.1\r\nhost: a\r\n${authorization}content-type: application/json\r\ncontent-length: 1000\r\n\r\n{`,
      );
    const nobody = post('');
    await until(() => nobody.heard.includes('TOKEN_MISSING'));
    expect(nobody.heard).toMatch(/^HTTP\/1.1 401/);
    const client = connect(OrderQueryServiceService, { address: server.address, auth: source });
    const waiting = client.getOrder(getOrder('gate'), { timeoutMs: 60_000 });
    await until(() => seen.length === 1);
    const late = post(`authorization: Bearer ${await source()}\r\n`);
    await until(() => late.heard.includes('SERVER_BUSY'));
    expect(late.heard).toMatch(/^HTTP\/1.1 429/);
    open();
    await waiting;
    for (const { socket } of [nobody, late]) socket.destroy();
    client.close();
    await server.stop();
  });

  test('over REST, a caller is authenticated once per call', async () => {
    let asked = 0;
    const server = await start({
      auth: async () => {
        asked++;
        return { subject: 'alice', permissions: new Set(['orders.orders.read']) };
      },
    });
    expect((await fetch(`${server.url}/v1/orders/o-1`)).status).toBe(200);
    expect(asked).toBe(1);
    await server.stop();
  });

  test("the gauge of calls in flight follows each call's start and end", async () => {
    const { closed, open } = gate();
    const telemetry = await startTelemetry({
      serviceName: 'test',
      serviceVersion: '1',
      role: 'all',
      prometheus: { host: '127.0.0.1', port: 0 },
    });
    const inFlight = async () => {
      const text = await (await fetch(`http://127.0.0.1:${telemetry.prometheusPort}/metrics`)).text();
      return /^rpc_server_calls_in_flight (\d+)$/m.exec(text)?.[1];
    };
    const seen: never[] = [];
    const server = await start({}, services(seen, closed));
    const client = connect(OrderQueryServiceService, { address: server.address, auth: source });
    const waiting = [client.getOrder(getOrder('gate')), client.getOrder(getOrder('gate'))];
    await until(() => seen.length === 2);
    const alice = { subject: 'alice', permissions: new Set(['orders.orders.read']) };
    await localClient(OrderQueryServiceService, services(), alice).getOrder(getOrder('o-1'));
    expect(await inFlight()).toBe('2');
    open();
    await Promise.all(waiting);
    expect(await inFlight()).toBe('0');
    client.close();
    await server.stop();
    await telemetry.stop();
  });

  test('calls above the bound are refused at once, with a delay for the repeat', async () => {
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
    // Calls refused at the same time get different delays.
    const times = await Promise.all(
      Array.from({ length: 40 }, () =>
        client.getOrder(getOrder('o-1')).then(
          () => 0,
          ({ retryAfterMs }: CaudalError) => retryAfterMs!,
        ),
      ),
    );
    expect(new Set(times).size).toBeGreaterThan(5);
    expect([Math.min(...times) >= 500, Math.max(...times) <= 1_500]).toEqual([true, true]);
    open();
    await Promise.all(waiting);
    await client.getOrder(getOrder('o-1'));
    client.close();
    await server.stop();
  });
});

describe('stop', () => {
  test('calls in flight end, over gRPC and REST; new connections are refused', async () => {
    const { closed, open } = gate();
    const seen: never[] = [];
    const server = await start({}, services(seen, closed));
    const client = connect(OrderQueryServiceService, { address: server.address, auth: source });
    const other = connect(OrderQueryServiceService, { address: server.address, auth: source });
    const remote = client.getOrder(getOrder('gate'));
    const authorization = `Bearer ${await source()}`;
    const rest = fetch(`${server.url}/v1/orders/gate`, { headers: { authorization } });
    await until(() => seen.length === 2);
    const half = talk(server.grpcPort, 'GET /li');
    await until(() => !half.socket.connecting);
    const stopped = server.stop();
    // It has nothing in flight, so `stop` does not wait for it.
    await until(() => half.closed);
    await expect(other.getOrder(getOrder('o-1'))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    open();
    expect((await remote).orderId).toBe('gate');
    expect((await rest).status).toBe(200);
    await Promise.all([stopped, server.stop()]);
    await expect(fetch(`${server.url}/readyz`)).rejects.toThrow();
    client.close();
    other.close();
  });

  test('over REST, further requests on a connection in use are served', async () => {
    const { closed, open } = gate();
    const seen: never[] = [];
    const server = await start({}, services(seen, closed));
    const headers = `host: a\r\nauthorization: Bearer ${await source()}\r\n\r\n`;
    const rest = talk(server.restPort!, `GET /v1/orders/gate HTTP/1.1\r\n${headers}`);
    await until(() => seen.length === 1);
    const stopped = server.stop();
    rest.socket.write(`GET /v1/orders/missing HTTP/1.1\r\n${headers}`);
    await until(() => seen.length === 2);
    open();
    await until(() => rest.closed);
    expect(rest.heard.match(/HTTP\/1.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 404']);
    expect(rest.heard).toContain('ORDER_NOT_FOUND');
    await stopped;
  });

  test('once the process begins to end, a REST connection ends with its next answer, whatever that is', async () => {
    const ending = new AbortController();
    const server = await start({ ending: ending.signal });
    const headers = `host: a\r\nauthorization: Bearer ${await source()}\r\n\r\n`;
    const ask = (path: string, talking: ReturnType<typeof talk>) =>
      talking.socket.write(`GET ${path} HTTP/1.1\r\n${headers}`);
    const paths = ['/v1/orders/o-1', '/v1/orders/missing', '/v1/nothing', '/readyz', '/openapi.json'];
    const connections = paths.map((path) => ({ path, talking: talk(server.restPort!, '') }));
    for (const { talking } of connections) ask('/v1/orders/o-1', talking);
    await until(() => connections.every(({ talking }) => talking.heard.includes('HTTP/1.1 200')));
    expect(connections.filter(({ talking }) => talking.closed)).toEqual([]);
    ending.abort();
    for (const { path, talking } of connections) ask(path, talking);
    await until(() => connections.every(({ talking }) => talking.closed));
    for (const { talking } of connections) {
      expect(talking.heard.match(/HTTP\/1.1 \d+/g)).toHaveLength(2);
      expect(talking.heard.match(/^connection: close/gim)).toHaveLength(1);
    }
  });

  test('a call over gRPC is waited for, also without REST', async () => {
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

  test('a call that does not end is ended after drainMs', async () => {
    const seen: never[] = [];
    // So long that no deadline ends the calls first.
    const limits = { drainMs: 100, defaultTimeoutMs: 60_000 };
    const server = await start({ limits }, services(seen));
    const client = connect(OrderQueryServiceService, { address: server.address, auth: source });
    const authorization = `Bearer ${await source()}`;
    const patience = { timeoutMs: 60_000 };
    const remote = client.getOrder(getOrder('slow'), patience).catch((error: CaudalError) => error.code);
    const rest = fetch(`${server.url}/v1/orders/slow`, { headers: { authorization } }).then(
      (response) => response.status,
      () => 'closed',
    );
    await until(() => seen.length === 2);
    await server.stop();
    expect(await remote).toBe('UNAVAILABLE');
    expect([503, 'closed']).toContain(await rest);
    client.close();
  });

  test('an open health watch does not delay it', async () => {
    const drainMs = 600_000;
    const server = await start({ limits: { drainMs } });
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
    expect(Date.now() - before).toBeLessThan(drainMs);
    await until(() => states.includes('NOT_SERVING'));
    client.close();
  });
});

describe('start', () => {
  test('is refused without a handler, or if the port is taken', async () => {
    const lacking = { ...services()[0]!, handlers: {} };
    await expect(start({}, [lacking])).rejects.toThrow('/caudal.orders.v1.OrderService/PlaceOrder has no handler');
    const server = await start();
    const grpc = { host: '127.0.0.1', port: server.grpcPort };
    await expect(start({ grpc })).rejects.toThrow('EADDRINUSE');
    const rest = { host: '127.0.0.1', port: server.restPort! };
    await expect(start({ rest })).rejects.toThrow('EADDRINUSE');
    await server.stop();
  });

  test('is refused for a method that the contract lacks', async () => {
    const { placeOrder } = OrderServiceService;
    const unknown = service({ burn: { ...placeOrder, path: '/caudal.orders.v1.OrderService/Burn' } }, {
      burn: async () => refused('X', 'x'),
    } as never);
    await expect(start({}, [unknown])).rejects.toThrow('has no method');
  });

  test('with auth: off every caller is the developer', async () => {
    const server = await start({ auth: 'off' });
    expect((await fetch(`${server.url}/v1/orders`)).status).toBe(200);
    await server.stop();
  });

  test('lists its services by reflection if the option is set', async () => {
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
