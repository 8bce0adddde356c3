/** What calls leave in the audit log, over both protocols. */
import {
  type Customer,
  CustomerQueryServiceService,
  CustomerServiceService,
} from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import { OrderServiceService, PlaceOrderRequest } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { DepositRequest, type Wallet, WalletServiceService } from '@caudal/contract/gen/caudal/payments/v1/wallets.ts';
import { TrackingPageQueryServiceService } from '@caudal/contract/gen/caudal/tracking/v1/links.ts';
import { CaudalError, refused, unavailable } from '@caudal/kernel/errors.ts';
import { until } from '@caudal/testing/until.ts';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { connect } from '../client/client.ts';
import { localClient } from '../client/local-client.ts';
import { openForwarder } from '../forward/forwarder.ts';
import { order, placeOrder, start, stopAll, token } from '../testing/fixture.ts';
import { grpcCalls } from '../testing/grpc-calls.ts';
import { type Call, type Service, service } from '../types.ts';
import type { AuditTrail, CallRecord } from './audit.ts';

const deposit = '/caudal.payments.v1.WalletService/Deposit';
const wallet: Wallet = {
  ...{ walletId: 'w-1', customerId: 'ada', frozen: false, etag: '', createTime: undefined, updateTime: undefined },
  balance: { minorUnits: 5n, currency: 'GBP' },
};
const customer: Customer = {
  ...{ customerId: 'ada', displayName: 'Ada', email: 'ada@example.com', country: 'GB', etag: '' },
  ...{ createTime: undefined, updateTime: undefined },
} as Customer;

let records: (CallRecord & { durable: boolean })[];
/** What has happened, in its order: `BEGUN` and `handler`. */
let happened: string[];
let failing: Error | undefined;
let behaviour: (call: Call) => Promise<void>;
const trail: AuditTrail = {
  async write(record) {
    // Not in the same turn of the loop, as a database.
    await new Promise((resolve) => setImmediate(resolve));
    if (failing) throw failing;
    records.push({ ...record, durable: true });
    happened.push(record.outcome);
  },
  note(record) {
    records.push({ ...record, durable: false });
    happened.push(record.outcome);
  },
};

function services(): Service[] {
  const moved = async (_: unknown, call: Call) => {
    happened.push('handler');
    await behaviour(call);
    // Deposits have no owner.
    if (call.method !== deposit) call.authorize('ada');
    call.wrote('payments.wallet/w-1', 7);
    return wallet;
  };
  const names = ['createWallet', 'deposit', 'withdraw', 'transfer', 'freezeWallet', 'unfreezeWallet'];
  return [
    {
      definition: WalletServiceService as never,
      handlers: Object.fromEntries(names.map((name) => [name, moved])) as never,
    },
    service(CustomerQueryServiceService, {
      getCustomer: async () => customer,
      getEmailVerification: async () => ({}) as never,
    }),
    service(CustomerServiceService, {
      registerCustomer: async () => customer,
      updateCustomer: async () => customer,
      eraseCustomer: async () => customer,
      requestEmailVerification: async () => ({}) as never,
      verifyEmail: async () => customer,
      markEmailVerified: async () => customer,
    }),
    service(OrderServiceService, {
      placeOrder: async () => order(),
      cancelOrder: async () => ({}) as never,
      returnOrder: async () => ({}) as never,
      settleReturn: async () => ({}) as never,
    }),
  ];
}

let server: Awaited<ReturnType<typeof start>>;
beforeEach(async () => {
  records = [];
  happened = [];
  failing = undefined;
  behaviour = async () => {};
  server = await start({ audit: trail }, services());
});
afterEach(stopAll);

/** Sends the same call over one of the protocols; returns the status or code of the answer. */
type Protocol = 'REST' | 'gRPC';
const protocols: Protocol[] = ['REST', 'gRPC'];

