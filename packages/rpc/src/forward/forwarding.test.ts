import { OrderServiceService } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import type { Caller } from '@caudal/kernel/context.ts';
import { CaudalError, refused } from '@caudal/kernel/errors.ts';
import { ForwardToOwner, type Route } from '@caudal/kernel/forward.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { startTcpProxy } from '@caudal/testing/tcp-proxy.ts';
import { until } from '@caudal/testing/until.ts';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { metrics } from '@opentelemetry/api';
import { connect } from '../client/client.ts';
import { localClient } from '../client/local-client.ts';
import { trustedProxies } from '../server/address.ts';
import type { CallRecord } from '../server/audit.ts';
import type { Forwarding } from '../server/server.ts';
import { order, placeOrder, type Seen, start, stopAll, token } from '../testing/fixture.ts';
import { grpcCalls } from '../testing/grpc-calls.ts';
import { authority, calling, mounted, releaseName, unmountAll } from '../testing/tls.ts';
import { type Call, type Handlers, service } from '../types.ts';
import { type Forwarder, openForwarder } from './forwarder.ts';
import { windowCalls } from './frames.ts';

const permissions = ['orders.orders.place', 'orders.orders.cancel'];
const stream = 'orders.order/o-1';
const instance = 'the owner';
type Answering = (call: Call) => Promise<ReturnType<typeof order>>;

let atOwner: Seen[];
let here: Seen[];
let said: string[];
let address: string;
let forwarder: Forwarder;
/** What the owner does with a call. */
let answering: Answering;

beforeEach(() => {
  atOwner = [];
  here = [];
  said = [];
  answering = async () => order();
  forwarder = openForwarder({ token: () => token('service:process', ['calls.forward']) });
});

afterEach(async () => {
  await forwarder.stop();
  await stopAll();
  await unmountAll();
});

/** Answers only when the call ends. */
const hanging: Answering = (call) =>
  new Promise((_, reject) => {
    call.signal.addEventListener('abort', () => reject(call.signal.reason), { once: true });
  });

const route = (): Route => ({
  stream,
  address,
  instance,
  answered: (ms) => said.push(`answered ${ms}`),
  lost: async (how) => void said.push(how),
  refused: () => said.push('refused'),
});

const handlers = (placed: Handlers<typeof OrderServiceService>['placeOrder']) => {
  const same = placed as never;
  return service(OrderServiceService, { placeOrder: placed, cancelOrder: same, returnOrder: same, settleReturn: same });
};

/** A process that owns the stream. */
async function startOwner(options: Parameters<typeof start>[0] = {}) {
  const forwarding: Forwarding = { instance, address: '', forwarder, ownedMs: (of) => (of === stream ? 1_234 : 0) };
  const placed = async (request: unknown, call: Call) => {
    atOwner.push({ request, call });
    call.wrote(stream, 7);
    return answering(call);
  };
  const owner = await start({ forwarding, ...options }, [handlers(placed)]);
  address = owner.address;
  return owner;
}

/** A process that knows the owner; what can't be forwarded it decides itself. */
const deciding = handlers(async (request, call) => {
  if (call.forwardable) throw new ForwardToOwner(route());
  here.push({ request, call });
  return order({ reference: 'here' });
});

async function startForwarding(options: Parameters<typeof start>[0] = {}) {
  const server = await start(
    { forwarding: { instance: 'another', address: '', forwarder, ownedMs: () => 0 }, ...options },
    [deciding],
  );
  const client = connect(OrderServiceService, { address: server.address, auth: () => token('alice', permissions) });
  return { ...server, place: client.placeOrder, cancel: client.cancelOrder, close: client.close };
}

test('the owner does the call, as its caller, with what came with the call', async () => {
  await startOwner();
  const server = await startForwarding();
  const origin = { actor: '', causationId: 'cause-1', correlationId: 'all-1', traceparent: '' };
  const answer = await server.place(placeOrder({ requestId: newId() }), { origin });
  expect(answer).toEqual(order());
  expect([here.length, said]).toEqual([0, ['answered 1234']]);
  const [{ call, request }] = atOwner as [Seen];
  expect(request).toMatchObject({ orderId: 'o-1', customerId: 'alice', lines: [{ productId: 'p-1', quantity: 2n }] });
  expect(call.caller).toMatchObject({ subject: 'alice', permissions: new Set(permissions), kind: 'user' });
  expect(call.origin).toMatchObject({ actor: 'alice', causationId: 'cause-1', correlationId: 'all-1' });
  expect(call.forwardable).toBe(false);
  expect(call.commandId).toBeDefined();
  server.close();
});

