/**
 * Ids tell a caller nothing of the resources of others, names of shops and orders do not meet, and tokens can't be made up:
 * docs/ids.md. The methods are those of the contract, so a new one is tested without further work.
 */
import { createHash } from 'node:crypto';
import { contract, type MethodContract } from '@caudal/contract/descriptors.ts';
import { jsonToBytes } from '@caudal/rpc/rest/transcode.ts';
import { maskedMessage } from '@caudal/rpc/schema/mask.ts';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Json, Reply } from './api.ts';
import { type GrpcCaller, openGrpc } from './grpc.ts';
import { goodRequest, type Known } from './requests.ts';
import { type System, startSystem } from './system.ts';
import { systemTest } from './system-test.ts';
import { until } from './wait.ts';
import {
  deliver,
  newCustomer,
  newProduct,
  orderAt,
  orderConfirmed,
  orderOf,
  parcelOf,
  placeOrder,
  pounds,
  stockOf,
  unique,
} from './world.ts';

const publicMethods = contract()
  .methods()
  .filter(({ access, http }) => access.permission && !access.internal && http.length > 0);
const ownedMethods = publicMethods.filter(({ access }) => access.ownerInResource);
const named = (methods: MethodContract[]) => methods.map((method) => [method.name, method] as const);
const hasField = ({ request }: MethodContract, name: string) => request.fields.some((field) => field.name === name);

let system: System;
let grpc: GrpcCaller;
/** Ids of resources of other owners. */
let known: Known;
let productId: string;
const it = systemTest(() => system);

beforeAll(async () => {
  system = await startSystem({ form: 'embedded' });
  grpc = openGrpc(system.part('all').grpc);
  const { api } = system;
  productId = await newProduct(api, { quantity: 1_000 });
  const customer_id = await newCustomer(api);
  const { orderId } = await placeOrder(api, { customerId: customer_id, productId });
  await orderConfirmed(api, orderId);
  await deliver(api, orderId);
  await orderAt(api, orderId, 'DELIVERED');
  await api.call('GetPaymentStatus', { paymentId: orderId });
  const scope = { owner: customer_id, permissions: ['orders.orders.read'] };
  const { body: key } = await api.call('CreateApiKey', { ...scope, displayName: 'Shop' });
  known = {
    api_key_id: key.apiKeyId,
    owner: customer_id,
    permissions: 'orders.orders.read',
    product_id: productId,
    customer_id,
    wallet_id: customer_id,
    to_wallet_id: customer_id,
    order_id: orderId,
    payment_id: orderId,
    shipment_id: orderId,
    ...(await parcelOf(api, orderId)),
    guest_token: 'g'.repeat(43),
  };
}, 120_000);
afterAll(async () => {
  grpc?.close();
  await system?.stop();
}, 60_000);

/** Of the same length as that of another owner, so that the answers have it. */
const absent = (id: string) => `${id.slice(0, -4)}none`;

/** Everything of an answer that a caller sees, without the ids of request and call, and how many calls it has left. */
function seen({ status, headers, body }: Reply, id: string): Json {
  const ignored = new Set(['x-request-id', 'date', 'keep-alive', 'ratelimit']);
  return {
    status,
    headers: [...headers].filter(([name]) => !ignored.has(name)),
    body: JSON.parse(JSON.stringify({ ...body, instance: '' }).replaceAll(id, 'ID')),
  };
}

const resourceOf = ({ http }: MethodContract) => /\{(\w+)\}/.exec(http[0]!.template)![1]!;

test('methods with an owner are tested', () => {
  expect(ownedMethods.length).toBeGreaterThan(5);
});

