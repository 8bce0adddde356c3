import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createFileAtomic } from '@caudal/embedded-postgres/create-file-atomic.ts';
import { generateKey, type Key, signToken } from '@caudal/rpc/server/tokens.ts';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import type { JSONWebKeySet } from 'jose';
import { type Identity, openIdentity } from './identity.ts';
import type { RuntimeValues } from './settings/settings.ts';

const folder = mkdtempSync(join(tmpdir(), 'caudal-files-'));
afterAll(() => rmSync(folder, { recursive: true }));

test('of several writers of a file one wins, and no reader sees it incomplete', async () => {
  const file = join(folder, 'one');
  const seen = new Set<string>();
  let done = false;
  const reading = (async () => {
    while (!done) seen.add(await readFile(file, 'utf8').catch(() => 'none'));
  })();
  const texts = Array.from({ length: 20 }, (_, n) => `${n}`.repeat(10_000));
  const made = await Promise.all(texts.map((text) => createFileAtomic(file, text)));
  done = true;
  await reading;
  expect(made.filter(Boolean)).toHaveLength(1);
  seen.delete('none');
  seen.delete(texts[made.indexOf(true)]!);
  expect([...seen]).toEqual([]);
  expect(readdirSync(folder)).toEqual(['one']);
});

const base = {
  ...{ CAUDAL_AUTH: 'jwt', CAUDAL_ISSUER: 'i', CAUDAL_AUDIENCE: 'a', CAUDAL_CUSTOMER_CLAIM: 'sub' },
  ...{ CAUDAL_TOKEN_MAX_LIFETIME: 86_400_000, CAUDAL_SERVICE_TOKEN_MAX_LIFETIME: 3_600_000 },
  ...{ CAUDAL_JWKS_MAX_STALE: 3_600_000, CAUDAL_ALLOW_HTTP_JWKS: false },
} as unknown as RuntimeValues;
type Check = Exclude<Identity['auth'], 'off'>;
const check = async ({ auth }: Identity, token: string) => (auth as Check)(`Bearer ${token}`);
const orders = { name: 'orders', permissions: ['customers.customers.read:any', 'log.events.read:payments'] };

test('processes that make their keys at the same moment agree on one for each root', async () => {
  const directory = join(folder, 'keys');
  const identities = await Promise.all(Array.from({ length: 8 }, () => openIdentity(base, directory)));
  const token = (await identities[0]!.sign('alice', ['x'], 60))!;
  const ofOrders = await identities[1]!.tokensOf(orders)!();
  for (const identity of identities) {
    expect(await check(identity, token)).toMatchObject({ subject: 'alice', kind: 'user' });
    expect(await check(identity, ofOrders)).toMatchObject({ subject: 'service:orders', kind: 'service' });
  }
  expect(readdirSync(directory).sort()).toEqual(['key.json', 'service-key.json']);
  // The key of users makes no services.
  const { privateKey } = JSON.parse(await readFile(join(directory, 'key.json'), 'utf8'));
  const content = { key: privateKey, issuer: 'i', audience: 'a', permissions: ['x'], ttlSeconds: 60 };
  await expect(async () =>
    check(identities[0]!, await signToken({ ...content, subject: 'service:orders' })),
  ).rejects.toMatchObject({ reason: 'TOKEN_INVALID' });
});