// Never "lost": the owner is there, and its streams stay its own.
test.each([
  ['with a client certificate is forwarded', [releaseName], 'answered 1234'],
  ['without the name of the release is done where it is', ['another.svc'], 'refused'],
  ['without TLS is done where it is', undefined, 'refused'],
])('a call to an owner with mTLS %s', async (_, names, outcome) => {
  const { source } = await mounted(authority.make([releaseName]));
  await startOwner({ tls: { source, clientName: releaseName } });
  await forwarder.stop();
  const tls = names && (await calling(authority.make(names), authority.ca, releaseName));
  forwarder = openForwarder({ token: () => token('service:process', ['calls.forward']), tls });
  const server = await startForwarding();
  await server.place(placeOrder({ requestId: newId() }));
  expect(new Set(said)).toEqual(new Set([outcome]));
  expect([atOwner.length, here.length]).toEqual(outcome === 'refused' ? [0, 1] : [1, 0]);
  server.close();
});

test('a command for another owner is recorded once: by the process that has done it, as that of its caller', async () => {
  const records: string[] = [];
  const trail = (place: string) => ({
    write: async () => {},
    note: ({ kind, subject, address, reason }: CallRecord) =>
      void records.push(`${place}: ${kind} of ${subject} at ${address} for ${reason}`),
  });
  await startOwner({ audit: trail('owner') });
  const server = await startForwarding({ audit: trail('forwarding'), trustedProxies: trustedProxies(['127.0.0.1']) });
  const shop = grpcCalls(server.address);
  const { path, requestSerialize } = OrderServiceService.placeOrder;
  await shop.send(path, requestSerialize(placeOrder({ requestId: newId() })), {
    as: await token('shop', ['orders.orders.place:any']),
    headers: { 'x-audit-reason': 'T-1', 'x-forwarded-for': '192.0.2.7' },
  });
  expect([atOwner.length, here.length, records]).toEqual([1, 0, ['owner: ACT of shop at 192.0.2.7 for T-1']]);
  shop.close();
  server.close();
});

test('a call that is forwarded counts once as served, and at the owner as forwarded', async () => {
  await startOwner();
  const server = await startForwarding();
  const counted: string[] = [];
  const instrument = (name: string) => ({
    add() {},
    addCallback() {},
    record(_: number, attributes: { code?: string } = {}) {
      if (name.endsWith('duration_seconds')) counted.push(`${name} ${attributes.code}`);
    },
  });
  const meter = new Proxy({}, { get: () => instrument });
  metrics.setGlobalMeterProvider({ getMeter: () => meter } as never);
  try {
    await server.place(placeOrder({ requestId: newId() }));
    await until(() => counted.length >= 2);
  } finally {
    metrics.disable();
  }
  expect(counted.sort()).toEqual(['rpc_forwarded_duration_seconds OK', 'rpc_server_duration_seconds OK']);
  server.close();
});

test('what the owner wrote is in the consistency token, over REST too', async () => {
  await startOwner();
  const server = await startForwarding();
  const answer = await fetch(`${server.url}/v1/orders`, {
    method: 'POST',
    headers: { authorization: `Bearer ${await token('alice', permissions)}`, 'content-type': 'application/json' },
    body: '{"orderId":"o-1","customerId":"alice","country":"GB","lines":[{"productId":"p-1","quantity":"2"}],"paymentMethod":{"walletId":"w-1"}}',
  });
  expect([answer.status, atOwner.length]).toEqual([200, 1]);
  expect(answer.headers.get('consistency-token')).toBeTruthy();
  expect(answer.headers.get('etag')).toBe('"v1"');
  server.close();
});

test('calls within the process are forwarded with their own token', async () => {
  await startOwner();
  const caller: Caller = { subject: 'service:orders', permissions: new Set(['orders.orders.place:any']) };
  const own = () => token('service:orders', [...caller.permissions]);
  const client = localClient(OrderServiceService, [deciding], caller, { forwarder, token: own });
  expect(await client.placeOrder(placeOrder())).toEqual(order());
  expect(atOwner[0]!.call.caller).toMatchObject({ ...caller, kind: 'service' });
});

