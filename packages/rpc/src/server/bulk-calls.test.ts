/** Methods that bound the bytes of their calls in flight, over both protocols. docs/limits.md, Bulk calls. */
import { type ClientHttp2Session, connect as openSession } from 'node:http2';
import { Trace, TrackingServiceService } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { until } from '@caudal/testing/until.ts';
import { status } from '@grpc/grpc-js';
import { afterEach, expect, test } from '@jest/globals';
import { gate, talk } from '../testing/connections.ts';
import { start, stopAll, token } from '../testing/fixture.ts';
import { streamClient } from '../testing/message-streams.ts';
import { begun, call, codeOf } from '../testing/unfinished.ts';
import { service } from '../types.ts';

const { recordTraces, streamTraces } = TrackingServiceService;
const kibibyte = 1_024;
const ends: (() => void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) end();
  await stopAll();
});

/** A server whose calls wait in their handlers for the gate, and whose messages of streams are worked on by `work`. */
async function serving(work: () => unknown = () => {}) {
  const { closed, open } = gate();
  let begunCalls = 0;
  const tracking = service(TrackingServiceService, {
    async recordTraces() {
      begunCalls++;
      await closed;
      return { results: [], accepted: 0 };
    },
    async receiveCarrierPush() {
      begunCalls++;
      await closed;
      return { accepted: 0, refused: [] };
    },
    async streamTraces() {
      begunCalls++;
      await work();
      return { results: [], accepted: 1, error: undefined };
    },
  });
  const server = await start({}, [tracking]);
  return { server, open, begun: () => begunCalls };
}

const as = async (subject: string) => ({ authorization: `Bearer ${await token(subject, ['tracking.traces.write'])}` });

function session(address: string): ClientHttp2Session {
  const opened = openSession(`http://${address}`);
  opened.on('error', () => {});
  ends.push(() => opened.destroy());
  return opened;
}

/** A request with some of its body. */
function post(port: number, path: string, length: number, part: number, headers: Record<string, string> = {}) {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const talking = talk(
    port,
    `POST ${path} HTTP/1.1\r\nhost: a\r\n${lines.join('')}content-type: application/json\r\ncontent-length: ${length}\r\n\r\n`,
  );
  talking.socket.write(Buffer.alloc(part, 0x20));
  ends.push(() => talking.socket.destroy());
  return talking;
}

const half = Trace.fromPartial({ carrier: 'acme', trackingNumber: '1', detail: 'x'.repeat(480) });
/** Traces with about so many bytes. */
const traces = (bytes: number) => ({ traces: Array.from({ length: bytes / 500 }, () => half) });

/** A whole message of traces with about so many bytes. */
function framed(bytes: number): Buffer {
  const message = recordTraces.requestSerialize(traces(bytes));
  return Buffer.concat([begun(message.length, 0), message]);
}

/** A stream on a connection of its own. */
async function stream(address: string, subject: string) {
  const client = streamClient(address);
  ends.push(client.close);
  const opened = client.open(streamTraces, { as: await token(subject, ['tracking.traces.write']) });
  await opened.opened;
  return opened;
}

test('bodies that do not end keep no push of a carrier out', async () => {
  const { server, open } = await serving();
  open();
  const slow = post(server.restPort!, '/v1/carriers/x/webhook', 900 * kibibyte, 300 * kibibyte);
  await until(() => slow.socket.bytesWritten > 300 * kibibyte && slow.socket.writableLength === 0);
  // It has been read: a call that came later is answered.
  for (let time = 0; time < 3; time++) {
    const push = await fetch(`${server.url}/v1/carriers/acme/webhook`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{}',
    });
    expect([push.status, await push.json()]).toMatchObject([200, { accepted: 0 }]);
  }
  expect(slow.heard).toBe('');
});

test('one caller’s message that does not end keeps no other caller out', async () => {
  const { server, open } = await serving();
  open();
  const slow = call(session(server.address), recordTraces.path, await as('mallory'));
  await new Promise((resolve) => slow.stream.write(begun(900 * kibibyte, 300 * kibibyte), resolve));
  for (let time = 0; time < 3; time++) {
    const other = call(session(server.address), recordTraces.path, await as('alice'));
    other.stream.end(framed(1_000));
    await until(() => other.seen.closed);
    expect(codeOf(other)).toBe(status.OK);
  }
  expect(slow.seen.closed).toBe(false);
});