describe('configured keys', () => {
  let users: Key;
  let shared: Key;
  let ofOrders: Key;
  beforeAll(async () => {
    [users, shared, ofOrders] = await Promise.all([generateKey('users'), generateKey('shared'), generateKey('orders')]);
  });
  const open = (values: object) => openIdentity({ ...base, ...values } as RuntimeValues, undefined);
  const setOf = (...keys: object[]) => ({ keys }) as JSONWebKeySet;
  const bound = (key: Key, ...contexts: string[]) => ({ ...key.publicKey, caudal_contexts: contexts });
  const asService = (key: Key, subject: string, permissions: string[]) =>
    signToken({ key: key.privateKey, issuer: 'i', audience: 'a', subject, permissions, ttlSeconds: 60 });

  test('of version 0.2: one key that all processes share, beside those of the issuer', async () => {
    const identity = await open({ CAUDAL_JWKS: setOf(users.publicKey), CAUDAL_SERVICE_KEY: shared.privateKey });
    expect(await check(identity, await identity.tokensOf(orders)!())).toMatchObject({ subject: 'service:orders' });
    const anyService = await check(identity, await asService(shared, 'service:e2e', ['log.events.read']));
    expect([...anyService.permissions]).toEqual(['log.events.read']);
    await expect(async () => check(identity, await asService(users, 'service:orders', ['a']))).rejects.toMatchObject({
      reason: 'TOKEN_INVALID',
    });
    // Its tokens are accepted by processes of version 0.2, which know one issuer and permissions without a domain.
    const payload = JSON.parse(
      Buffer.from((await identity.tokensOf(orders)!()).split('.')[1]!, 'base64url').toString(),
    ) as { scope: string };
    expect(payload).toMatchObject({ iss: 'i', aud: 'a' });
    expect(payload.scope.split(' ')).toEqual(expect.arrayContaining(['log.events.read', 'log.events.read:payments']));
  });

  test('a key that is in both settings, as in version 0.2, signs for users and services', async () => {
    const identity = await open({ CAUDAL_JWKS: setOf(shared.publicKey), CAUDAL_SERVICE_KEY: shared.privateKey });
    expect(await check(identity, (await identity.sign('alice', ['x'], 60))!)).toMatchObject({ kind: 'user' });
    expect(await check(identity, (await identity.sign('service:e2e', ['x'], 60))!)).toMatchObject({ kind: 'service' });
  });

  test('a key of a workload signs for its contexts only, and for no user', async () => {
    const identity = await open({
      CAUDAL_JWKS: setOf(users.publicKey, ofOrders.publicKey),
      CAUDAL_SERVICE_JWKS: setOf(bound(ofOrders, 'orders'), bound(shared, '*')),
      CAUDAL_SERVICE_KEY: ofOrders.privateKey,
      CAUDAL_USER_KEY: users.privateKey,
    });
    const own = await check(identity, await identity.tokensOf(orders)!());
    expect([...own.permissions].sort()).toContain('customers.customers.read:any');
    const asked = ['catalog.products.write:any', 'log.events.read'];
    expect([...(await check(identity, await asService(ofOrders, 'service:orders', asked))).permissions]).toEqual([
      'log.events.read:customers',
      'log.events.read:payments',
      'log.events.read:shipping',
    ]);
    for (const subject of ['service:payments', 'service:e2e', 'alice'])
      await expect(async () => check(identity, await asService(ofOrders, subject, ['x']))).rejects.toMatchObject({
        reason: 'TOKEN_INVALID',
      });
    expect(await check(identity, (await identity.sign('alice', ['x'], 60))!)).toMatchObject({ subject: 'alice' });
    expect(await check(identity, await asService(shared, 'service:payments', []))).toMatchObject({ kind: 'service' });
  });

  test('one that processes do not share is refused, and the message names both and the setting', async () => {
    const identity = await open({ CAUDAL_JWKS: setOf(users.publicKey), CAUDAL_SERVICE_KEY: shared.privateKey });
    const other = await asService(ofOrders, 'service:orders', []);
    await expect(async () => check(identity, other)).rejects.toThrow(
      /signed by a key "orders" .* CAUDAL_SERVICE_KEY "shared" only: .* CAUDAL_SERVICE_JWKS/,
    );
    // Of the same name, but another key.
    const renamed = { ...ofOrders, privateKey: { ...ofOrders.privateKey, kid: 'shared' } };
    const wrong = await asService(renamed, 'service:orders', []);
    await expect(async () => check(identity, wrong)).rejects.toThrow('set the same one in all processes');
    const bothKnown = { CAUDAL_SERVICE_JWKS: setOf(bound(shared, '*'), bound(ofOrders, '*')) };
    const listed = await open({ CAUDAL_JWKS: setOf(users.publicKey), ...bothKnown });
    expect(await check(listed, other)).toMatchObject({ kind: 'service' });
  });

  test('roots may have issuers and audiences of their own', async () => {
    const identity = await open({
      ...{ CAUDAL_JWKS: setOf(users.publicKey), CAUDAL_SERVICE_KEY: shared.privateKey },
      ...{ CAUDAL_SERVICE_ISSUER: 'inside', CAUDAL_SERVICE_AUDIENCE: 'pods' },
    });
    expect(await check(identity, await identity.tokensOf(orders)!())).toMatchObject({ kind: 'service' });
    await expect(async () => check(identity, await asService(shared, 'service:orders', []))).rejects.toMatchObject({
      reason: 'TOKEN_INVALID',
    });
  });

  test('tokens may not live longer than the settings say', async () => {
    const identity = await open({ CAUDAL_JWKS: setOf(shared.publicKey), CAUDAL_SERVICE_KEY: shared.privateKey });
    const day = 86_400;
    await expect(async () => check(identity, (await identity.sign('alice', [], day + 60))!)).rejects.toThrow(
      'CAUDAL_TOKEN_MAX_LIFETIME',
    );
    await expect(async () => check(identity, (await identity.sign('service:x', [], day))!)).rejects.toThrow(
      'CAUDAL_SERVICE_TOKEN_MAX_LIFETIME',
    );
  });

  test('of an issuer are not read at http://, if TLS is required', async () => {
    const metadata = { issuer: 'https://issuer.test', jwks_uri: 'http://issuer.test/keys' };
    const asked: string[] = [];
    const fetching = jest.spyOn(globalThis, 'fetch').mockImplementation(async (url) => {
      asked.push(String(url));
      return Response.json(String(url).endsWith('/keys') ? setOf(users.publicKey) : metadata);
    });
    const values = { CAUDAL_OIDC_ISSUER: metadata.issuer, CAUDAL_ALLOW_HTTP_JWKS: true };
    await (await open(values)).prepare();
    expect(asked).toContain(metadata.jwks_uri);
    asked.length = 0;
    const strict = await open({ ...values, CAUDAL_TLS_REQUIRED: true });
    await expect(strict.prepare()).rejects.toThrow('jwks_uri is not a URL that begins with https://');
    expect(asked).not.toContain(metadata.jwks_uri);
    fetching.mockRestore();
  });

  test('in a file are checked at the start', async () => {
    const file = join(folder, 'set.json');
    await writeFile(file, JSON.stringify(setOf(bound(ofOrders, 'orders'))));
    const values = { CAUDAL_JWKS: setOf(users.publicKey), CAUDAL_SERVICE_JWKS: pathToFileURL(file) };
    const identity = await open({ ...values, CAUDAL_SERVICE_KEY: ofOrders.privateKey });
    await identity.prepare();
    expect(await check(identity, await identity.tokensOf(orders)!())).toMatchObject({ kind: 'service' });
    await writeFile(file, JSON.stringify(setOf(ofOrders.publicKey)));
    await expect(open(values)).rejects.toThrow('has no "caudal_contexts"');
    for (const name of ['CAUDAL_JWKS', 'CAUDAL_SERVICE_JWKS']) {
      await writeFile(file, 'https://issuer.test/jwks\n');
      await expect(open({ ...values, [name]: pathToFileURL(file) })).rejects.toThrow(
        `it has the URL of keys, not the keys. Set ${name} to that URL`,
      );
    }
    rmSync(file);
    await expect(open(values)).rejects.toThrow("can't be read (ENOENT)");
  });
});