test('the owner checks the permission and the resource itself', async () => {
  await startOwner();
  // A process that takes every caller for an administrator.
  const careless = async (): Promise<Caller> => ({ subject: 'alice', permissions: new Set(['*']) });
  const server = await startForwarding({ auth: careless });
  const as = (given: () => Promise<string>) => connect(OrderServiceService, { address: server.address, auth: given });
  const reasonOf = async (given: () => Promise<string>, fields = {}) => {
    const client = as(given);
    const error = await client.placeOrder(placeOrder(fields)).catch((thrown: unknown) => thrown);
    client.close();
    return error;
  };
  expect(await reasonOf(() => token('alice', ['orders.orders.read']))).toMatchObject({ reason: 'PERMISSION_MISSING' });
  expect(await reasonOf(() => token('alice', permissions), { customerId: 'bob' })).toMatchObject({
    reason: 'NOT_OWNER',
  });
  expect(atOwner).toEqual([]);
  answering = async (call) => {
    call.authorize('bob');
    return order();
  };
  const alice = as(() => token('alice', permissions));
  await expect(alice.cancelOrder({ requestId: '', orderId: 'o-1', reason: '', etag: '' })).rejects.toMatchObject({
    reason: 'ORDER_NOT_FOUND',
  });
  alice.close();
  server.close();
});

test('errors of the owner reach the caller as they are', async () => {
  await startOwner();
  const server = await startForwarding();
  answering = async () => {
    throw refused('ORDER_SHIPPED', 'The order has left already.', { metadata: { order: 'o-1' } });
  };
  await expect(server.place(placeOrder())).rejects.toMatchObject({
    code: 'FAILED_PRECONDITION',
    reason: 'ORDER_SHIPPED',
    message: 'The order has left already.',
    metadata: { order: 'o-1' },
  });
  server.close();
});

test('deadline and cancellation reach the owner', async () => {
  await startOwner();
  const server = await startForwarding();
  answering = hanging;
  const caller = new AbortController();
  const cancelled = server.place(placeOrder(), { signal: caller.signal, timeoutMs: 30_000 });
  await until(() => atOwner.length === 1);
  const [{ call }] = atOwner as [Seen];
  expect(call.deadline.getTime() - Date.now()).toBeGreaterThan(20_000);
  caller.abort();
  await expect(cancelled).rejects.toMatchObject({ code: 'CANCELLED' });
  await until(() => call.signal.aborted);
  expect(call.signal.reason).toMatchObject({ code: 'CANCELLED' });
  await expect(server.place(placeOrder(), { timeoutMs: 300 })).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
  expect(atOwner[1]!.call.deadline.getTime() - Date.now()).toBeLessThan(300);
  server.close();
});

test('an owner that can not be reached: the call was not sent, and is done here', async () => {
  address = '127.0.0.1:9';
  const server = await startForwarding();
  expect(await server.place(placeOrder())).toMatchObject({ reference: 'here' });
  expect(said).toEqual(['gone', 'gone']);
  server.close();
});

test.each([
  ['knows no forwarding', { forwarding: undefined }],
  [
    'refuses the token of the process',
    { auth: async () => ({ subject: 'service:x', permissions: new Set<string>() }) },
  ],
])('an owner that %s: the call is done here', async (_, options) => {
  await startOwner(options);
  const server = await startForwarding();
  expect(await server.place(placeOrder())).toMatchObject({ reference: 'here' });
  expect(said).toEqual(['refused', 'refused']);
  expect(atOwner).toEqual([]);
  server.close();
});

test('a method that the owner does not serve is done here', async () => {
  const server = await startForwarding();
  const none = await start({ forwarding: { instance, address: '', forwarder, ownedMs: () => 0 } }, []);
  address = none.address;
  expect(await server.place(placeOrder())).toMatchObject({ reference: 'here' });
  expect(said).toEqual(['answered 0']);
  server.close();
});

test('a connection that breaks under way: repeated here with a request id, else the outcome is unknown', async () => {
  const owner = await startOwner();
  const proxy = await startTcpProxy(`tcp://${owner.address}`);
  address = new URL(proxy.url).host;
  const server = await startForwarding();
  answering = hanging;
  // Not by this client, which adds an id to a call without one.
  const caller: Caller = { subject: 'service:orders', permissions: new Set(['orders.orders.place:any']) };
  const own = () => token('service:orders', [...caller.permissions]);
  const local = localClient(OrderServiceService, [deciding], caller, { forwarder, token: own });
  const repeatable = server.place(placeOrder({ requestId: newId() }));
  const once = local.placeOrder(placeOrder()).catch((error: unknown) => error);
  await until(() => atOwner.length === 2);
  await proxy.close();
  expect(await repeatable).toMatchObject({ reference: 'here' });
  expect(await once).toMatchObject({ code: 'UNAVAILABLE', reason: 'DEPENDENCY_UNAVAILABLE' });
  expect(here).toHaveLength(1);
  server.close();
});