describe.each(named(ownedMethods))('%s: a resource of another owner is like none', (name, method) => {
  const field = resourceOf(method);
  const stranger = (subject = 'mallory') => system.token({ subject, permissions: [method.access.permission] });
  const requests = () => {
    const id = known[field]!;
    return [id, absent(id)].map((one) => ({ id: one, request: goodRequest(method, { ...known, [field]: one }) }));
  };

  it('over REST, whatever else the request says, however often it is asked', async () => {
    const mallory = system.api.as(await stranger());
    const { token } = await system.api.call('Restock', { productId, quantity: '1' });
    const [masked] = maskedMessage(method.response).fields;
    const ways: { fields?: Json; after?: string; headers?: Record<string, string> }[] = [
      {},
      { after: token },
      ...['"1"', '"2-Qm5zX2bV"', '"99"'].flatMap((etag) =>
        hasField(method, 'etag') ? [{ headers: { 'if-match': etag } }] : [],
      ),
      ...(hasField(method, 'read_mask') ? [{ fields: { readMask: masked!.jsonName } }] : []),
      ...(hasField(method, 'page_token') ? [{ fields: { pageToken: 'x' } }, { fields: { pageSize: 1 } }] : []),
      ...(hasField(method, 'at_time') ? [{ fields: { atTime: '2020-01-01T00:00:00Z' } }] : []),
      ...(hasField(method, 'request_id') ? [{ headers: { 'idempotency-key': 'again' } }] : []),
      ...(method.response.fields.some(({ name: field }) => field === 'etag') && method.noSideEffects
        ? [{ headers: { 'if-none-match': '"1"' } }]
        : []),
    ];
    for (const { fields, ...options } of ways) {
      const answers: Json[] = [];
      for (const _ of [1, 2])
        for (const { id, request } of requests())
          answers.push(seen(await mallory.send(name, { ...request, ...fields }, options), id));
      expect([fields, options, answers[0].status]).toEqual([fields, options, 404]);
      for (const answer of answers) expect(answer).toEqual(answers[0]);
    }
  });

  it('over gRPC', async () => {
    const token = await stranger();
    const answers = [];
    for (const { id, request } of requests()) {
      const error = await grpc.refusal(method.path, jsonToBytes(method.request, request), token);
      const { code, reason, message, violations, metadata, retryAfterMs } = error!;
      const text = JSON.stringify({ code, reason, message, violations, metadata, retryAfterMs });
      answers.push(text.replaceAll(id, 'ID'));
    }
    expect(answers[0]).toContain('"code":"NOT_FOUND"');
    expect(answers[1]).toBe(answers[0]);
  });

  it('and malformed requests are refused before that, in the same way', async () => {
    const mallory = system.api.as(await stranger());
    if (!method.http[0]!.body) return;
    const answers = [];
    for (const { id, request } of requests())
      answers.push(seen(await mallory.send(name, { ...request, noSuchField: 1 }), id));
    expect(answers[0].status).toBe(400);
    expect(answers[1]).toEqual(answers[0]);
  });

  it('while its owner, and who may use all, get what there is', async () => {
    const request = goodRequest(method, known);
    const owner = system.api.as(await stranger(known.customer_id!));
    expect((await owner.send(name, request)).status).not.toBe(404);
    const all = await system.token({ subject: 'staff', permissions: [`${method.access.permission}:any`] });
    expect((await system.api.as(all).send(name, request)).status).not.toBe(404);
  });
});

describe.each(named(publicMethods.filter(({ access }) => access.ownerField)))(
  '%s: another owner is refused, whether it exists or not',
  (name, method) => {
    it('over REST and gRPC', async () => {
      const token = await system.token({ subject: 'mallory', permissions: [method.access.permission] });
      const field = method.access.ownerField!;
      const rest = [];
      const rpc = [];
      for (const id of [known[field]!, absent(known[field]!)]) {
        const request = goodRequest(method, { ...known, [field]: id, order_id: unique('o') });
        rest.push(seen(await system.api.as(token).send(name, request), id));
        const error = await grpc.refusal(method.path, jsonToBytes(method.request, request), token);
        rpc.push(JSON.stringify([error!.code, error!.reason, error!.message, error!.metadata]).replaceAll(id, 'ID'));
      }
      expect(rest[0]).toMatchObject({ status: 403, body: { reason: 'NOT_OWNER' } });
      expect(rest[1]).toEqual(rest[0]);
      expect(rpc[1]).toBe(rpc[0]);
    });
  },
);

