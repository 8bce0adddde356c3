/** Somebody who may write the table of owners names an address, and is sent no call: docs/owners.md, The connection. */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { OrderServiceService } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { ForwardToOwner, type Route } from '@caudal/kernel/forward.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { startTcpProxy } from '@caudal/testing/tcp-proxy.ts';
import { Metadata, Server, ServerCredentials } from '@grpc/grpc-js';
import { afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import type { JWK } from 'jose';
import { connect } from '../client/client.ts';
import { authenticator } from '../server/auth.ts';
import { generateKey, type Key, signToken } from '../server/tokens.ts';
import { audience, issuer, order, placeOrder, start, stopAll, token } from '../testing/fixture.ts';
import { type Call, service } from '../types.ts';
import { type ForwardKeys, forwardKeys } from './forward-keys.ts';
import { type Forwarder, openForwarder } from './forwarder.ts';
import { forwardMethod } from './frames.ts';
import { nonceHeader, proofHeader, proofOf, signedProofHeader } from './proof.ts';

const stream = 'orders.order/o-1';
const instance = 'the owner';
const permissions = ['orders.orders.place'];
/** By the contexts that they stand for. */
let keys: Record<'orders' | 'inventory' | 'all' | 'stranger', Key>;
const bound: Record<string, string[]> = { orders: ['orders'], inventory: ['inventory'], all: ['*'] };

let forwarder: Forwarder;
let atOwner: Call[];
let here: Call[];
let said: string[];
const cleanups: (() => unknown)[] = [];

beforeAll(async () => {
  const made = ['orders', 'inventory', 'all', 'stranger'].map(async (name) => [name, await generateKey(name)]);
  keys = Object.fromEntries(await Promise.all(made));
});
beforeEach(() => {
  [atOwner, here, said] = [[], [], []];
  forwarder = openForwarder({ keys: of(keys.orders.privateKey) });
});
afterEach(async () => {
  await forwarder.stop();
  await stopAll();
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

/** A process with this key; all of them check with the same set, in which the stranger's is not. */
const of = (key: JWK | undefined): ForwardKeys =>
  forwardKeys({
    key,
    keys: { keys: [keys.orders, keys.inventory, keys.all].map(({ publicKey }) => publicKey) },
    issuer,
    audience,
    contextsOf: (by) => bound[by?.kid ?? ''] ?? [],
  });

const handlers = (placed: (call: Call) => unknown) =>
  service(OrderServiceService, {
    placeOrder: async (_, call) => {
      placed(call);
      return order();
    },
    cancelOrder: async () => order(),
    returnOrder: async () => order(),
    settleReturn: async () => order(),
  });

/** A process that owns streams, at this port. */
async function startOwner(key: JWK, port: number): Promise<void> {
  const forwarding = { instance, address: `127.0.0.1:${port}`, keys: of(key), forwarder, ownedMs: () => 1_000 };
  await start({ forwarding, grpc: { host: '127.0.0.1', port } }, [handlers((call) => atOwner.push(call))]);
}

async function freePort(): Promise<number> {
  const listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  await new Promise((resolve) => listener.close(resolve));
  return port;
}

/** Places an order at a process that has found this owner in the table. */
async function placeVia(address: string, known = instance): Promise<void> {
  const route: Route = {
    ...{ stream, address, instance: known },
    answered: () => said.push('answered'),
    lost: async (how) => void said.push(how),
    refused: () => said.push('refused'),
  };
  const deciding = handlers((call) => {
    if (call.forwardable) throw new ForwardToOwner(route);
    here.push(call);
  });
  const forwarding = { instance: 'another', address: '', forwarder, ownedMs: () => 0 };
  const server = await start({ forwarding }, [deciding]);
  const client = connect(OrderServiceService, { address: server.address, auth: () => token('alice', permissions) });
  cleanups.push(() => client.close());
  await client.placeOrder(placeOrder({ requestId: newId() }));
}

/** Serves the stream as its owner, with this proof, and keeps all that it is sent. */
async function startImpostor(prove: (nonce: string, address: string) => Promise<string | undefined>) {
  const seen = { authorization: [] as string[], messages: 0 };
  const server = new Server();
  let address = '';
  server.addService({ Forward: forwardMethod }, {
    Forward: async (call: never) => {
      const { metadata, sendMetadata, on } = call as {
        metadata: Metadata;
        sendMetadata(of: Metadata): void;
        on(event: string, listener: () => void): void;
      };
      seen.authorization.push(String(metadata.get('authorization')[0]));
      on.call(call, 'data', () => seen.messages++);
      const nonce = String(metadata.get(nonceHeader)[0]);
      const headers = new Metadata();
      headers.set(proofHeader, proofOf(instance, nonce));
      const signed = await prove(nonce, address);
      if (signed) headers.set(signedProofHeader, signed);
      sendMetadata.call(call, headers);
    },
  } as never);
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, at) =>
      error ? reject(error) : resolve(at),
    ),
  );
  address = `127.0.0.1:${port}`;
  cleanups.push(() => server.forceShutdown());
  return { address, seen };
}

