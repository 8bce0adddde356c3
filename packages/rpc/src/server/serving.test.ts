/**
 * The options of a method from end to end, over both protocols: its status, the size of its requests, and its callers.
 */
import { request as httpRequest } from 'node:http';
import { connect as openSession } from 'node:http2';
import { until } from '@caudal/testing/until.ts';
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { connect } from '../client/client.ts';
import type { Problem } from '../rest/problem.ts';
import { talk } from '../testing/connections.ts';
import { type Seen, stopAll, token } from '../testing/fixture.ts';
import { ProbeQueryServiceService, ProbeServiceService } from '../testing/gen/caudal/probe/v1/probe.ts';
import { grpcCalls } from '../testing/grpc-calls.ts';
import { startProbes } from '../testing/probe.ts';

const seen: Seen[] = [];
let server: Awaited<ReturnType<typeof startProbes>>;
let grpc: ReturnType<typeof grpcCalls>;
let alice: string;
const { createProbe, startProbe, importProbe, checkProbe, sendFeedback } = ProbeServiceService;
const { getProbe, getNewestProbe } = ProbeQueryServiceService;

beforeAll(async () => {
  server = await startProbes(seen);
  grpc = grpcCalls(server.address);
  alice = await token('alice', ['probe.probes.write', 'probe.probes.read']);
});
afterAll(async () => {
  grpc.close();
  await stopAll();
});

async function call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
  const response = await fetch(`${server.url}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${alice}`,
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    body: body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body),
  });
  const json = (await response.json()) as Problem;
  return { status: response.status, headers: response.headers, json };
}

const made = { requestId: '', probeId: 'p-1', ownerId: 'alice', note: '' };

describe('the status of success', () => {
  test('201 has the Location of the new resource, and a GET of it works', async () => {
    for (const probeId of ['p-1', 'a/b:start?c=%', 'ü']) {
      const answer = await call('POST', '/v1/probes', { probeId, ownerId: 'alice' });
      const location = answer.headers.get('location')!;
      expect([answer.status, location]).toEqual([201, `/v1/probes/${encodeURIComponent(probeId)}`]);
      const read = await call('GET', location);
      expect([read.status, read.json]).toEqual([200, { probeId, ownerId: '', note: '' }]);
      expect(read.headers.get('location')).toBeNull();
    }
  });

  test('202 if the work is done later, 200 otherwise', async () => {
    const accepted = await call('POST', '/v1/probes/p-1:start', {});
    expect([accepted.status, accepted.headers.get('location')]).toEqual([202, null]);
    expect((await call('POST', '/v1/probes:import', made)).status).toBe(200);
  });

  test('errors keep their own status', async () => {
    expect((await call('POST', '/v1/probes', { probeId: '', ownerId: 'alice' })).status).toBe(400);
    expect((await call('POST', '/v1/probes', { probeId: 'p', ownerId: 'bob' })).status).toBe(403);
  });

  test('has no effect over gRPC', async () => {
    const answer = await grpc.send(createProbe.path, createProbe.requestSerialize(made), { as: alice });
    expect(createProbe.responseDeserialize(answer)).toEqual({ probeId: 'p-1', ownerId: 'alice', note: '' });
  });
});

/** A message of this many bytes. */
function sized(bytes: number): Buffer {
  for (let length = bytes; length >= 0; length--) {
    const message = createProbe.requestSerialize({ ...made, note: 'x'.repeat(length) });
    if (message.length === bytes) return message;
  }
  throw new Error(`No request has ${bytes} bytes.`);
}

/** A body of this many bytes, with one character of two bytes. */
function sizedJson(bytes: number): string {
  const empty = Buffer.byteLength(JSON.stringify({ ...made, note: 'é' }));
  return JSON.stringify({ ...made, note: `é${'x'.repeat(bytes - empty)}` });
}

