/** Streams of messages, with a handler of the tests. */
import { constants, connect as openSession } from 'node:http2';
import {
  type StreamTracesRequest,
  type StreamTracesResponse,
  Trace,
  TrackingServiceService,
} from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import type { Caller } from '@caudal/kernel/context.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { until } from '@caudal/testing/until.ts';
import { afterEach, describe, expect, test } from '@jest/globals';
import type { CallRecord } from '../server/audit.ts';
import { start, stopAll, token } from '../testing/fixture.ts';
import { errorIn, streamClient } from '../testing/message-streams.ts';
import { begun, call as rawCall } from '../testing/unfinished.ts';
import { type Call, service } from '../types.ts';
import { windowMessages } from './message-stream.ts';
import { maxMessageStreams } from './message-streams.ts';

const { streamTraces } = TrackingServiceService;
const permission = 'tracking.traces.write';
const clients: { close(): void }[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await stopAll();
});

/** A message of one trace, known by its number; `size`: of the bytes in it. */
const message = (number: number, size = 0): StreamTracesRequest => ({
  traces: Array.from({ length: 1 + Math.ceil(size / 500) }, () =>
    Trace.fromPartial({ carrier: 'acme', trackingNumber: String(number), detail: 'x'.repeat(Math.min(size, 500)) }),
  ),
});
/** The bytes of a message on the wire. */
function framed(request: StreamTracesRequest): Buffer {
  const bytes = streamTraces.requestSerialize(request);
  return Buffer.concat([begun(bytes.length, 0), bytes]);
}
const numberIn = ({ traces }: StreamTracesRequest) => Number(traces[0]!.trackingNumber);
const answerTo = (number: number): StreamTracesResponse => ({ results: [], accepted: number, error: undefined });

type Handler = (request: StreamTracesRequest, call: Call) => Promise<StreamTracesResponse>;

/** A server whose handler answers the number of the message, unless `handle` does something else first. */
async function serving(
  handle: (number: number, call: Call) => unknown = () => {},
  options: Parameters<typeof start>[0] = {},
) {
  const seen: number[] = [];
  const unused = async () => {
    throw new CaudalError('UNIMPLEMENTED', 'UNIMPLEMENTED', 'Not in this test.');
  };
  const handler: Handler = async (request, call) => {
    const number = numberIn(request);
    seen.push(number);
    return ((await handle(number, call)) as StreamTracesResponse | undefined) ?? answerTo(number);
  };
  const tracking = service(TrackingServiceService, {
    recordTraces: unused,
    receiveCarrierPush: unused,
    streamTraces: handler,
  });
  const server = await start(options, [tracking]);
  const client = streamClient(server.address);
  clients.push(client);
  const open = (given: Parameters<typeof client.open>[1] = {}) => client.open(streamTraces, given);
  return { server, seen, client, open, as: await token('alice', [permission]) };
}

const numbers = (answers: StreamTracesResponse[]) => answers.map(({ accepted }) => accepted);
const upTo = (count: number) => Array.from({ length: count }, (_, n) => n);

