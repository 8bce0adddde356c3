/**
 * Bad input to every method of the contract gets a clear 4xx that names the wrong field: never a 5xx, no internal
 * detail, and nothing is written. The requests are made from the contract (requests.ts).
 */
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { everything } from '@caudal/cli/permissions.ts';
import { contract, type MethodContract } from '@caudal/contract/descriptors.ts';
import { jsonToBytes } from '@caudal/rpc/rest/transcode.ts';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect } from '@jest/globals';
import { type Api, type Json, placed, type Reply, roleOf } from './api.ts';
import { type GrpcCaller, openGrpc } from './grpc.ts';
import { openLogs, type SystemLogs } from './logs.ts';
import { faultsOf, goodRequest, type Known } from './requests.ts';
import { type System, startSystem } from './system.ts';
import { systemTest } from './system-test.ts';
import { deliver, newCustomer, newProduct, orderAt, orderConfirmed, parcelOf, placeOrder, unique } from './world.ts';

// Methods without a token are left out. packages/rpc tests them, with a contract that has all kinds.
const withToken = contract()
  .methods()
  .filter(({ access }) => access.permission);
const isPublic = ({ access }: MethodContract) => !access.internal;
/** Those with routes. Methods with streams have none: they are tried over gRPC only. */
const publicMethods = withToken.filter((method) => isPublic(method) && method.http.length > 0);

/** Whose good request repeats what was done: its answer is the first one, whatever version the caller has read. */
const repeats = new Set(['DeliverShipment']);

/** Methods that record an unknown id, so that a late command for it is refused: for them it is no error. */
const notesUnknownIds = new Set(['CommitReservation', 'ReleaseReservation']);

let system: System;
let grpc: GrpcCaller;
let logs: SystemLogs;
let known: Known;
let before: Record<string, number>;

beforeAll(async () => {
  system = await startSystem({ form: 'embedded' });
  grpc = openGrpc(system.part('all').grpc);
  logs = openLogs(system);
  known = await makeWorld(system.api);
  await logs.settledHeads();
}, 120_000);
afterAll(async () => {
  grpc?.close();
  logs?.close();
  await system?.stop();
}, 60_000);

// No request writes anything.
beforeEach(async () => {
  before = await logs.heads();
});
afterEach(async () => {
  if (expect.getState().currentTestName !== writing) expect(await logs.heads()).toEqual(before);
});
const writing = 'the requests from which the faults are made have no other fault';

/** Makes one of every resource. */
async function makeWorld(api: Api): Promise<Known> {
  const product_id = await newProduct(api);
  const customer_id = await newCustomer(api);
  const to_wallet_id = await newCustomer(api);
  const reservation_id = unique('reservation');
  const lines = [{ productId: product_id, quantity: '1' }];
  await api.call('ReserveStock', { reservationId: reservation_id, lines });
  const { orderId } = await placeOrder(api, { customerId: customer_id, productId: product_id });
  await orderConfirmed(api, orderId);
  await deliver(api, orderId);
  await orderAt(api, orderId, 'DELIVERED');
  const scope = { owner: customer_id, permissions: ['orders.orders.read'] };
  const { body: key, token } = await api.call('CreateApiKey', { ...scope, displayName: 'Shop' });
  await api.call('ListApiKeys', {}, { after: token });
  return {
    api_key_id: key.apiKeyId,
    owner: customer_id,
    permissions: 'orders.orders.read',
    product_id,
    customer_id,
    wallet_id: customer_id,
    to_wallet_id,
    reservation_id,
    order_id: orderId,
    payment_id: orderId,
    shipment_id: orderId,
    ...(await parcelOf(api, orderId)),
    guest_token: 'g'.repeat(43),
    new_shipment_id: `${orderId}~2`,
  };
}

/**
 * Announces a body of this length and waits for the answer. A client that sends the body may lose the answer with the
 * connection.
 */
async function announced(url: string, method: string, length: number): Promise<Reply> {
  const authorization = `Bearer ${await system.token({ subject: 'e2e' })}`;
  const headers = { authorization, 'content-type': 'application/json', 'content-length': length };
  const sent = httpRequest(url, { method, headers, timeout: 10_000 });
  sent.flushHeaders();
  try {
    const [answer] = (await once(sent, 'response')) as [IncomingMessage];
    const body = JSON.parse(await text(answer));
    const received = new Headers({ 'content-type': answer.headers['content-type'] ?? '' });
    return { status: answer.statusCode ?? 0, headers: received, body, token: undefined, etag: undefined };
  } finally {
    sent.destroy();
  }
}