test('whole requests fill the bound: others are refused, those that have begun at their end', async () => {
  const { server, open, begun: begunCalls } = await serving();
  const on = session(server.address);
  const alice = await as('alice');
  const slowGrpc = call(on, recordTraces.path, alice);
  const slowMessage = framed(50_000);
  slowGrpc.stream.write(slowMessage.subarray(0, 40_000));
  const slowRest = post(server.restPort!, '/v1/traces', 40_000, 30_000, alice);
  const fills: ReturnType<typeof call>[] = [];
  for (const subject of ['bob', 'carol', 'dave']) {
    const filling = call(on, recordTraces.path, await as(subject));
    filling.stream.end(framed(100_000));
    fills.push(filling);
  }
  await until(() => begunCalls() === 3);
  const late = await fetch(`${server.url}/v1/traces`, {
    method: 'POST',
    headers: { ...alice, 'content-type': 'application/json' },
    body: '{}',
  });
  expect([late.status, ((await late.json()) as { reason: string }).reason]).toEqual([429, 'SERVER_BUSY']);
  slowGrpc.stream.end(slowMessage.subarray(40_000));
  slowRest.socket.write(Buffer.alloc(10_000, 0x20));
  await until(() => slowGrpc.seen.closed && slowRest.heard !== '');
  expect(codeOf(slowGrpc)).toBe(status.RESOURCE_EXHAUSTED);
  expect(slowRest.heard).toMatch(/^HTTP\/1.1 429 [\s\S]*retry-after: [12][\s\S]*SERVER_BUSY/i);
  expect(begunCalls()).toBe(3);
  open();
  await until(() => fills.every(({ seen }) => seen.closed));
  expect(fills.map(codeOf)).toEqual([status.OK, status.OK, status.OK]);
  const again = call(on, recordTraces.path, alice);
  again.stream.end(slowMessage);
  await until(() => again.seen.closed);
  expect(codeOf(again)).toBe(status.OK);
});

test('messages of streams wait until there is room for their work, and none is refused', async () => {
  const { closed, open } = gate();
  const { server, begun: begunMessages } = await serving(() => closed);
  const streams = [];
  for (let n = 0; n < 6; n++) streams.push(await stream(server.address, 'hog'));
  for (const each of streams) for (let n = 0; n < 4; n++) each.write(traces(100_000));
  await until(() => begunMessages() === 3);
  const other = await stream(server.address, 'alice');
  other.write(traces(500));
  // What has come before it has arrived, and waits.
  for (let time = 0; time < 3; time++) (await stream(server.address, 'bob')).finish();
  expect(begunMessages()).toBe(3);
  open();
  for (const each of [...streams, other]) each.finish();
  for (const each of [...streams, other]) expect(await each.error()).toBeUndefined();
  const answered = streams.map(({ answers }) => answers.map(({ accepted, error }) => error ?? accepted));
  expect(answered).toEqual(streams.map(() => [1, 1, 1, 1]));
  expect(other.answers).toHaveLength(1);
});

test('other calls come between the messages of streams', async () => {
  const { server, begun: begunMessages } = await serving(() => {
    for (const end = performance.now() + 10; performance.now() < end; );
  });
  const on = session(server.address);
  const lightly = async () => {
    const before = begunMessages();
    const health = call(on, '/grpc.health.v1.Health/Check');
    health.stream.end(begun(0, 0));
    await new Promise((resolve) => health.stream.once('close', resolve));
    return begunMessages() - before;
  };
  await lightly();
  const streams = [];
  for (let n = 0; n < 24; n++) streams.push(await stream(server.address, 'hog'));
  for (const each of streams) for (let n = 0; n < 4; n++) each.write(traces(20_000));
  const between: number[] = [];
  while (begunMessages() < 96) between.push(await lightly());
  expect(Math.max(...between)).toBeLessThan(20);
});