async function send(
  protocol: Protocol,
  {
    as,
    walletId = 'w-1',
    verb = 'deposit',
    headers = {},
  }: { as?: string; walletId?: string; verb?: 'deposit' | 'withdraw'; headers?: Record<string, string> },
): Promise<string> {
  if (protocol === 'REST') {
    const response = await fetch(`${server.url}/v1/wallets/${walletId}:${verb}`, {
      method: 'POST',
      headers: { ...(as && { authorization: `Bearer ${as}` }), 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ amount: { minorUnits: '5', currency: 'GBP' }, reference: 'from Ada' }),
    });
    const { reason = 'OK' } = (await response.json()) as { reason?: string };
    return reason;
  }
  const calls = grpcCalls(server.address);
  const request = { requestId: '', walletId, amount: { minorUnits: 5n, currency: 'GBP' }, reference: 'from Ada' };
  const bytes = DepositRequest.encode(request).finish();
  const path = verb === 'deposit' ? deposit : deposit.replace('Deposit', 'Withdraw');
  try {
    await calls.send(path, bytes, { ...(as && { as }), headers });
    return 'OK';
  } catch {
    return (await calls.refusal(path, bytes, { ...(as && { as }), headers: { ...headers, 'x-again': '1' } })).reason;
  } finally {
    calls.close();
  }
}

async function placeFor(protocol: Protocol, customerId: string, subject: string, permissions: string[]) {
  const as = await token(subject, permissions);
  const request = placeOrder({ customerId });
  if (protocol === 'gRPC') {
    const calls = grpcCalls(server.address);
    const bytes = PlaceOrderRequest.encode(request).finish();
    await calls.send(OrderServiceService.placeOrder.path, bytes, { as }).finally(calls.close);
    return;
  }
  const response = await fetch(`${server.url}/v1/orders`, {
    method: 'POST',
    headers: { authorization: `Bearer ${as}`, 'content-type': 'application/json' },
    body: JSON.stringify(PlaceOrderRequest.toJSON(request)),
  });
  expect([await response.json(), response.ok]).toEqual([expect.anything(), true]);
}

