/**
 * Callers of a system of processes in which each has a key of its own: users, services and API keys are known, and what is
 * withdrawn or revoked ends in all processes within a minute.
 */
import { createPrivateKey, type JsonWebKey, sign } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { contract } from '@caudal/contract/descriptors.ts';
import { ProductEvent } from '@caudal/contract/gen/caudal/catalog/v1/events.ts';
import { LogServiceService } from '@caudal/contract/gen/caudal/log/v1/log.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { openBroker } from '@caudal/messaging/rabbitmq/connection.ts';
import { toMessages } from '@caudal/messaging/rabbitmq/envelope.ts';
import { openPublisher } from '@caudal/messaging/rabbitmq/publisher.ts';
import { exchangeName } from '@caudal/messaging/rabbitmq/topology.ts';
import { openSealer } from '@caudal/messaging/seals/sealer.ts';
import { connect } from '@caudal/rpc/client/client.ts';
import { generateKey, type Key, signToken } from '@caudal/rpc/server/tokens.ts';
import { describeWith } from '@caudal/testing/describe-with.ts';
import { serverUrl } from '@caudal/testing/servers.ts';
import { afterAll, beforeAll, expect } from '@jest/globals';
import { type GrpcCaller, openGrpc } from './grpc.ts';
import { freePorts } from './part.ts';
import { type System, startSystem } from './system.ts';
import { systemTest } from './system-test.ts';
import { until } from './wait.ts';
import { newCustomer, newProduct, orderConfirmed, placeOrder, unique } from './world.ts';

const minuteMs = 60_000;

