import { connect as openSession } from 'node:http2';
import { connect as openSocket, type Socket } from 'node:net';
import { OrderQueryServiceService } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { until } from '@caudal/testing/until.ts';
import { afterEach, expect, test } from '@jest/globals';
import { start, stopAll, token } from '../testing/fixture.ts';
import { call, codeOf } from '../testing/unfinished.ts';
import { openRefusalTurns, unknownStreams } from './connection-streams.ts';

const { path } = OrderQueryServiceService.getOrder;
const cleanups: (() => void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) cleanup();
  await stopAll();
});

/** A frame of HTTP/2. */
function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** Headers without compression, as HPACK writes them literally. */
function literal(headers: Record<string, string>): Buffer {
  const parts = Object.entries(headers).flatMap(([name, value]) =>
    [name, value].flatMap((text, place) => [
      Buffer.from(place === 0 ? [0, text.length] : [text.length]),
      Buffer.from(text),
    ]),
  );
  return Buffer.concat(parts);
}

/** A client that keeps to no bound: all streams in one piece. It never acknowledges the server's settings. */
function flood(address: string, streams: number): Socket {
  const [host, port] = address.split(':') as [string, string];
  const socket = openSocket(Number(port), host);
  cleanups.push(() => socket.destroy());
  socket.on('error', () => {}).resume();
  const headers = literal({
    ':method': 'POST',
    ':scheme': 'http',
    ':path': path,
    ':authority': 'a',
    'content-type': 'application/grpc',
    te: 'trailers',
    authorization: 'Bearer x',
  });
  const opened = Array.from({ length: streams }, (_, n) => frame(1, 4, 2 * n + 1, headers));
  socket.write(
    Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(4, 0, 0, Buffer.alloc(0)), ...opened]),
  );
  return socket;
}

test('a flood of streams on one connection comes no further than its bound', async () => {
  let checked = 0;
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  const server = await start({
    async auth() {
      checked++;
      await gate;
      throw new CaudalError('UNAUTHENTICATED', 'TOKEN_INVALID', 'No.');
    },
  });
  const socket = flood(server.address, 3_000);
  await until(() => checked >= unknownStreams || socket.destroyed);
  // Another connection is served meanwhile, after all that the first one has sent.
  const session = openSession(`http://${server.address}`);
  cleanups.push(() => session.destroy());
  const other = call(session, '/grpc.health.v1.Health/Check');
  other.stream.end(Buffer.alloc(5));
  await until(() => codeOf(other) === 0);
  expect(checked).toBeLessThanOrEqual(unknownStreams);
  open();
});

test('a connection whose caller is known has room for more', async () => {
  const server = await start();
  const session = openSession(`http://${server.address}`);
  cleanups.push(() => session.destroy());
  const first = call(session, path, { authorization: 'Bearer wrong' });
  await until(() => codeOf(first) > 0);
  expect(session.remoteSettings.maxConcurrentStreams).toBe(unknownStreams);
  call(session, path, { authorization: `Bearer ${await token('alice', ['orders.orders.read'])}` });
  await until(() => (session.remoteSettings.maxConcurrentStreams ?? 0) > 4_000);
});

test('refusals leave the loop after each part of them, and connections get theirs in turn', async () => {
  const turns = openRefusalTurns();
  const of = (session: object) => ({ stream: { session } }) as never;
  const [loud, quiet] = [{}, {}];
  const done: string[] = [];
  let turn = 0;
  for (let n = 0; n < 300; n++) turns.run(of(loud), () => done.push(`loud ${turn}`));
  turns.run(of(quiet), () => done.push(`quiet ${turn}`));
  expect([done.length, turns.waiting()]).toEqual([64, 237]);
  while (turns.waiting() > 0) {
    turn++;
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(done).toHaveLength(301);
  expect(done.indexOf('quiet 1')).toBe(65);
  const counts = [0, 1, 2, 3].map((at) => done.filter((one) => one.endsWith(` ${at}`)).length);
  expect(counts).toEqual([64, 64, 64, 64]);
  // Streams that their client gives up meanwhile leave without a turn.
  const gone = { destroyed: false, session: loud };
  for (let n = 0; n < 5_000; n++) turns.run({ stream: gone } as never, () => done.push('gone'));
  gone.destroyed = true;
  await new Promise((resolve) => setImmediate(resolve));
  expect(turns.waiting()).toBe(0);
  expect(done.filter((one) => one === 'gone').length).toBeLessThanOrEqual(64);
  // A later refusal waits for nothing.
  await new Promise((resolve) => setImmediate(resolve));
  turns.run(of(loud), () => done.push('later'));
  expect(done.at(-1)).toBe('later');
});