describe.each(protocols)('over %s', (protocol) => {
  test('an act is recorded before it is done, with who, from where, about what and why; then its outcome', async () => {
    const as = await token('operator', ['payments.wallets.deposit']);
    const headers = { 'x-audit-reason': 'ticket 17', 'x-request-id': 'call-1' };
    expect(await send(protocol, { as, headers })).toBe('OK');
    expect(happened).toEqual(['BEGUN', 'handler', 'OK']);
    const common = {
      ...{ kind: 'ACT', subject: 'operator', method: deposit.slice(1), resource: 'w-1', requestId: 'call-1' },
      ...{ reason: 'ticket 17', address: '127.0.0.1' },
    };
    expect(records).toEqual([
      expect.objectContaining({ ...common, outcome: 'BEGUN', durable: true, wrote: '' }),
      expect.objectContaining({ ...common, outcome: 'OK', durable: false, wrote: 'payments.wallet/w-1@7' }),
    ]);
    // Nothing of the request's own texts.
    expect(JSON.stringify(records)).not.toContain('from Ada');
  });

  test('an act that cannot be recorded is not done', async () => {
    failing = unavailable('PostgreSQL', new Error('away'));
    const as = await token('operator', ['payments.wallets.deposit']);
    expect(await send(protocol, { as })).toBe(failing instanceof CaudalError ? failing.reason : '');
    expect(happened).not.toContain('handler');
  });

  test('an act that is refused by its rules has an outcome', async () => {
    behaviour = async () => {
      throw refused('WALLET_FROZEN', 'It is frozen.');
    };
    const as = await token('operator', ['payments.wallets.deposit']);
    expect(await send(protocol, { as })).toBe('WALLET_FROZEN');
    expect(happened.slice(0, 3)).toEqual(['BEGUN', 'handler', 'WALLET_FROZEN']);
  });

  test("an act on the caller's own resource is recorded once, and waits for nothing", async () => {
    const as = await token('ada', ['payments.wallets.withdraw']);
    expect(await send(protocol, { as, verb: 'withdraw' })).toBe('OK');
    expect(records).toEqual([
      expect.objectContaining({ kind: 'ACT', subject: 'ada', outcome: 'OK', durable: false, bounded: true }),
    ]);
    records.length = 0;
    behaviour = async () => {
      throw refused('INSUFFICIENT_FUNDS', 'There is not enough.');
    };
    expect(await send(protocol, { as, verb: 'withdraw' })).toBe('INSUFFICIENT_FUNDS');
    expect(records).toEqual([]);
    behaviour = async () => {};
    const operator = await token('operator', ['payments.wallets.withdraw:any']);
    await send(protocol, { as: operator, verb: 'withdraw' });
    expect(records.map(({ outcome }) => outcome)).toEqual(['BEGUN', 'OK']);
  });

  test('a command for another owner that is no act is recorded once it is done, and not for services', async () => {
    const place = (subject: string, permissions: string[]) => placeFor(protocol, 'ada', subject, permissions);
    await place('ada', ['orders.orders.place']);
    await place('ada', ['orders.orders.place:any']);
    await place('service:orders', ['orders.orders.place:any']);
    expect(records).toEqual([]);
    await place('shop', ['orders.orders.place:any']);
    expect(records).toEqual([
      expect.objectContaining({
        ...{ kind: 'ACT', subject: 'shop', outcome: 'OK', durable: false, bounded: true },
        method: 'caudal.orders.v1.OrderService/PlaceOrder',
      }),
    ]);
  });

  test.each([
    ['no token', undefined, 'TOKEN_MISSING', ''],
    ['a wrong token', 'x.y.z', 'TOKEN_INVALID', ''],
    ['no permission', ['payments.wallets.read'], 'PERMISSION_MISSING', 'eve'],
  ])('a call with %s is a denial', async (_, given, reason, subject) => {
    const as = Array.isArray(given) ? await token('eve', given) : given;
    expect(await send(protocol, { ...(as && { as }) })).toBe(reason);
    expect(records[0]).toMatchObject({
      ...{ kind: 'DENIAL', subject, outcome: reason, method: deposit.slice(1), address: '127.0.0.1', durable: false },
    });
    expect(records.every(({ kind }) => kind === 'DENIAL')).toBe(true);
  });

  test("a call that asks for another's resource is a denial, too", async () => {
    const as = await token('eve', ['payments.wallets.withdraw']);
    expect(await send(protocol, { as, verb: 'withdraw' })).toBe('WALLET_NOT_FOUND');
    const denied = { subject: 'eve', resource: 'w-1', outcome: 'NOT_OWNER' };
    expect(records.filter(({ kind }) => kind === 'DENIAL')[0]).toMatchObject(denied);
  });

  test('a call for which there is no room is a denial', async () => {
    let leave = () => {};
    const busy = new Promise<void>((resolve) => {
      leave = resolve;
    });
    server = await start({ audit: trail, limits: { maxConcurrent: 1 } }, services());
    behaviour = () => busy;
    const as = await token('operator', ['payments.wallets.deposit']);
    const first = send(protocol, { as });
    await until(() => happened.includes('handler'));
    expect(await send(protocol, { as })).toBe('SERVER_BUSY');
    expect(records.find(({ kind }) => kind === 'DENIAL')).toMatchObject({ outcome: 'SERVER_BUSY' });
    leave();
    await first;
  });
});

test('a refused call without a token leaves nothing of what it names, which may be the secret that it is allowed by', async () => {
  const pages = service(TrackingPageQueryServiceService, {
    async showTrackingPage() {
      throw new CaudalError('RESOURCE_EXHAUSTED', 'POOL_EXHAUSTED', 'All connections are in use.');
    },
  });
  const { url } = await start({ audit: trail }, [pages]);
  expect((await fetch(`${url}/track/the-secret`)).status).toBe(429);
  expect(records).toEqual([expect.objectContaining({ kind: 'DENIAL', outcome: 'POOL_EXHAUSTED', resource: '' })]);
  expect(JSON.stringify(records)).not.toContain('the-secret');
});