describe('the most bytes of a request over REST', () => {
  const tooLarge = (problem: Problem) => [problem.status, problem.code, problem.reason, problem.metadata];
  const refused = (bytes: number) => [
    413,
    'RESOURCE_EXHAUSTED',
    'REQUEST_TOO_LARGE',
    { max_request_bytes: String(bytes) },
  ];

  test('is allowed, and one more is refused', async () => {
    expect((await call('POST', '/v1/probes', sizedJson(1_024))).status).toBe(201);
    const { json, headers } = await call('POST', '/v1/probes', sizedJson(1_025));
    expect(tooLarge(json)).toEqual(refused(1_024));
    expect(json.detail).toBe('The request has more than 1024 bytes.');
    expect(headers.get('retry-after')).toBeNull();
    expect((await call('POST', '/v1/probes:import', sizedJson(5_000_000))).status).toBe(200);
    expect(tooLarge((await call('POST', '/v1/probes:import', sizedJson(6_000_001))).json)).toEqual(refused(6_000_000));
    const general = await call('POST', '/v1/probes/p-1:start', { note: 'x'.repeat(4 * 1024 * 1024) });
    expect(tooLarge(general.json)).toEqual(refused(4 * 1024 * 1024));
  });

  test('counts path and query if there is no body', async () => {
    const path = (bytes: number) => '/v1/probes:newest?ownerId='.padEnd(bytes, 'x');
    expect((await call('GET', path(64))).status).toBe(200);
    expect(tooLarge((await call('GET', path(65))).json)).toEqual(refused(64));
  });

  test('is checked before the body is parsed', async () => {
    expect(tooLarge((await call('POST', '/v1/probes', '{'.repeat(1_025))).json)).toEqual(refused(1_024));
    expect((await call('POST', '/v1/probes', '{'.repeat(1_024))).json.reason).toBe('MALFORMED_REQUEST');
  });

  test('is checked before the body arrives by Content-Length, or while it arrives', async () => {
    const head = `POST /v1/probes HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${alice}\r\ncontent-type: application/json\r\n`;
    for (const rest of [
      'content-length: 1025\r\n\r\n',
      `transfer-encoding: chunked\r\n\r\n401\r\n${'x'.repeat(1_025)}`,
    ]) {
      const talking = talk(server.restPort!, head + rest);
      await until(() => talking.heard.includes('REQUEST_TOO_LARGE'));
      expect(talking.heard).toMatch(/^HTTP\/1\.1 413 /);
      talking.socket.destroy();
    }
  });

  test('holds for a body in chunks', async () => {
    const send = (body: string) =>
      new Promise<number>((resolve, reject) => {
        const headers = { authorization: `Bearer ${alice}`, 'content-type': 'application/json' };
        const sent = httpRequest(`${server.url}/v1/probes`, { method: 'POST', headers }, (response) => {
          response.resume();
          resolve(response.statusCode!);
        });
        sent.on('error', reject);
        sent.write(body.slice(0, 500));
        sent.end(body.slice(500));
      });
    expect([await send(sizedJson(1_024)), await send(sizedJson(1_025))]).toEqual([201, 413]);
  });

  test('a caller without a valid token is refused first', async () => {
    const { json } = await call('POST', '/v1/probes', sizedJson(1_025), { authorization: '' });
    expect(json.reason).toBe('TOKEN_MISSING');
  });

  test('a compressed body is refused, so that none is larger than its length', async () => {
    const { json } = await call('POST', '/v1/probes', sizedJson(100), { 'content-encoding': 'gzip' });
    expect([json.status, json.reason]).toEqual([415, 'UNSUPPORTED_MEDIA_TYPE']);
  });
});