describe('commands that name resources of others', () => {
  it('an order under an id that is taken is refused in the same words, whoever has it, before all else', async () => {
    const mine = await newCustomer(system.api);
    const buyer = system.api.as(await system.token({ subject: mine, permissions: ['orders.orders.place'] }));
    const { orderId } = await placeOrder(buyer, { customerId: mine, productId });
    const answers = [];
    for (const id of [orderId, known.order_id!])
      for (const product of [productId, 'no-such-product'])
        for (const card of ['tok_approved', undefined]) {
          const request = { ...orderOf({ customerId: mine, productId: product, card }), orderId: id };
          answers.push(seen(await buyer.send('PlaceOrder', request), id));
        }
    expect(answers[0]).toMatchObject({ status: 409, body: { reason: 'ORDER_EXISTS' } });
    for (const answer of answers) expect(answer.body).toEqual({ ...answers[0].body });
    // Capitals count, and a name with a dot is another one.
    for (const id of [orderId.toUpperCase(), `${orderId}.1`, `${orderId}.`, `${orderId}.1.1`])
      expect(
        (await buyer.send('PlaceOrder', { ...orderOf({ customerId: mine, productId }), orderId: id })).status,
      ).toBeLessThan(300);
  });

  it('a wallet under an id that is taken', async () => {
    const mine = await newCustomer(system.api, 0);
    const buyer = system.api.as(await system.token({ subject: mine, permissions: ['payments.wallets.write'] }));
    const answers = [];
    for (const walletId of [mine, known.wallet_id!])
      for (const currency of ['GBP', 'EUR'])
        answers.push(seen(await buyer.send('CreateWallet', { walletId, customerId: mine, currency }), walletId));
    expect(answers[0]).toMatchObject({ status: 409, body: { reason: 'WALLET_EXISTS' } });
    for (const answer of answers) expect(answer.body).toEqual(answers[0].body);
  });

  it('an order that is paid from a wallet of another owner is rejected as if there were none', async () => {
    const mine = await newCustomer(system.api);
    const foreign = [known.wallet_id!, 'no-such-wallet'];
    const euro = unique('euro');
    await system.api.call('CreateWallet', { walletId: euro, customerId: known.customer_id, currency: 'EUR' });
    const reasons = [];
    for (const walletId of [...foreign, euro]) {
      const request = { ...orderOf({ customerId: mine, productId }), paymentMethod: { walletId } };
      await system.api.call('PlaceOrder', request);
      const order = await orderAt(system.api, request.orderId, 'REJECTED');
      reasons.push([order.reason, order.payment?.status]);
    }
    expect(reasons).toEqual(Array(3).fill(['WALLET_NOT_FOUND', 'failed']));
  });

  it('an order from a wallet of another owner, and its cancellation, leave that wallet as it was', async () => {
    const mine = await newCustomer(system.api);
    const before = (await system.api.call('GetWallet', { walletId: known.wallet_id })).body;
    const request = { ...orderOf({ customerId: mine, productId }), paymentMethod: { walletId: known.wallet_id } };
    await system.api.call('PlaceOrder', request);
    await system.api.send('CancelOrder', { orderId: request.orderId });
    await ended(request.orderId);
    expect((await system.api.call('GetWallet', { walletId: known.wallet_id })).body).toEqual(before);
  });

  it('a transfer to a wallet that can not take it is refused in the same words, whatever the reason', async () => {
    const mine = await newCustomer(system.api, 1_000);
    const [euro, frozen] = [unique('euro'), await newCustomer(system.api)];
    await system.api.call('CreateWallet', { walletId: euro, customerId: 'somebody', currency: 'EUR' });
    await system.api.call('FreezeWallet', { walletId: frozen, reason: 'test' });
    const buyer = system.api.as(await system.token({ subject: mine, permissions: ['payments.wallets.transfer'] }));
    const answers = [];
    for (const toWalletId of [euro, frozen, 'no-such-wallet'])
      answers.push(
        seen(
          await buyer.send('Transfer', { walletId: mine, toWalletId, amount: pounds(1), reference: 'x' }),
          toWalletId,
        ),
      );
    expect(answers[0]).toMatchObject({ status: 400, body: { reason: 'RECEIVER_UNAVAILABLE' } });
    for (const answer of answers) expect(answer.body).toEqual(answers[0].body);
    // Who may use all wallets learns why.
    const detailed = await system.api.send('Transfer', {
      walletId: mine,
      toWalletId: frozen,
      amount: pounds(1),
      reference: 'x',
    });
    expect(detailed.body.reason).toBe('WALLET_FROZEN');
    // A sender who may not transfer learns that, and nothing of the receiver.
    const poor = await newCustomer(system.api, 0);
    const beggar = system.api.as(await system.token({ subject: poor, permissions: ['payments.wallets.transfer'] }));
    for (const toWalletId of [euro, frozen, mine, 'no-such-wallet']) {
      const reply = await beggar.send('Transfer', { walletId: poor, toWalletId, amount: pounds(1), reference: 'x' });
      expect(reply.body.reason).toBe('INSUFFICIENT_FUNDS');
    }
  });
});