test('over REST, the refusal of a body is a denial of its caller, too', async () => {
  server = await start({ audit: trail, limits: { maxMessageBytes: 10_000 } }, services());
  const as = await token('shop', ['orders.orders.place']);
  const response = await fetch(`${server.url}/v1/orders`, {
    method: 'POST',
    headers: { authorization: `Bearer ${as}`, 'content-type': 'application/json', 'x-audit-reason': 'T-1' },
    body: JSON.stringify({ reference: 'x'.repeat(10_000) }),
  });
  expect([response.status, ((await response.json()) as { reason: string }).reason]).toEqual([413, 'REQUEST_TOO_LARGE']);
  expect(records).toEqual([
    expect.objectContaining({
      ...{ kind: 'DENIAL', subject: 'shop', method: 'caudal.orders.v1.OrderService/PlaceOrder' },
      ...{ outcome: 'REQUEST_TOO_LARGE', address: '127.0.0.1', reason: 'T-1' },
    }),
  ]);
});

test('a deadline answers the caller; the record says how the work ended', async () => {
  let leave = () => {};
  behaviour = () =>
    new Promise<void>((resolve) => {
      leave = resolve;
    });
  const as = await token('operator', ['payments.wallets.deposit']);
  const response = await fetch(`${server.url}/v1/wallets/w-1:deposit`, {
    method: 'POST',
    headers: { authorization: `Bearer ${as}`, 'content-type': 'application/json', 'x-request-timeout': '1' },
    body: JSON.stringify({ amount: { minorUnits: '5', currency: 'GBP' } }),
    signal: AbortSignal.timeout(200),
  }).catch((error: Error) => error.name);
  expect(response).toBe('TimeoutError');
  expect(records.map(({ outcome }) => outcome)).toEqual(['BEGUN']);
  leave();
  await until(() => records.length === 2);
  expect(records[1]).toMatchObject({ kind: 'ACT', outcome: 'OK', wrote: 'payments.wallet/w-1@7' });
});

describe('personal data', () => {
  const get = async (as: string) => {
    const response = await fetch(`${server.url}/v1/customers/ada`, { headers: { authorization: `Bearer ${as}` } });
    await response.text();
    return response.status;
  };

  test("of others: each read is recorded, also a service's over the network", async () => {
    for (const subject of ['operator', 'service:notifications']) {
      expect(await get(await token(subject, ['customers.customers.read:any']))).toBe(200);
      expect(records.at(-1)).toMatchObject({
        kind: 'PERSONAL',
        subject,
        resource: 'ada',
        outcome: 'OK',
        durable: false,
      });
    }
    const client = connect(CustomerQueryServiceService, {
      address: server.address,
      auth: () => token('operator', ['customers.customers.read:any']),
    });
    await client.getCustomer({ customerId: 'ada' } as never);
    client.close();
    expect(records).toHaveLength(3);
  });

  test("one's own: a read is not recorded", async () => {
    expect(await get(await token('ada', ['customers.customers.read']))).toBe(200);
    expect(records).toEqual([]);
  });

  test('calls inside the process are not recorded', async () => {
    const local = localClient(CustomerQueryServiceService, services(), {
      subject: 'service:orders',
      permissions: new Set(['customers.customers.read:any']),
    });
    await local.getCustomer({ customerId: 'ada' } as never);
    expect(records).toEqual([]);
  });
});

test('a stream of forwarded calls by others than services is a denial', async () => {
  const forwarder = openForwarder({ token: () => token('eve', ['calls.forward']) });
  server = await start(
    { audit: trail, forwarding: { instance: 'owner', address: '', forwarder, ownedMs: () => 0 } },
    services(),
  );
  const { Client, credentials, Metadata } = await import('@grpc/grpc-js');
  const client = new Client(server.address, credentials.createInsecure());
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${await token('eve', ['calls.forward'])}`);
  const same = (value: Buffer) => value;
  const stream = client.makeBidiStreamRequest('/caudal.forward.v1.ForwardService/Forward', same, same, metadata);
  const error = await new Promise<Error>((resolve) => stream.on('error', resolve));
  expect(error.message).toContain('services may forward');
  expect(records).toEqual([
    expect.objectContaining({ kind: 'DENIAL', subject: 'eve', outcome: 'INTERNAL_METHOD', address: '127.0.0.1' }),
  ]);
  client.close();
  await forwarder.stop();
});
