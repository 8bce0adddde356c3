import { connect as openSocket } from 'node:net';
import { OrderQueryServiceService } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { until } from '@caudal/testing/until.ts';
import { Client, credentials } from '@grpc/grpc-js';
import { afterEach, describe, expect, test } from '@jest/globals';
import { connect } from '../client/client.ts';
import { healthOf, talk } from '../testing/connections.ts';
import { start, stopAll, token } from '../testing/fixture.ts';

afterEach(stopAll);

const getOrder = (orderId: string) => ({ orderId, readMask: undefined });
const source = async () => token('alice', ['orders.orders.read']);

describe('the gRPC port', () => {
  test('answers health over HTTP/1 and over gRPC, with the same result', async () => {
    const server = await start();
    const client = new Client(server.address, credentials.createInsecure());
    const check = (name: string) => healthOf(client, name);
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

  test('tells HTTP/2 from HTTP/1, even if the bytes arrive one at a time', async () => {
    const server = await start();
    const answerTo = (chunks: string[]) =>
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
    expect(await answerTo(['G', 'E', 'T /livez HTTP/1.1\r\nhost: a\r\n\r\n'])).toMatch(/^HTTP\/1.1 200/);
    // The answer is a SETTINGS frame: its type is the fourth byte.
    const settings = await answerTo(['P', 'R', 'I * HTTP/2.0\r\n\r\nSM\r\n\r\n', '\0\0\0\x04\0\0\0\0\0']);
    expect(settings.charCodeAt(3)).toBe(4);
    await server.stop();
  });

  test.each(['GET // HTTP/1.1', 'GET http://[/ HTTP/1.1'])('"%s" is a 404, and does no harm', async (line) => {
    const server = await start();
    const odd = talk(server.grpcPort, `${line}\r\nhost: a\r\n\r\n`);
    await until(() => odd.closed);
    expect(odd.heard).toMatch(/^HTTP\/1.1 404/);
    expect((await fetch(`http://${server.address}/livez?verbose`)).status).toBe(200);
    await server.stop();
  });

  test.each(['', 'GE', 'GET /li', 'POST /livez HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n'])(
    'a connection that sends only %j is ended',
    async (text) => {
      const server = await start({ limits: { plainConnectionMs: 300 } });
      const client = connect(OrderQueryServiceService, { address: server.address, auth: source });
      await client.getOrder(getOrder('o-1'));
      const idle = talk(server.grpcPort, text);
      await until(() => idle.closed);
      // A connection with gRPC stays open.
      await client.getOrder(getOrder('o-1'));
      client.close();
      await server.stop();
    },
  );

  test('/readyz checks at each request, and gRPC health follows within a second', async () => {
    let ready = true;
    const server = await start({ ready: () => ready });
    const probe = async () => (await fetch(`http://${server.address}/readyz`)).status;
    expect(await probe()).toBe(200);
    ready = false;
    expect([await probe(), (await fetch(`${server.url}/readyz`)).status]).toEqual([503, 503]);
    const client = new Client(server.address, credentials.createInsecure());
    await until(async () => (await healthOf(client, '')) === 'NOT_SERVING');
    ready = true;
    expect(await probe()).toBe(200);
    await until(async () => (await healthOf(client, '')) === 'SERVING');
    client.close();
    await server.stop();
  });
});