describe('a stream', () => {
  test('answers each message in order, and begins several at once', async () => {
    const first = Promise.withResolvers<void>();
    const { open, as, seen } = await serving((number) => (number === 0 ? first.promise : undefined));
    const stream = open({ as, headers: { 'x-request-id': 'r-1' } });
    expect((await stream.opened).get('x-request-id')).toEqual(['r-1']);
    for (const number of upTo(3)) stream.write(message(number));
    await until(() => seen.length === 3);
    expect(stream.answers).toEqual([]);
    first.resolve();
    await until(() => stream.answers.length === 3);
    stream.finish();
    expect(await stream.error()).toBeUndefined();
    expect(numbers(stream.answers)).toEqual([0, 1, 2]);
  });

  test('without a message ends well', async () => {
    const { open, as } = await serving();
    const stream = open({ as });
    stream.finish();
    expect(await stream.error()).toBeUndefined();
  });

  test('has the error of a message in its answer, and goes on', async () => {
    const { open, as, seen } = await serving((number) => {
      if (number === 2)
        throw new CaudalError('RESOURCE_EXHAUSTED', 'TRACE_QUEUE_FULL', 'Full.', { retryAfterMs: 1_500 });
      if (number === 3) throw new TypeError('secret');
    });
    const stream = open({ as });
    stream.write(message(0));
    stream.write({ traces: [] });
    stream.write({ traces: [Trace.fromPartial({ carrier: 'x'.repeat(200), trackingNumber: '1' })] });
    for (const number of [2, 3, 4]) stream.write(message(number));
    stream.finish();
    expect(await stream.error()).toBeUndefined();
    expect(numbers(stream.answers)).toEqual([0, 0, 0, 0, 0, 4]);
    expect(seen).toEqual([0, 2, 3, 4]);
    const errors = stream.answers.map(({ error }) => error && errorIn(error));
    expect(errors.map((error) => error?.reason)).toEqual([
      ...[undefined, 'INVALID_REQUEST', 'INVALID_REQUEST', 'TRACE_QUEUE_FULL', 'INTERNAL', undefined],
    ]);
    expect(errors[1]!.violations).toMatchObject([{ field: 'traces' }]);
    expect(errors[2]!.violations).toMatchObject([{ field: 'traces[0].carrier' }]);
    expect(errors[3]).toMatchObject({ code: 'RESOURCE_EXHAUSTED', retryAfterMs: 1_500 });
    expect(errors[4]!.message).not.toContain('secret');
  });

  test('takes bytes that are no message as one that is wrong', async () => {
    const { client, as } = await serving();
    const stream = client.open({ ...streamTraces, requestSerialize: (bytes: Buffer) => bytes }, { as });
    stream.write(Buffer.from([0xff, 0xff, 0xff]));
    stream.write(streamTraces.requestSerialize(message(1)));
    stream.finish();
    expect(await stream.error()).toBeUndefined();
    expect(stream.answers.map(({ error }) => error && errorIn(error).reason)).toEqual(['MALFORMED_REQUEST', undefined]);
  });

  test('ends with a message that is too long, once those before it are answered', async () => {
    const gate = Promise.withResolvers<void>();
    const { open, as, seen } = await serving(() => gate.promise);
    const stream = open({ as });
    stream.write(message(1));
    await until(() => seen.length === 1);
    stream.write(message(2, 1_200_000));
    gate.resolve();
    expect(await stream.error()).toMatchObject({ code: 'RESOURCE_EXHAUSTED', reason: 'REQUEST_TOO_LARGE' });
    expect(numbers(stream.answers)).toEqual([1]);
    expect(seen).toEqual([1]);
  });

  test('reads no more than its window while the handler is slow, and all of it then', async () => {
    const gate = Promise.withResolvers<void>();
    const { open, as, seen } = await serving(() => gate.promise);
    const stream = open({ as });
    for (const number of upTo(300)) stream.write(message(number));
    stream.finish();
    await until(() => seen.length === windowMessages);
    // Whatever was on its way has arrived before a stream that is opened, used and ended after it.
    for (let time = 0; time < 3; time++) {
      const other = open({ as });
      other.finish();
      await other.error();
    }
    expect(seen).toEqual(upTo(windowMessages));
    gate.resolve();
    expect(await stream.error()).toBeUndefined();
    expect(numbers(stream.answers)).toEqual(upTo(300));
  });

  test('reads no more while its answers are not read, and ends after a while', async () => {
    const results = Array.from({ length: 1_000 }, () => ({
      outcome: 3,
      reason: 'X'.repeat(50),
      message: 'x'.repeat(50),
    }));
    const big = { results, accepted: 0, error: undefined } as StreamTracesResponse;
    const { server, seen, as } = await serving(() => big, { limits: { answerMs: 1_000 } });
    const session = openSession(`http://${server.address}`, { settings: { initialWindowSize: 0 } });
    const deaf = rawCall(session, streamTraces.path, { authorization: `Bearer ${as}` }, true);
    for (let time = 0; time < 100; time++) deaf.stream.write(framed(message(0)));
    await until(() => deaf.seen.closed);
    expect(seen.length).toBe(windowMessages);
    session.destroy();
  });
});