describeWith(['postgres', 'rabbitmq', 'mongodb', 'elasticsearch', 'redis'], 'callers of processes', () => {
  const folder = mkdtempSync(join(tmpdir(), 'caudal-identity-'));
  const usersFile = join(folder, 'users.json');
  const parts = ['command', 'query', 'relay', 'projector', 'saga'];
  let system: System;
  let users: Key;
  let leaving: Key;
  let workloads: Record<string, Key>;
  let metricsPort: number;
  let ports: Record<'command' | 'query', GrpcCaller>;

  const writeUsers = (...keys: Key[]) =>
    writeFileSync(usersFile, JSON.stringify({ keys: keys.map(({ publicKey }) => publicKey) }));
  const signed = (key: Key, subject: string, permissions: string[], ttlSeconds = 600) =>
    signToken({ key: key.privateKey, issuer: 'caudal', audience: 'caudal', subject, permissions, ttlSeconds });

  /** A token with any payload. */
  function signedRaw({ privateKey }: Key, payload: object): string {
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const content = `${part({ alg: 'EdDSA', kid: privateKey.kid })}.${part(payload)}`;
    const key = createPrivateKey({ key: privateKey as JsonWebKey, format: 'jwk' });
    return `${content}.${sign(null, Buffer.from(content), key).toString('base64url')}`;
  }

  beforeAll(async () => {
    [users, leaving] = [await generateKey('users'), await generateKey('leaving')];
    workloads = Object.fromEntries(
      await Promise.all(parts.map(async (name) => [name, await generateKey(name)] as const)),
    );
    writeUsers(users, leaving);
    const bound = (name: string, ...contexts: string[]) => ({
      ...workloads[name]!.publicKey,
      caudal_contexts: contexts,
      caudal_roles: name === 'command' ? ['command', 'jobs'] : [name],
    });
    const set = { keys: parts.map((name) => bound(name, '*')) };
    // One that is bound to a single context, as the saga of orders has in the preset production.
    workloads.orders = await generateKey('orders');
    set.keys.push({ ...bound('orders', 'orders'), caudal_roles: ['saga'] });
    [metricsPort] = (await freePorts(1)) as [number];
    system = await startSystem({
      form: 'processes',
      env: (part) => ({
        CAUDAL_JWKS: pathToFileURL(usersFile).href,
        CAUDAL_SERVICE_JWKS: JSON.stringify(set),
        CAUDAL_SERVICE_KEY: JSON.stringify(workloads[part]!.privateKey),
        CAUDAL_CREDENTIALS: 'required',
        ...(part === 'projector' && { CAUDAL_METRICS_PORT: String(metricsPort) }),
      }),
    });
    ports = { command: openGrpc(system.part('command').grpc), query: openGrpc(system.part('query').grpc) };
  }, 180_000);
  afterAll(async () => {
    for (const port of Object.values(ports ?? {})) port.close();
    await system?.stop();
    rmSync(folder, { recursive: true });
  }, 60_000);
  const it = systemTest(() => system);

  const everything = () => [
    ...new Set(
      contract()
        .methods()
        .filter(({ access }) => access.authentication === 'TOKEN')
        .map(({ access }) => `${access.permission}:any`),
    ),
  ];
  const asUser = async (subject: string, permissions = everything(), key = users) =>
    system.api.as(await signed(key, subject, permissions));
  /** Whether the caller is known to the process of this role, by its answer to a call that needs no right. */
  const statusAt = async (role: 'command' | 'query', credential: string) => {
    const path = role === 'query' ? '/v1/orders/none' : '/v1/orders/none:cancel';
    const init =
      role === 'query' ? {} : { method: 'POST', body: '{}', headers: { 'content-type': 'application/json' } };
    return (await system.api.as(credential).raw(role, path, init)).status;
  };
  const refusedEverywhere = (what: string, credential: string) =>
    until(
      `${what} is refused by all processes`,
      async () => [await statusAt('command', credential), await statusAt('query', credential)],
      (statuses) => statuses.every((status) => status === 401),
      minuteMs,
    );

  it('an order runs through all processes, whose calls are signed with their own keys', async () => {
    const api = await asUser('shop');
    const [customerId, productId] = [await newCustomer(api), await newProduct(api)];
    const { orderId } = await placeOrder(api, { customerId, productId });
    await orderConfirmed(api, orderId);
  });

  it('messages of the relay are believed, and those of whoever has an account of the broker are not', async () => {
    const api = await asUser('shop');
    const productId = await newProduct(api);
    const reasons = async () => {
      const metrics = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
      return [...metrics.matchAll(/^messages_not_sealed_total\{.*reason="(\w+)"/gm)]
        .map(([, reason]) => reason!)
        .sort();
    };
    expect(await reasons()).toEqual([]);

    const broker = openBroker({ url: serverUrl('rabbitmq'), prefix: `${system.stores!.namespace}.`, name: 'stranger' });
    const publisher = openPublisher({ broker, purpose: 'stranger', prepare: async () => {} });
    const forged = [2, 3, 4].map((version) => ({
      ...{ eventId: newId(), type: 'catalog.product.discontinued.v1', schemaVersion: 1, metadata: Buffer.alloc(0) },
      ...{ stream: `catalog.product/${productId}`, version, position: 1_000_000 + version, recordedAt: new Date() },
      data: ProductEvent.encode({ event: { $case: 'discontinued', value: {} } }).finish(),
    }));
    const to = { exchange: exchangeName('catalog', broker.prefix) };
    // A pod that is no relay has a key, too.
    const key = createPrivateKey({ key: workloads.query!.privateKey as JsonWebKey, format: 'jwk' });
    const ofQuery = openSealer({
      keyId: workloads.query!.privateKey.kid!,
      sign: (bytes) => sign(null, bytes, key),
    });
    await publisher.publish(toMessages(forged, to, undefined));
    await publisher.publish(toMessages(forged, to, ofQuery));
    await publisher.close();
    await broker.close();
    await until('both were seen', reasons, (seen) => new Set(seen).size === 2);
    expect(new Set(await reasons())).toEqual(new Set(['none', 'unknown_key']));

    const changed = await api.call('UpdateProduct', { productId, title: 'True lamp' });
    const product = (await api.call('GetProduct', { productId }, { after: changed.token })).body;
    expect([product.title, product.discontinued ?? false]).toEqual(['True lamp', false]);
  });

  it("the users' issuer makes no services, and a key of a workload only those of its contexts", async () => {
    const codeFor = async (key: Key, subject: string, permission: string, domain: string) => {
      const client = connect(LogServiceService, {
        address: system.part('command').grpc,
        auth: () => signed(key, subject, [permission]),
      });
      try {
        await client.heads({ domain, afterPosition: 0n, minAgeMillis: 0, limit: 1, bare: true });
        return 'OK';
      } catch (error) {
        return (error as { code: string }).code;
      } finally {
        client.close();
      }
    };
    const read = 'log.events.read';
    expect(await codeFor(users, 'service:orders', `${read}:payments`, 'payments')).toBe('UNAUTHENTICATED');
    const orders = workloads.orders!;
    expect(await codeFor(orders, 'service:orders', `${read}:payments`, 'payments')).toBe('OK');
    // As processes of version 0.2 ask.
    expect(await codeFor(orders, 'service:orders', read, 'payments')).toBe('OK');
    for (const permission of [read, `${read}:inventory`, `${read}:any`])
      expect(await codeFor(orders, 'service:orders', permission, 'inventory')).toBe('PERMISSION_DENIED');
    for (const subject of ['service:notifications', 'service:admin', 'alice'])
      expect(await codeFor(orders, subject, `${read}:orders`, 'orders')).toBe('UNAUTHENTICATED');
  });

  it('tokens that live too long, and a sub that is no text, are 401', async () => {
    const tooLong = await signed(users, 'alice', everything(), 25 * 3_600);
    const payload = { iss: 'caudal', aud: 'caudal', exp: Math.floor(Date.now() / 1000) + 60, scope: 'a.b.c' };
    const numeric = [17, -1, 1e21, true, null, {}, ['alice']].map((sub) => signedRaw(users, { ...payload, sub }));
    for (const role of ['command', 'query'] as const)
      for (const credential of [tooLong, ...numeric]) expect(await statusAt(role, credential)).toBe(401);
  });

  it('an API key is made, used over REST and gRPC in all processes, listed, rotated and revoked', async () => {
    const owner = await newCustomer(await asUser('shop'));
    const api = await asUser(owner, ['credentials.keys.write', 'credentials.keys.read', 'orders.orders.read']);
    const scope = { owner, displayName: 'Shop server', permissions: ['orders.orders.read'] };
    const exceeding = await api.send('CreateApiKey', { ...scope, permissions: ['orders.orders.read:any'] });
    expect(exceeding).toMatchObject({ status: 403, body: { reason: 'SCOPE_EXCEEDED' } });
    const made = await api.call('CreateApiKey', scope);
    expect(made.status).toBe(201);
    expect(made.headers.get('location')).toBe(`/v1/apiKeys/${made.body.apiKeyId}`);
    const { apiKeyId, secret } = made.body;

    const withKey = system.api.as(secret);
    expect((await withKey.call('ListOrders', { customerId: owner })).body.orders).toEqual([]);
    expect(await withKey.send('ListOrders', { customerId: 'other' })).toMatchObject({ status: 403 });
    expect(await withKey.send('ListWallets', { customerId: owner })).toMatchObject({
      ...{ status: 403, body: { reason: 'PERMISSION_MISSING' } },
    });
    for (const [role, path] of [
      ['query', '/caudal.payments.v1.WalletQueryService/ListWallets'],
      ['command', '/caudal.orders.v1.OrderService/CancelOrder'],
    ] as const)
      expect((await ports[role].refusal(path, new Uint8Array(), secret))?.code).toBe('PERMISSION_DENIED');

    const listed = await api.call('ListApiKeys', { owner }, { after: made.token });
    expect(listed.body.apiKeys).toMatchObject([{ apiKeyId, owner, secret: '', permissions: ['orders.orders.read'] }]);
    expect(await (await asUser('mallory', ['credentials.keys.read'])).send('GetApiKey', { apiKeyId })).toMatchObject({
      status: 404,
    });

    const rotated = await api.call('RotateApiKey', { apiKeyId });
    for (const credential of [secret, rotated.body.secret])
      await until(
        'both secrets count',
        async () => [await statusAt('command', credential), await statusAt('query', credential)],
        (statuses) => statuses.every((status) => [403, 404].includes(status)),
        minuteMs,
      );
    await api.call('RevokeApiKey', { apiKeyId, reason: 'lost' });
    await Promise.all([refusedEverywhere('the key', rotated.body.secret), refusedEverywhere('the key', secret)]);
  }, 240_000);

  it('a token, a subject and a key of the issuer end in all processes within a minute', async () => {
    const admin = await asUser('admin');
    const [one, other] = [await signed(users, 'alice', ['a.b.c']), await signed(users, 'alice', ['a.b.c'])];
    const [ofBob, ofLeaving] = [await signed(users, 'bob', ['a.b.c']), await signed(leaving, 'carol', ['a.b.c'])];
    for (const credential of [one, other, ofBob, ofLeaving])
      expect([await statusAt('command', credential), await statusAt('query', credential)]).toEqual([403, 403]);
    const { jti, exp } = JSON.parse(Buffer.from(one.split('.')[1]!, 'base64url').toString());
    const expireTime = new Date(exp * 1000).toISOString();
    await admin.call('RevokeToken', { tokenId: jti, expireTime, reason: 'stolen' });
    await admin.call('RevokeSubject', { subject: 'bob', reason: 'left' });
    writeUsers(users);
    await Promise.all([
      refusedEverywhere('the token', one),
      refusedEverywhere('the subject', ofBob),
      refusedEverywhere('the key of the issuer', ofLeaving),
    ]);
    expect([await statusAt('command', other), await statusAt('query', other)]).toEqual([403, 403]);
    const { revocations } = (await admin.call('ListRevocations')).body;
    expect(revocations).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ tokenId: jti, reason: 'stolen' }),
        expect.objectContaining({ subject: 'bob', reason: 'left' }),
      ]),
    );
  }, 120_000);

  it('processes that start while credentials are away are not ready before it is there, and then know what was revoked', async () => {
    const token = await signed(users, unique('dave'), ['a.b.c']);
    const { jti } = JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString());
    await (await asUser('admin')).call('RevokeToken', { tokenId: jti, reason: 'stolen' });
    await system.part('query').end('SIGTERM');
    await system.part('command').end('SIGKILL');
    const starting = system.part('query').start();
    await new Promise((resolve) => setTimeout(resolve, 5_000));
    expect(await system.part('query').isReady()).toBe(false);
    await system.part('command').start();
    await starting;
    expect(await statusAt('query', token)).toBe(401);
    expect(await statusAt('command', token)).toBe(401);
  }, 180_000);
});