test('a caller whose token is good here, but not at the owner: the call is done here', async () => {
  await startOwner();
  const before = async (): Promise<Caller> => ({ subject: 'alice', permissions: new Set(permissions) });
  const server = await startForwarding({ auth: before });
  const alice = connect(OrderServiceService, {
    address: server.address,
    auth: () => token('alice', permissions, { ttlSeconds: -60 }),
  });
  expect(await alice.placeOrder(placeOrder())).toMatchObject({ reference: 'here' });
  expect([atOwner.length, said]).toEqual([0, ['answered 1234']]);
  alice.close();
  server.close();
});

test('another process at the address of the owner gets no calls', async () => {
  const forwarding: Forwarding = { instance: 'a stranger', address: '', forwarder, ownedMs: () => 0 };
  await startOwner({ forwarding });
  const server = await startForwarding();
  expect(await server.place(placeOrder())).toMatchObject({ reference: 'here' });
  expect([atOwner.length, said]).toEqual([0, ['gone', 'gone']]);
  server.close();
});

test('an owner that stops answers what it has, and takes no more', async () => {
  const ending = new AbortController();
  await startOwner({ ending: ending.signal });
  const server = await startForwarding();
  const gate = Promise.withResolvers<void>();
  answering = async () => {
    if (atOwner.length === 1) await gate.promise;
    return order();
  };
  const first = server.place(placeOrder());
  await until(() => atOwner.length === 1);
  ending.abort();
  await until(async () => {
    await server.place(placeOrder());
    return here.length > 0;
  }).finally(gate.resolve);
  expect(await first).toEqual(order());
  expect(said).toContain('leaving');
  server.close();
}, 20_000);

test('a silent owner: repeatable calls go on elsewhere, the others wait for its answer', async () => {
  const owner = await startOwner();
  const proxy = await startTcpProxy(`tcp://${owner.address}`);
  address = new URL(proxy.url).host;
  const server = await startForwarding();
  const caller: Caller = { subject: 'service:orders', permissions: new Set(['orders.orders.place:any']) };
  const own = () => token('service:orders', [...caller.permissions]);
  const local = localClient(OrderServiceService, [deciding], caller, { forwarder, token: own });
  expect(await local.placeOrder(placeOrder())).toEqual(order());
  proxy.silence(true);
  const once = local.placeOrder(placeOrder());
  expect(await server.place(placeOrder({ requestId: newId() }))).toMatchObject({ reference: 'here' });
  expect(said).toEqual(['answered 1234', 'gone', 'gone']);
  proxy.silence(false);
  expect(await once).toEqual(order());
  server.close();
  await proxy.close();
});

test('an owner has a bounded number of calls; those that wait can be cancelled without being sent', async () => {
  await startOwner();
  const server = await startForwarding();
  const gate = Promise.withResolvers<void>();
  answering = async () => {
    await gate.promise;
    return order();
  };
  const many = Array.from({ length: windowCalls }, () => server.place(placeOrder()));
  await until(() => atOwner.length === windowCalls);
  const caller = new AbortController();
  const late = server.place(placeOrder(), { signal: caller.signal }).catch((error: unknown) => error);
  const later = server.place(placeOrder());
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(atOwner).toHaveLength(windowCalls);
  caller.abort();
  expect(await late).toMatchObject({ code: 'CANCELLED' });
  gate.resolve();
  await Promise.all([...many, later]);
  expect(atOwner).toHaveLength(windowCalls + 1);
  server.close();
});

test('once an owner was lost with the call, an error does not say that nothing was done', async () => {
  const owner = await startOwner();
  const proxy = await startTcpProxy(`tcp://${owner.address}`);
  address = new URL(proxy.url).host;
  const full = handlers(async (_, call) => {
    if (call.forwardable && said.length === 0) throw new ForwardToOwner(route());
    throw new CaudalError('RESOURCE_EXHAUSTED', 'STREAM_QUEUE_FULL', 'Nothing was done.');
  });
  answering = hanging;
  // Without a repeat by the client.
  const caller: Caller = { subject: 'alice', permissions: new Set(permissions) };
  const local = localClient(OrderServiceService, [full], caller, {
    forwarder,
    token: () => token('alice', permissions),
  });
  const lost = local.placeOrder(placeOrder({ requestId: newId() })).catch((error: unknown) => error);
  await until(() => atOwner.length === 1);
  proxy.cut();
  expect(await lost).toMatchObject({ code: 'UNAVAILABLE' });
  await expect(local.placeOrder(placeOrder({ requestId: newId() }))).rejects.toMatchObject({
    reason: 'STREAM_QUEUE_FULL',
  });
  await proxy.close();
});