test.each(['orders', 'all'] as const)('an owner with a key of %s proves itself, and does the call', async (name) => {
  const port = await freePort();
  await startOwner(keys[name].privateKey, port);
  await placeVia(`127.0.0.1:${port}`);
  expect([here.length, atOwner.length, said]).toEqual([0, 1, ['answered']]);
  expect(atOwner[0]!.caller).toMatchObject({ subject: 'alice', kind: 'user' });
});

test.each([
  ['no key', undefined],
  ['a key that is no service’s', 'stranger'],
  ["the key of a workload without the stream's context", 'inventory'],
] as const)('an owner with %s is sent no call, and the call is done here', async (_, name) => {
  const key = name && keys[name].privateKey;
  const { address, seen } = await startImpostor(async (nonce, at) =>
    key ? of(key).proof({ instance, address: at, nonce }) : undefined,
  );
  await placeVia(address);
  expect([here.length, seen.messages, new Set(said)]).toEqual([1, 0, new Set(['refused'])]);
});

test.each([
  ['another nonce', { nonce: 'another' }],
  ['another instance', { instance: 'another' }],
  ['another address', { address: '127.0.0.1:1' }],
])('a good proof of %s proves nothing', async (_, other) => {
  const { address, seen } = await startImpostor((nonce, at) =>
    of(keys.orders.privateKey).proof({ instance, address: at, nonce, ...other }),
  );
  await placeVia(address);
  expect([here.length, seen.messages, new Set(said)]).toEqual([1, 0, new Set(['refused'])]);
});

test('somebody in between passes on no proof: the real owner names its own address', async () => {
  const port = await freePort();
  await startOwner(keys.orders.privateKey, port);
  const between = await startTcpProxy(`tcp://127.0.0.1:${port}`);
  cleanups.push(() => between.close());
  await placeVia(new URL(between.url).host);
  expect([here.length, atOwner.length, new Set(said)]).toEqual([1, 0, new Set(['refused'])]);
});

test('what opens a stream is no token, and is good at its owner only', async () => {
  const { address, seen } = await startImpostor(async () => undefined);
  await placeVia(address);
  const [authorization] = seen.authorization as [string];
  const services = authenticator({
    keys: { keys: [keys.orders.publicKey] },
    issuer,
    audience,
  });
  await expect(async () => services(authorization)).rejects.toMatchObject({ reason: 'TOKEN_INVALID' });
  const receiving = of(keys.all.privateKey);
  expect(await receiving.opener(authorization, instance)).toMatchObject({ subject: 'service:process' });
  await expect(receiving.opener(authorization, 'another')).rejects.toMatchObject({ reason: 'TOKEN_INVALID' });
});

test("a service's token opens no stream, and neither does an owner's proof or a user's statement", async () => {
  const receiving = of(keys.orders.privateKey);
  const content = { key: keys.orders.privateKey, issuer, permissions: ['calls.forward'], ttlSeconds: 60 };
  const asService = await signToken({ ...content, audience, subject: 'service:process' });
  const asUser = await signToken({ ...content, audience: `${audience}/forward`, subject: 'alice' });
  const proof = await receiving.proof({ instance, address: 'a', nonce: 'n' });
  const unsigned = of(keys.stranger.privateKey).opening(instance);
  for (const wrong of [asService, asUser, proof, await unsigned, '', 'x'.repeat(10_000)])
    await expect(receiving.opener(`Bearer ${wrong}`, instance)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
  await expect(receiving.opener(undefined, instance)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
  await expect(of(undefined).opening(instance)).rejects.toThrow('no key');
});