describe('the most bytes of a request over gRPC', () => {
  test.each([
    ['plain', false],
    ['compressed, by what it decompresses to', true],
  ])('is allowed, and one more is refused: %s', async (_, gzip) => {
    const calls = grpcCalls(server.address, { gzip });
    const before = seen.length;
    await calls.send(createProbe.path, sized(1_024), { as: alice });
    expect(seen.length).toBe(before + 1);
    const error = await calls.error(createProbe.path, sized(1_025), { as: alice });
    expect([error.code, error.details]).toEqual([status.RESOURCE_EXHAUSTED, 'The request has more than 1024 bytes.']);
    const [details] = error.metadata.get('grpc-status-details-bin') as Buffer[];
    expect(details!.toString('latin1').split('google.rpc.ErrorInfo').length - 1).toBe(1);
    expect(await calls.refusal(createProbe.path, sized(1_025), { as: alice })).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      reason: 'REQUEST_TOO_LARGE',
      metadata: { max_request_bytes: '1024' },
    });
    expect(seen.length).toBe(before + 1);
    calls.close();
  });

  test('is checked before the message is decoded', async () => {
    const refusal = (bytes: number) => grpc.refusal(createProbe.path, Buffer.alloc(bytes, 0xff), { as: alice });
    expect((await refusal(1_024)).reason).toBe('MALFORMED_REQUEST');
    expect((await refusal(1_025)).reason).toBe('REQUEST_TOO_LARGE');
  });

  test('a method may allow more than the default', async () => {
    await grpc.send(importProbe.path, sized(6_000_000), { as: alice });
    const general = await grpc.refusal(startProbe.path, sized(5_000_000), { as: alice });
    expect(general.metadata).toEqual({ max_request_bytes: String(4 * 1024 * 1024) });
    const beyond = await grpc.refusal(importProbe.path, sized(6_000_001), { as: alice });
    expect(beyond.metadata).toEqual({ max_request_bytes: '6000000' });
  });

  test('is checked by the announced length, so the server holds no more', async () => {
    const session = openSession(`http://${server.address}`);
    for (const [path, bound] of [
      [sendFeedback.path, 512],
      [importProbe.path, 6_000_000],
    ] as const) {
      const announced = Buffer.alloc(5);
      announced.writeUInt32BE(bound + 1, 1);
      const stream = session.request({
        ':path': path,
        ':method': 'POST',
        'content-type': 'application/grpc',
        te: 'trailers',
        authorization: `Bearer ${alice}`,
      });
      stream.on('error', () => {});
      stream.write(announced);
      // grpc-js repeats its refusal with each further frame.
      stream.write(Buffer.alloc(100));
      const headers = await new Promise<Record<string, unknown>>((resolve) => stream.on('response', resolve));
      expect(headers).toMatchObject({
        'grpc-status': String(status.RESOURCE_EXHAUSTED),
        'grpc-message': encodeURI(`The request has more than ${bound} bytes.`),
      });
      expect(Buffer.from(headers['grpc-status-details-bin'] as string, 'base64').toString('latin1')).toContain(
        'REQUEST_TOO_LARGE',
      );
    }
    session.destroy();
  });

  test('a caller without a valid token is refused first', async () => {
    expect((await grpc.refusal(createProbe.path, sized(1_025))).reason).toBe('TOKEN_MISSING');
  });
});

describe('allowed callers', () => {
  test('a public method: any caller, over both protocols, with a token or without or with a wrong one', async () => {
    for (const authorization of ['', 'Bearer x.y.z', `Bearer ${alice}`]) {
      const answer = await call('POST', '/v1/probes:feedback', { note: 'nice' }, { authorization });
      expect([answer.status, answer.json]).toEqual([200, { probeId: 'p-1', ownerId: '', note: 'nice' }]);
      const { caller, origin } = seen.at(-1)!.call;
      expect([caller, origin.actor]).toEqual([{ subject: 'public:anyone', permissions: new Set() }, 'public:anyone']);
    }
    const bytes = sendFeedback.requestSerialize({ note: 'nice' });
    for (const as of [undefined, 'x.y.z', alice]) await grpc.send(sendFeedback.path, bytes, { as });
    expect(seen.at(-1)!.call.caller.subject).toBe('public:anyone');
    await grpc.send(getNewestProbe.path, getNewestProbe.requestSerialize({ ownerId: '' }));
    expect((await call('GET', '/v1/probes:newest', undefined, { authorization: '' })).status).toBe(200);
    expect((await call('POST', '/v1/probes:feedback', { note: '' }, { authorization: '' })).status).toBe(400);
  });

  test("a service's method: services only, over gRPC only", async () => {
    const bytes = checkProbe.requestSerialize({ probeId: 'p-1', note: '' });
    expect((await grpc.refusal(checkProbe.path, bytes)).reason).toBe('TOKEN_MISSING');
    const user = await token('alice', ['probe.probes.check:any']);
    expect((await grpc.refusal(checkProbe.path, bytes, { as: user })).reason).toBe('INTERNAL_METHOD');
    const without = await token('service:probes', ['probe.probes.read']);
    expect((await grpc.refusal(checkProbe.path, bytes, { as: without })).reason).toBe('PERMISSION_MISSING');
    const auth = () => token('service:probes', ['probe.probes.check']);
    const client = connect(ProbeServiceService, { address: server.address, auth });
    expect(await client.checkProbe({ probeId: 'p-1', note: '' })).toMatchObject({ probeId: 'p-1' });
    client.close();
  });

  test('any other method: callers whose token allows it', async () => {
    expect((await grpc.refusal(getProbe.path, getProbe.requestSerialize({ probeId: 'p' }))).reason).toBe(
      'TOKEN_MISSING',
    );
    expect((await call('GET', '/v1/probes/p', undefined, { authorization: '' })).status).toBe(401);
    expect((await call('GET', '/v1/probes/p')).status).toBe(200);
  });
});