describe('the caller of a stream', () => {
  test('needs a token with the permission', async () => {
    const records: CallRecord[] = [];
    const audit = { write: async () => {}, note: (record: CallRecord) => records.push(record) };
    const { open, seen } = await serving(undefined, { audit });
    const cases = [undefined, 'x', await token('alice', ['orders.orders.read'])];
    const reasons = [];
    for (const as of cases) {
      const stream = open({ as });
      stream.write(message(1));
      reasons.push((await stream.error())?.reason);
    }
    expect(reasons).toEqual(['TOKEN_MISSING', 'TOKEN_INVALID', 'PERMISSION_MISSING']);
    expect(seen).toEqual([]);
    const method = streamTraces.path.slice(1);
    expect(records).toMatchObject([
      { kind: 'DENIAL', outcome: 'TOKEN_MISSING', method },
      { kind: 'DENIAL', outcome: 'TOKEN_INVALID', method },
      { kind: 'DENIAL', outcome: 'PERMISSION_MISSING', subject: 'alice', method },
    ]);
  });

  test.each([
    ['between two messages', true],
    ['while none comes', false],
  ])('is checked again %s: the stream ends with its token', async (_, sends) => {
    let isRevoked = false;
    const alice: Caller = { subject: 'alice', permissions: new Set([permission]), kind: 'user' };
    const revoked = () => Promise.reject(new CaudalError('UNAUTHENTICATED', 'TOKEN_REVOKED', 'Revoked.'));
    const gate = Promise.withResolvers<void>();
    const { open, seen } = await serving((number) => (number === 1 ? gate.promise : undefined), {
      auth: () => (isRevoked ? revoked() : alice),
    });
    const stream = open({ as: 'x' });
    stream.write(message(0));
    await until(() => stream.answers.length === 1);
    if (sends) stream.write(message(1));
    isRevoked = true;
    gate.resolve();
    if (sends) {
      await until(() => seen.includes(1));
      stream.write(message(2));
    }
    expect(await stream.error()).toMatchObject({ code: 'UNAUTHENTICATED', reason: 'TOKEN_REVOKED' });
    expect(numbers(stream.answers)).toEqual(sends ? [0, 1] : [0]);
    expect(seen).not.toContain(2);
  });

  test('that is above its rate is held back, and loses nothing', async () => {
    // Ten times as many for whom the permission alone decides.
    const { open, as } = await serving(undefined, { quotas: { write: { calls: 1, windowMs: 1_000 } } });
    const began = performance.now();
    const stream = open({ as });
    for (const number of upTo(25)) stream.write(message(number));
    stream.finish();
    expect(await stream.error()).toBeUndefined();
    expect(numbers(stream.answers)).toEqual(upTo(25));
    expect(performance.now() - began).toBeGreaterThan(1_000);
  });

  test('whose messages reach its rate by their bytes gets no error for it', async () => {
    const { open, as } = await serving(undefined, { quotas: { write: { calls: 10, windowMs: 1_000 } } });
    const streams = upTo(2).map(() => open({ as }));
    // Three calls each: the hundredth call of a window is the first of a message.
    for (const stream of streams) for (const number of upTo(40)) stream.write(message(number, 9_000));
    for (const stream of streams) {
      stream.finish();
      expect(await stream.error()).toBeUndefined();
      expect(stream.answers.map(({ error }) => error && errorIn(error).reason)).toEqual(upTo(40).map(() => undefined));
    }
  });

  test('that is held back is looked at every second', async () => {
    let isRevoked = false;
    const alice: Caller = { subject: 'alice', permissions: new Set([permission]), kind: 'user' };
    const revoked = () => Promise.reject(new CaudalError('UNAUTHENTICATED', 'TOKEN_REVOKED', 'Revoked.'));
    const { open } = await serving(undefined, {
      auth: () => (isRevoked ? revoked() : alice),
      quotas: { write: { calls: 1, windowMs: 60_000 } },
    });
    const stream = open({ as: 'x' });
    for (const number of upTo(12)) stream.write(message(number));
    await until(() => stream.answers.length === 10);
    isRevoked = true;
    expect(await stream.error()).toMatchObject({ code: 'UNAUTHENTICATED', reason: 'TOKEN_REVOKED' });
  });

  test('that goes while it is held back leaves nothing behind that holds the process', async () => {
    const { server, open, as } = await serving(undefined, { quotas: { write: { calls: 1, windowMs: 10_000 } } });
    const stream = open({ as });
    for (const number of upTo(12)) stream.write(message(number));
    await until(() => stream.answers.length === 10);
    stream.cancel();
    await stream.error();
    const began = performance.now();
    for (let time = 0; time < 3; time++) {
      const other = streamClient(server.address);
      clients.push(other);
      const next = other.open(streamTraces, { as: await token('bob', [permission]) });
      next.finish();
      expect(await next.error()).toBeUndefined();
    }
    expect(performance.now() - began).toBeLessThan(5_000);
  });

  test('has a part of the streams, and others have theirs', async () => {
    const { open, as } = await serving();
    const streams = [];
    for (let time = 0; time < maxMessageStreams / 2; time++) {
      const stream = open({ as });
      await stream.opened;
      streams.push(stream);
    }
    expect(await open({ as }).error()).toMatchObject({ code: 'RESOURCE_EXHAUSTED', reason: 'CALLER_BUSY' });
    const other = open({ as: await token('bob', [permission]) });
    await other.opened;
    streams[0]!.finish();
    await streams[0]!.error();
    await until(async () => {
      const next = open({ as });
      next.finish();
      return (await next.error()) === undefined;
    });
    for (const stream of [...streams, other]) stream.cancel();
  });

  test.each(['cancels', 'dies'])('that %s ends what is in flight, and its place is free again', async (how) => {
    const calls: Call[] = [];
    const { server, open, as } = await serving(
      (_, call) => {
        calls.push(call);
        return new Promise((_resolve, reject) => {
          call.signal.addEventListener('abort', () => reject(call.signal.reason), { once: true });
        });
      },
      { limits: { maxConcurrent: 1 } },
    );
    const session = openSession(`http://${server.address}`);
    session.on('error', () => {});
    const { stream } = rawCall(session, streamTraces.path, { authorization: `Bearer ${as}` });
    stream.write(framed(message(1)));
    await until(() => calls.length === 1);
    expect(await open({ as }).error()).toMatchObject({ reason: 'SERVER_BUSY' });
    if (how === 'cancels') stream.close(constants.NGHTTP2_CANCEL);
    else session.destroy();
    await until(() => calls[0]!.signal.aborted);
    expect(calls[0]!.signal.reason).toMatchObject({ reason: 'CALL_CANCELLED' });
    await until(async () => {
      const next = open({ as });
      next.finish();
      return (await next.error()) === undefined;
    });
    session.destroy();
  });

  test('may set a deadline for all of it', async () => {
    const { open, as } = await serving();
    const stream = open({ as, timeoutMs: 500 });
    stream.write(message(0));
    expect(await stream.error()).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    expect(numbers(stream.answers)).toEqual([0]);
  });
});