describe('processes that forward calls to each other', () => {
  const owner = { instance: 'i', address: '10.0.0.7:9090', nonce: 'n' };

  test('prove themselves by the keys of their workloads, and may have calls about their contexts', async () => {
    const named = async (kid: string, contexts: string[]) => {
      const { publicKey, privateKey } = await generateKey(kid);
      return { privateKey, publicKey: { ...publicKey, caudal_contexts: contexts } };
    };
    const [orders, stock] = await Promise.all([
      named('command-orders', ['orders']),
      named('command-inventory', ['inventory']),
    ]);
    const all = { keys: [orders.publicKey, stock.publicKey] };
    const identityOf = ({ privateKey }: typeof orders) =>
      openIdentity(
        { ...base, CAUDAL_JWKS: { keys: [] }, CAUDAL_SERVICE_JWKS: all, CAUDAL_SERVICE_KEY: privateKey } as never,
        undefined,
      );
    const [one, other] = [await identityOf(orders), await identityOf(stock)];
    await one.prepare();
    const statement = await one.forwardKeys!.opening('i');
    expect(await other.forwardKeys!.opener(`Bearer ${statement}`, 'i')).toMatchObject({ subject: 'service:process' });
    await expect(check(other, statement)).rejects.toMatchObject({ reason: 'TOKEN_INVALID' });
    const mayHave = await one.forwardKeys!.proven(await other.forwardKeys!.proof(owner), owner);
    expect(['inventory.stock/MUG-1', 'orders.order/o', 'inventory'].map(mayHave)).toEqual([true, false, false]);
  });

  test('with one key for all need no name of it, and a key of others proves nothing', async () => {
    const { privateKey } = await generateKey('any');
    const { kid: _, ...nameless } = privateKey;
    const identityOf = (key: unknown) =>
      openIdentity({ ...base, CAUDAL_JWKS: { keys: [] }, CAUDAL_SERVICE_KEY: key } as never, undefined);
    const [one, other] = [(await identityOf(nameless)).forwardKeys!, (await identityOf(nameless)).forwardKeys!];
    expect((await one.proven(await other.proof(owner), owner))('orders.order/o')).toBe(true);
    const stranger = (await identityOf((await generateKey('any')).privateKey)).forwardKeys!;
    await expect(stranger.proof(owner).then((proof) => one.proven(proof, owner))).rejects.toMatchObject({
      reason: 'TOKEN_INVALID',
    });
  });

  test('without authentication have no keys', async () => {
    const { forwardKeys } = await openIdentity({ ...base, CAUDAL_AUTH: 'off' }, undefined);
    expect(forwardKeys).toBeUndefined();
  });
});