/** Waits until the order is rejected or cancelled. */
const ended = (orderId: string): Promise<Json> =>
  until(
    `the end of ${orderId}`,
    async () => (await system.api.send('GetOrder', { orderId })).body,
    ({ status }) => /REJECTED|CANCELLED/.test(status ?? ''),
  );

describe('reservations of shops and orders under one name', () => {
  it('an order does not take over what a shop holds, and both get their pieces', async () => {
    const { api } = system;
    const product = await newProduct(api, { quantity: 10 });
    const customerId = await newCustomer(api, 100_000);
    const shop = api.as(await system.token({ subject: 'shop', permissions: ['inventory.stock.reserve'] }));
    const order = orderOf({ customerId, productId: product, quantity: 3 });
    const reservationId = `${order.orderId}.1`;
    const lines = [{ productId: product, quantity: '3' }];
    expect((await shop.call('ReserveStock', { reservationId, lines })).body.reservationId).toBe(reservationId);
    await api.call('PlaceOrder', order);
    await orderConfirmed(api, order.orderId);
    expect(await stockOf(api, product)).toMatchObject({ onHand: '7', reserved: '3' });
    expect((await shop.call('CommitReservation', { reservationId, lines })).body.reservationId).toBe(reservationId);
    const { token } = await shop.call('ReturnStock', { reservationId, lines: [{ productId: product, quantity: '1' }] });
    expect(await stockOf(api, product, token)).toMatchObject({ onHand: '5', reserved: '0' });
    await api.call('CancelOrder', { orderId: order.orderId });
    await orderAt(api, order.orderId, 'CANCELLED');
    expect((await stockOf(api, product)).onHand).toBe('8');
  });

  it('a shop whose reserve was refused does not end what an order has', async () => {
    const { api } = system;
    const product = await newProduct(api, { quantity: 3 });
    const customerId = await newCustomer(api, 100_000);
    const order = orderOf({ customerId, productId: product, quantity: 3 });
    const reservationId = `${order.orderId}.1`;
    await api.call('PlaceOrder', order);
    await orderConfirmed(api, order.orderId);
    const shop = api.as(await system.token({ subject: 'shop', permissions: ['inventory.stock.reserve'] }));
    const lines = [{ productId: product, quantity: '3' }];
    const refused = await shop.send('ReserveStock', { reservationId, lines });
    expect(refused).toMatchObject({ status: 400, body: { reason: 'INSUFFICIENT_STOCK' } });
    const { token } = await shop.call('ReleaseReservation', { reservationId, lines, reason: 'clean up' });
    expect(await stockOf(api, product, token)).toMatchObject({ onHand: '0', reserved: '0' });
    const barred = await shop.send('ReserveStock', { reservationId, lines });
    expect(JSON.stringify(barred.body)).not.toContain('~');
  });
});

const lists = publicMethods.filter((method) => hasField(method, 'page_token'));

describe.each(named(lists))('%s: a page token that was not sealed here is refused', (name, method) => {
  const base64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const far = ['+275760-09-13T00:00:00.000Z', '-000001-01-01T00:00:00.000Z', '0000-01-01T00:00:00.000Z', 'x', '', null];
  const texts = ['\u0000', 'a\u0000b', '\ud800', '\u202e', 'x'.repeat(2_000), '', { $gt: '' }, ['x'], 1e308, -1, true];
  const values = [...far, ...texts];
  const made = [
    ...['x', '!', '\u0000', 'A'.repeat(4_000), 'W10', 'e30', 'bnVsbA', '%00', ' ', 'ł', '..', '-', '_'],
    ...values.flatMap((value) => [
      base64(['print', 1, [value], 'id']),
      base64(['print', 1, [value, value], 'id', 'create_time desc']),
      base64(['print', 1, ['x'], value]),
      base64(['print', value, ['x'], 'id']),
      base64([value, 1, ['x'], 'id', value]),
      base64(value),
    ]),
  ].filter((token) => token !== '');

  it('over REST and gRPC', async () => {
    const request = goodRequest(method, known);
    const staff = await system.token({ subject: 'staff' });
    for (const pageToken of made) {
      const reply = await system.api.as(staff).send(name, { ...request, pageToken });
      expect([pageToken, reply.status, reply.body.violations?.[0]?.field]).toEqual([pageToken, 400, 'page_token']);
      const bytes = jsonToBytes(method.request, { ...request, pageToken: pageToken.toWellFormed() });
      const error = await grpc.refusal(method.path, bytes, staff);
      expect([pageToken, error?.code, error?.violations[0]?.field]).toEqual([
        pageToken,
        'INVALID_ARGUMENT',
        'page_token',
      ]);
    }
  });
});