const it = systemTest(() => system);

/** Checks what all answers to bad input have in common. */
function expectProblem(what: string, { status, headers, body }: Reply): void {
  const shown = JSON.stringify(body ?? '');
  const problem = {
    what,
    isClients: status >= 400 && status < 500,
    status: body?.status,
    type: headers.get('content-type')?.split(';')[0],
    reason: /^[A-Z][A-Z0-9_]+$/.test(body?.reason ?? ''),
    isShort: shown.length < 20_000,
    leaks: /node_modules|\.ts:\d|\bat \w+ \(|SELECT |postgres:/.exec(shown)?.[0],
  };
  expect(problem).toEqual({
    what,
    isClients: true,
    status,
    type: 'application/problem+json',
    reason: true,
    isShort: true,
    leaks: undefined,
  });
}

/** `lines[0].quantity` within `lines`. */
const isWithin = (path: string, field: string) => path.startsWith(field) && /^($|[.[])/.test(path.slice(field.length));

/** All at once would overload the server, and one after the other would take long. */
async function inParallel<T>(items: T[], work: (item: T) => Promise<void>): Promise<void> {
  const waiting = items.values();
  const workers = Array.from({ length: 8 }, async () => {
    for (const item of waiting) await work(item);
  });
  // No work continues after the test.
  await Promise.allSettled(workers);
  await Promise.all(workers);
}

describe.each(publicMethods.map((method) => [method.name, method] as const))('%s', (name, method) => {
  it('names the wrong field', async () => {
    const unnamed: Json[] = [];
    await inParallel(faultsOf(method, known), async ({ title, request, field }) => {
      const reply = await system.api.send(name, request);
      if (reply.status < 300) unnamed.push({ title, field, status: reply.status });
      else expectProblem(title, reply);
      const named: string[] = (reply.body?.violations ?? []).map((violation: Json) => violation.field);
      const isNamed = named.some((each) => isWithin(each, field));
      if (reply.status !== 400 || !isNamed) unnamed.push({ title, field, status: reply.status, named });
    });
    expect(unnamed).toEqual([]);
  });

  it('refuses malformed bodies', async () => {
    const [rule] = method.http;
    const { path, body } = placed(rule!, goodRequest(method, known));
    if (body === undefined) return;
    const send = (content: string, headers: Record<string, string> = {}) =>
      system.api.raw(roleOf(method), path, {
        method: rule!.method,
        body: content,
        headers: { 'content-type': 'application/json', ...headers },
      });
    for (const content of ['{', '[]', '"text"', '7', 'null', '{"a":1}{"b":2}', '\u0000', '[['.repeat(20_000)]) {
      const reply = await send(content);
      const what = content.slice(0, 20);
      expectProblem(what, reply);
      expect([what, reply.status]).toEqual([what, 400]);
    }
    const prototype = await send(JSON.stringify(body).replace(/^\{/, '{"__proto__":{"a":1},'));
    expectProblem('__proto__', prototype);
    const json = JSON.stringify(body);
    const wrong: Record<string, string>[] = [{ 'content-type': 'text/plain' }, { 'content-encoding': 'gzip' }];
    for (const headers of wrong) {
      const reply = await send(json, headers);
      expectProblem(JSON.stringify(headers), reply);
      expect(reply.status).toBe(415);
    }
    const huge = await announced(`${system.part('all').rest}${path}`, rule!.method, 5 * 1024 * 1024);
    expectProblem('5 MiB', huge);
    expect(huge.status).toBe(413);
  });

  it('refuses callers without a good token', async () => {
    const request = goodRequest(method, known);
    const good = { subject: 'e2e' };
    const [header, payload, signature] = (await system.token(good)).split('.') as [string, string, string];
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const tokens: Record<string, [string | undefined, string]> = {
      none: [undefined, 'TOKEN_MISSING'],
      'not a token': ['x', 'TOKEN_INVALID'],
      'signed with another key': [await system.token({ ...good, key: 'wrong' }), 'TOKEN_INVALID'],
      expired: [await system.token({ ...good, ttlSeconds: -60 }), 'TOKEN_EXPIRED'],
      'of another issuer': [await system.token({ ...good, issuer: 'elsewhere' }), 'TOKEN_INVALID'],
      'for another audience': [await system.token({ ...good, audience: 'elsewhere' }), 'TOKEN_INVALID'],
      'not signed': [`${encode({ alg: 'none' })}.${payload}.`, 'TOKEN_INVALID'],
      'with another payload': [`${header}.${encode({ sub: 'e2e', exp: 9_999_999_999 })}.${signature}`, 'TOKEN_INVALID'],
    };
    for (const [what, [token, reason]] of Object.entries(tokens)) {
      const reply = await system.api.as(token).send(name, request);
      expectProblem(what, reply);
      expect([what, reply.status, reply.body.reason]).toEqual([what, 401, reason]);
      expect(reply.headers.get('www-authenticate')).toBe('Bearer');
    }
  });

  it('refuses callers without the permission, and callers that do not own the resource', async () => {
    const { permission, ownerField, ownerInResource } = method.access;
    const others = everything().filter((each) => each !== `${permission}:any`);
    const lacking = await system.token({ subject: 'e2e', permissions: others });
    const reply = await system.api.as(lacking).send(name, goodRequest(method, known));
    expectProblem('without permission', reply);
    expect(reply).toMatchObject({ status: 403, body: { reason: 'PERMISSION_MISSING', metadata: { permission } } });

    if (ownerField === undefined && !ownerInResource) return;
    const mallory = system.api.as(await system.token({ subject: 'mallory', permissions: [permission] }));
    const foreign = await mallory.send(name, goodRequest(method, known));
    expectProblem("another owner's", foreign);
    // A resource of another owner is like none: ids.test.ts compares both.
    if (ownerInResource) expect(foreign.status).toBe(404);
    else expect(foreign).toMatchObject({ status: 403, body: { reason: 'NOT_OWNER' } });
  });

  it('answers 404 to unknown ids', async () => {
    const inPath = [...method.http[0]!.template.matchAll(/\{(\w+)\}/g)].map(([, field]) => field!);
    if (inPath.length === 0 || notesUnknownIds.has(name)) return;
    const unknown = { ...known, ...Object.fromEntries(inPath.map((field) => [field, 'nobody-knows'])) };
    const reply = await system.api.send(name, goodRequest(method, unknown));
    expectProblem('unknown id', reply);
    expect([404, 400]).toContain(reply.status);
    if (method.noSideEffects) expect(reply.status).toBe(404);
  });

  it('refuses wrong headers and pages', async () => {
    const request = goodRequest(method, known);
    const token = await system.api.send(name, request, { after: '!!' });
    expectProblem('consistency token', token);
    expect(token.body.reason).toBe('INVALID_CONSISTENCY_TOKEN');
    const fields = method.request.fields.map((field) => field.name);
    if (fields.includes('etag') && !repeats.has(name)) {
      // The same tracking number again would be a repeat too.
      const other = fields.includes('tracking_number') ? { trackingNumber: 'ANOTHER1' } : {};
      const reply = await system.api.send(name, { ...request, ...other }, { headers: { 'if-match': '"99999-1"' } });
      expectProblem('if-match', reply);
      expect(reply).toMatchObject({ status: 412, body: { reason: 'ETAG_MISMATCH', violations: [{ field: 'etag' }] } });
    }
    if (!fields.includes('page_token')) return;
    const made = Buffer.from('["x",1,["1"],"id"]').toString('base64url');
    for (const pageToken of ['x', '!', made, 'W10', 'x'.repeat(900)]) {
      const reply = await system.api.send(name, { ...request, pageToken });
      expectProblem(`page token ${pageToken}`, reply);
      expect(reply).toMatchObject({ status: 400, body: { violations: [{ field: 'page_token' }] } });
    }
  });
});

it('only methods with streams are public and have no route', async () => {
  const unrouted = withToken.filter((method) => isPublic(method) && method.http.length === 0);
  expect(unrouted.map(({ name }) => name)).toEqual(withToken.filter(({ stream }) => stream).map(({ name }) => name));
});

it('unknown paths', async () => {
  const { api } = system;
  const paths = ['/v1/nothing', '/v1', '/v1/orders/%zz', '/v1/orders/a%00b', '/v1/orders/..%2f..', '/v2/orders'];
  for (const path of paths) expectProblem(path, await api.raw('query', path));
  expectProblem('POST /', await api.raw('query', '/', { method: 'POST' }));
  const wrongMethod = await api.raw('query', '/v1/orders', { method: 'DELETE' });
  expectProblem('DELETE', wrongMethod);
  expect(wrongMethod.status).toBe(405);
  expect(wrongMethod.headers.get('allow')?.split(', ').sort()).toEqual(['GET', 'POST']);
  expectProblem('a long path', await api.raw('query', `/v1/orders/${'x'.repeat(5_000)}`));
  expectProblem('a path that is too long', await api.raw('query', `/v1/orders?customerId=${'x'.repeat(30_000)}`));
});

describe.each(withToken.map((method) => [method.path, method] as const))('gRPC %s', (path, method) => {
  const bytesOf = (json: Json) => jsonToBytes(method.request, json);
  const service = { subject: 'service:e2e', permissions: [`${method.access.permission}:any`] };
  // Services pass on texts of version 0.2, which had fewer rules.
  const strictest = method.access.authentication === 'SERVICE' ? service : { ...service, subject: 'e2e' };

  it('refuses what is wrong in the request', async () => {
    const token = await system.token(strictest);
    for (const bytes of [[0xff, 0xff, 0xff], [0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f], [0x08]]) {
      const refusal = await grpc.refusal(path, Uint8Array.from(bytes), token);
      expect([bytes, refusal?.code, refusal?.reason]).toEqual([bytes, 'INVALID_ARGUMENT', 'MALFORMED_REQUEST']);
    }
    const unnamed: Json[] = [];
    await inParallel(
      faultsOf(method, known).filter(({ wellTyped }) => wellTyped),
      async ({ title, request, field }) => {
        const refusal = await grpc.refusal(path, bytesOf(request), token);
        const named = refusal?.violations.map((violation) => violation.field) ?? [];
        const isNamed = named.some((each) => isWithin(each, field));
        if (refusal?.code !== 'INVALID_ARGUMENT' || !isNamed)
          unnamed.push({ title, code: refusal?.code, field, named });
      },
    );
    expect(unnamed).toEqual([]);
    const huge = await grpc.refusal(path, new Uint8Array(5 * 1024 * 1024), token);
    expect(['RESOURCE_EXHAUSTED', 'INVALID_ARGUMENT']).toContain(huge?.code);
  });

  it('refuses callers without permission', async () => {
    const bytes = bytesOf(goodRequest(method, known));
    const codeFor = async (token: string | undefined) => (await grpc.refusal(path, bytes, token))?.code;
    const expired = await system.token({ ...service, ttlSeconds: -60 });
    const wrongKey = await system.token({ ...service, key: 'wrong' });
    expect(await Promise.all([undefined, 'x', expired, wrongKey].map(codeFor))).toEqual(
      Array(4).fill('UNAUTHENTICATED'),
    );
    expect(await codeFor(await system.token({ ...service, permissions: ['nothing.at.all'] }))).toBe(
      'PERMISSION_DENIED',
    );
    if (!method.access.internal) return;
    const customer = await system.token({ ...service, subject: known.customer_id! });
    expect((await grpc.refusal(path, bytes, customer))?.reason).toBe('INTERNAL_METHOD');
  });
});

it('unknown gRPC methods', async () => {
  const token = await system.token({ subject: 'e2e' });
  for (const path of ['/caudal.orders.v1.OrderService/Nothing', '/nothing.v1.Nothing/Nothing']) {
    expect((await grpc.refusal(path, new Uint8Array(), token))?.code).toBe('UNIMPLEMENTED');
  }
});

// Last, because it writes.
it(writing, async () => {
  const reasons = ['INVALID_REQUEST', 'MALFORMED_REQUEST', 'INVALID_FIELD', 'ROUTE_NOT_FOUND'];
  for (const method of publicMethods) {
    const reply = await system.api.send(method.name, goodRequest(method, known));
    expect([method.name, reply.status, reasons.includes(reply.body.reason)]).toEqual([
      method.name,
      reply.status,
      false,
    ]);
    // Nothing waits for a second person: PAYMENTS_FOUR_EYES is not set.
    const status = method.name === 'GetApproval' ? 404 : 200;
    if (method.noSideEffects) expect([method.name, reply.status]).toEqual([method.name, status]);
  }
  expect(await logs.heads()).not.toEqual(before);
});