describe('a server', () => {
  test('that stops answers what it has, reads no more, and waits for no stream', async () => {
    const gate = Promise.withResolvers<void>();
    const { server, open, as, seen } = await serving(() => gate.promise);
    const stream = open({ as });
    const idle = open({ as });
    await idle.opened;
    for (const number of upTo(10)) stream.write(message(number));
    await until(() => seen.length === windowMessages);
    const began = performance.now();
    const stopped = server.stop();
    expect(await idle.error()).toMatchObject({ code: 'UNAVAILABLE', reason: 'STREAM_ENDED' });
    gate.resolve();
    expect(await stream.error()).toMatchObject({ code: 'UNAVAILABLE', reason: 'STREAM_ENDED', retryAfterMs: 100 });
    expect(numbers(stream.answers)).toEqual(upTo(windowMessages));
    await stopped;
    expect(performance.now() - began).toBeLessThan(8_000);
    expect(seen).toEqual(upTo(windowMessages));
  });

  test('ends the streams of a connection that has grown old', async () => {
    const { open, as } = await serving(undefined, { limits: { maxConnectionAgeMs: 500 } });
    const stream = open({ as });
    stream.write(message(0));
    expect(await stream.error()).toMatchObject({ code: 'UNAVAILABLE', reason: 'STREAM_ENDED' });
    expect(numbers(stream.answers)).toEqual([0]);
  });
});