describe('tokens', () => {
  it('a page token is for its list and owner only, and no bit of it can be changed', async () => {
    const walletId = await newCustomer(system.api, 5);
    const other = await newCustomer(system.api, 5);
    for (const id of [walletId, other])
      for (const _ of [1, 2]) await system.api.call('Deposit', { walletId: id, amount: pounds(1) });
    const { token } = await system.api.call('Deposit', { walletId, amount: pounds(1) });
    const list = { walletId, pageSize: 1 };
    const { nextPageToken } = (await system.api.call('ListTransactions', list, { after: token })).body;
    expect((await system.api.send('ListTransactions', { ...list, pageToken: nextPageToken })).status).toBe(200);
    const refusals: [string, Json][] = [
      ['ListTransactions', { ...list, walletId: other, pageToken: nextPageToken }],
      ['ListTransactions', { ...list, orderBy: 'create_time', pageToken: nextPageToken }],
      ['ListWallets', { pageToken: nextPageToken }],
      ['ListOrders', { pageToken: nextPageToken }],
      ['ListTransactions', { ...list, pageToken: token }],
    ];
    const bytes = Buffer.from(nextPageToken, 'base64url');
    for (let place = 0; place < bytes.length; place += 5) {
      const changed = Buffer.from(bytes);
      changed[place]! ^= 1;
      refusals.push(['ListTransactions', { ...list, pageToken: changed.toString('base64url') }]);
    }
    for (const [name, request] of refusals) {
      const reply = await system.api.send(name, request);
      expect([name, request, reply.status, reply.body.violations?.[0]?.field]).toEqual([
        name,
        request,
        400,
        'page_token',
      ]);
    }
    expect(bytes.toString('latin1')).not.toContain(walletId);
  });

  it('a consistency token that was made up makes no query wait, and tells no version', async () => {
    const forged = (...pairs: unknown[]) => Buffer.from(JSON.stringify(pairs)).toString('base64url');
    const order = `orders.order/${known.order_id}`;
    const ways = [
      [order, 2 ** 31 - 1],
      [order, 1_000, 5],
      ['orders.order/none', 3],
      ['payments.wallet/none', 1],
    ];
    const replies = [];
    for (const pair of ways) {
      const since = performance.now();
      const reply = await system.api.send('GetOrder', { orderId: known.order_id }, { after: forged(pair) });
      replies.push([reply.status, performance.now() - since < 1_500]);
    }
    expect(replies).toEqual(ways.map(() => [200, true]));
    const { token } = await system.api.call('Restock', { productId, quantity: '1' });
    expect(Buffer.from(token!, 'base64url').toString()).not.toContain(productId);
    const outer = JSON.parse(Buffer.from(token!, 'base64url').toString()) as [string, number][];
    for (const changed of [
      outer.map(([stream]) => [`${stream.slice(0, -2)}AA`, 1]),
      outer.map(([stream]) => [stream, 2]),
      [...outer, [order, 2]],
    ]) {
      const reply = await system.api.send('GetOrder', { orderId: known.order_id }, { after: forged(...changed) });
      expect(reply).toMatchObject({ status: 400, body: { reason: 'INVALID_CONSISTENCY_TOKEN' } });
    }
  });

  it("a product's etag does not tell the version of its stock", async () => {
    const { etag } = (await system.api.call('GetProduct', { productId })).body;
    const digest = (version: number) =>
      createHash('sha256')
        .update(JSON.stringify([[`inventory.stock/${productId}`, version]]))
        .digest('base64url')
        .slice(0, 8);
    const tried = Array.from({ length: 2_000 }, (_, version) => digest(version));
    expect(tried).not.toContain(etag.split('-')[1]);
  });
});
