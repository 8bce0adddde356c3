/** The roots of users and services beside each other, and what ends a credential before its time. */
import type { Caller } from '@caudal/kernel/context.ts';
import { isService } from '@caudal/kernel/context.ts';
import { unavailable } from '@caudal/kernel/errors.ts';
import { afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { importJWK, type JWK, SignJWT } from 'jose';
import { letPass } from '../testing/let-pass.ts';
import { formatApiKey, hashOfSecret, type KnownApiKey, newSecret, parseApiKey } from './api-keys.ts';
import { type AuthOptions, authenticator } from './auth.ts';
import { type Credentials, openCredentials, type Revocations } from './credentials.ts';
import { generateKey, type Key, signToken } from './tokens.ts';

const user = { issuer: 'https://issuer.test', audience: 'shop' };
const service = { issuer: 'caudal', audience: 'caudal-services' };
let userKey: Key;
let ordersKey: Key;
let mailsKey: Key;
beforeAll(async () => {
  [userKey, ordersKey, mailsKey] = await Promise.all([generateKey('u1'), generateKey('s1'), generateKey('s2')]);
});
afterEach(() => {
  jest.useRealTimers();
});
const may: Record<string, string> = { s1: 'service:orders', s2: 'service:mails' };
const allow = ({ kid }: JWK, subject: string, asked: ReadonlySet<string>) =>
  may[kid!] === subject ? new Set([...asked].filter((permission) => permission.startsWith('a.'))) : undefined;

const open = (more: Partial<AuthOptions> = {}) =>
  authenticator({
    ...user,
    keys: { keys: [userKey.publicKey] },
    services: { ...service, keys: { keys: [ordersKey.publicKey, mailsKey.publicKey] }, allow, exclusive: true },
    ...more,
  });
const token = async (key: Key, subject: string, of: object = user, permissions = ['a.b.c', 'd.e.f']) =>
  `Bearer ${await signToken({ key: key.privateKey, ...user, ...of, subject, permissions, ttlSeconds: 60 })}`;
const refused = async (header: string, reason = 'TOKEN_INVALID', by = open()) =>
  expect(async () => by(header)).rejects.toMatchObject({ code: 'UNAUTHENTICATED', reason });

describe('two roots', () => {
  test('users and services are known by their own', async () => {
    const authenticate = open();
    for (let time = 0; time < 2; time++) {
      expect(await authenticate(await token(userKey, 'alice'))).toMatchObject({ subject: 'alice', kind: 'user' });
      const orders = await authenticate(await token(ordersKey, 'service:orders', service));
      expect(orders).toMatchObject({ subject: 'service:orders', kind: 'service', credential: expect.any(String) });
      expect([...orders.permissions]).toEqual(['a.b.c']);
    }
  });

  test.each<[string, () => Promise<string>]>([
    ["a service from the users' issuer", () => token(userKey, 'service:orders')],
    [
      "a service from the users' issuer, with the services' iss and aud",
      () => token(userKey, 'service:orders', service),
    ],
    ["a user with a service's key", () => token(ordersKey, 'alice', service)],
    ["a user with a service's key, with the users' iss and aud", () => token(ordersKey, 'alice')],
    ['a service with the key of another one', () => token(mailsKey, 'service:orders', service)],
    ['an unknown service', () => token(ordersKey, 'service:admin', service)],
    ["a service with the users' issuer", () => token(ordersKey, 'service:orders', { ...service, issuer: user.issuer })],
    [
      "a service for the users' audience",
      () => token(ordersKey, 'service:orders', { ...service, audience: user.audience }),
    ],
  ])('%s is refused', async (_, header) => {
    await refused(await header());
  });

  test('a claim of users can name no service, whatever their sub is', async () => {
    const claims = { sub: 'alice', customer: 'service:orders' };
    const signed = await new SignJWT(claims)
      .setProtectedHeader({ alg: 'EdDSA', kid: 'u1' })
      .setIssuer(user.issuer)
      .setAudience(user.audience)
      .setExpirationTime('1m')
      .sign(await importJWK(userKey.privateKey, 'EdDSA'));
    await refused(`Bearer ${signed}`, 'TOKEN_INVALID', open({ claim: 'customer' }));
  });

  test('names that look like services are users, and nothing internal', async () => {
    for (const subject of [' service:orders', 'Service:orders', 'services:orders', 'x-service:orders']) {
      const caller = await open()(await token(userKey, subject));
      expect([caller.kind, isService(caller)]).toEqual(['user', false]);
    }
    expect(isService({ subject: 'service:orders', permissions: new Set(), kind: 'key' })).toBe(false);
  });

  test('a key that is in both sets makes no users, however it is called there', async () => {
    for (const kid of ['s1', 'other']) {
      const both = { ...ordersKey.publicKey, kid };
      const authenticate = open({ keys: { keys: [userKey.publicKey, both] } });
      const signing = { ...ordersKey, privateKey: { ...ordersKey.privateKey, kid } };
      const header = await token(signing, 'alice');
      await refused(header, 'TOKEN_INVALID', authenticate);
      await expect(async () => authenticate(header)).rejects.toThrow('signed by a key of a service');
      expect(await authenticate(await token(userKey, 'alice'))).toMatchObject({ subject: 'alice' });
    }
  });

  test('a key of a service in the set of users is in the way of no user, whatever their tokens name', async () => {
    const named = async (key: Key, kid: string | undefined, subject = 'alice') =>
      `Bearer ${await new SignJWT({ sub: subject })
        .setProtectedHeader({ alg: 'EdDSA', ...(kid && { kid }) })
        .setIssuer(user.issuer)
        .setAudience(user.audience)
        .setExpirationTime('1m')
        .sign(await importJWK(key.privateKey, 'EdDSA'))}`;
    const { kid: _, ...unnamed } = userKey.publicKey;
    for (const [own, kid] of [
      [unnamed, undefined],
      // Both are called so.
      [{ ...userKey.publicKey, kid: 's1' }, 's1'],
    ] as const) {
      const authenticate = open({ keys: { keys: [ordersKey.publicKey, own] } });
      expect(await authenticate(await named(userKey, kid))).toMatchObject({ subject: 'alice', kind: 'user' });
      await refused(await named(ordersKey, kid), 'TOKEN_INVALID', authenticate);
      await refused(await named(ordersKey, kid, 'service:orders'), 'TOKEN_INVALID', authenticate);
    }
  });

  test('whatever a token calls its key, an unknown one is refused', async () => {
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    for (const kid of [undefined, '', 'x', 'x'.repeat(2_000), 5, null, {}, ['u1'], 'a\nb']) {
      const header = `Bearer ${part({ alg: 'EdDSA', kid })}.${part({ sub: 'alice', exp: 4e9 })}.AAAA`;
      const error = await Promise.resolve(open()(header)).catch((thrown: Error) => thrown);
      expect(error).toMatchObject({ code: 'UNAUTHENTICATED', reason: 'TOKEN_INVALID' });
      expect((error as Error).message.length).toBeLessThan(300);
    }
  });

  test('of two keys with one name neither signs for a service', async () => {
    const twice = { ...mailsKey.publicKey, kid: 's1' };
    const services = { ...service, keys: { keys: [ordersKey.publicKey, twice] }, allow, exclusive: true };
    await refused(await token(ordersKey, 'service:orders', service), 'TOKEN_INVALID', open({ services }));
  });

  test('without services no service is accepted, and the message names the setting', async () => {
    const authenticate = open({ services: null });
    await expect(async () => authenticate(await token(ordersKey, 'service:orders', service))).rejects.toThrow(
      'CAUDAL_SERVICE_JWKS',
    );
  });

  test('one root: its keys sign for users and services', async () => {
    const authenticate = authenticator({ ...user, keys: { keys: [userKey.publicKey] } });
    expect(await authenticate(await token(userKey, 'service:any'))).toMatchObject({ kind: 'service' });
    expect(await authenticate(await token(userKey, 'alice'))).toMatchObject({ kind: 'user' });
  });
});

const minute = 60_000;
const none: Revocations = { tokens: new Set(), subjects: new Map() };

/** Credentials that a test can change, revoke and take away. */
function source() {
  const state = { list: none, keys: new Map<string, KnownApiKey>(), away: false, reads: 0, looks: 0 };
  const credentials = openCredentials({
    maxStaleMs: 10 * minute,
    async readRevocations() {
      state.reads++;
      if (state.away) throw unavailable('credentials');
      return state.list;
    },
    async readApiKey(id) {
      state.looks++;
      if (state.away) throw unavailable('credentials');
      return state.keys.get(id);
    },
  });
  return { state, credentials: () => credentials as Credentials | undefined };
}
const settle = () => new Promise((resolve) => setTimeout(resolve, 20));
const jtiOf = (header: string) =>
  (JSON.parse(Buffer.from(header.split('.')[1]!, 'base64url').toString()) as { jti: string }).jti;

describe('revocation', () => {
  test('ends a token within a minute, also one that was accepted before; another one of the subject goes on', async () => {
    const { state, credentials } = source();
    const authenticate = open({ credentials });
    const [one, other] = [await token(userKey, 'alice'), await token(userKey, 'alice')];
    await authenticate(one);
    const caller = await authenticate(other);
    state.list = { ...none, tokens: new Set([jtiOf(one)]) };
    letPass(25_000);
    await authenticate(one);
    await settle();
    await refused(one, 'TOKEN_REVOKED', authenticate);
    // It is not verified again because of another list.
    expect(authenticate(other)).toBe(caller);
  });

  test('of a subject ends what was issued until then, by sub and by the claim of customers', async () => {
    const { state, credentials } = source();
    const authenticate = open({ credentials, claim: 'email' });
    const header = async () =>
      `Bearer ${await signToken({
        ...{ key: userKey.privateKey, ...user, permissions: [], ttlSeconds: 600, claim: 'email' },
        subject: 'ada@example.org',
      })}`;
    const before = await header();
    await authenticate(before);
    state.list = { ...none, subjects: new Map([['ada@example.org', Date.now()]]) };
    letPass(minute);
    await refused(before, 'TOKEN_REVOKED', authenticate);
    expect(await authenticate(await header())).toMatchObject({ subject: 'ada@example.org' });
  });

  test("covers a token of an issuer whose clock is ahead, within the clocks' leeway", async () => {
    const { state, credentials } = source();
    const header = await token(userKey, 'alice');
    state.list = { ...none, subjects: new Map([['alice', Date.now() - 4_000]]) };
    await refused(header, 'TOKEN_REVOKED', open({ credentials }));
    state.list = { ...none, subjects: new Map([['alice', Date.now() - 7_000]]) };
    expect(await open({ credentials: source().credentials })(header)).toMatchObject({ subject: 'alice' });
  });

  test('covers a token that is still to be issued: its issuer, or this process, had a clock that was ahead', async () => {
    const { state, credentials } = source();
    const header = await token(userKey, 'alice');
    letPass(-30 * minute);
    expect(await open({ credentials: source().credentials })(header)).toMatchObject({ subject: 'alice' });
    state.list = { ...none, subjects: new Map([['alice', Date.now() - 10 * minute]]) };
    await refused(header, 'TOKEN_REVOKED', open({ credentials }));
  });

  test('fails closed once the list is too old, and services go on', async () => {
    const { state, credentials } = source();
    const authenticate = open({ credentials });
    await authenticate(await token(userKey, 'alice'));
    state.away = true;
    letPass(9 * minute);
    expect(await authenticate(await token(userKey, 'alice'))).toMatchObject({ subject: 'alice' });
    letPass(2 * minute);
    await expect(async () => authenticate(await token(userKey, 'alice'))).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
    expect(await authenticate(await token(ordersKey, 'service:orders', service))).toMatchObject({ kind: 'service' });
    state.away = false;
    letPass(6_000);
    expect(await authenticate(await token(userKey, 'alice'))).toMatchObject({ subject: 'alice' });
  });

  test('asks nothing for calls that follow each other', async () => {
    const { state, credentials } = source();
    const authenticate = open({ credentials });
    for (let call = 0; call < 20; call++) await authenticate(await token(userKey, 'alice'));
    expect(state.reads).toBe(1);
  });
});

describe('API keys', () => {
  const id = '0190d6f0-1c5e-7b3a-9f00-5d2c8a4be101';
  const secret = newSecret();
  const text = formatApiKey(id, secret);
  const known = (more: Partial<KnownApiKey> = {}): KnownApiKey => ({
    ...{ id, owner: 'merchant', creator: 'admin', permissions: new Set(['a.b.c:any']) },
    secrets: [
      { hash: hashOfSecret(secret), maker: 'admin', madeAt: Date.now() - minute, endsAt: Date.now() + 600 * minute },
    ],
    expiresAt: Date.now() + 600 * minute,
    ...more,
  });
  const opened = (key?: KnownApiKey) => {
    const { state, credentials } = source();
    if (key) state.keys.set(id, key);
    return { state, authenticate: open({ credentials }) };
  };

  test('stand for their owner, with their permissions, and name themselves by their id', async () => {
    const caller: Caller = await opened(known()).authenticate(`Bearer ${text}`);
    expect(caller).toEqual({
      ...{ subject: 'merchant', permissions: new Set(['a.b.c:any']), kind: 'key', credential: id },
      // It was made by another one than its owner.
      keyMaker: 'admin',
    });
    const secrets = [{ hash: hashOfSecret(secret), maker: 'merchant', madeAt: 0, endsAt: 9e15 }];
    expect(await opened(known({ secrets })).authenticate(`Bearer ${text}`)).not.toHaveProperty('keyMaker');
    expect(parseApiKey(text)).toEqual({ id, secret });
  });

  test.each<[string, string, (() => KnownApiKey) | undefined]>([
    ['an unknown key', text, undefined],
    ['another secret', formatApiKey(id, newSecret()), () => known()],
    ['no secret', `caudal_${id.replaceAll('-', '')}`, () => known()],
    ['one character less', text.slice(0, -1), () => known()],
    ['one character more', `${text}A`, () => known()],
    ['a revoked key', text, () => known({ secrets: [] })],
    ['a key that has ended', text, () => known({ expiresAt: Date.now() })],
    [
      'a secret that has ended',
      text,
      () => known({ secrets: [{ hash: hashOfSecret(secret), maker: 'admin', madeAt: 0, endsAt: Date.now() - 1 }] }),
    ],
    [
      'a hash that is stored short',
      text,
      () => known({ secrets: [{ hash: Buffer.alloc(0), maker: 'admin', madeAt: 0, endsAt: 9e15 }] }),
    ],
  ])('%s is refused, and the answer says no more', async (_, shown, key) => {
    const { authenticate } = opened(key?.());
    const error = await Promise.resolve()
      .then(() => authenticate(`Bearer ${shown}`))
      .catch((thrown: Error) => thrown);
    expect(error).toMatchObject({
      ...{ code: 'UNAUTHENTICATED', reason: 'API_KEY_INVALID' },
      message: 'The API key is unknown, revoked or expired, or its secret is wrong.',
    });
  });

  test('of an owner that names another kind of caller are refused', async () => {
    for (const owner of ['service:orders', 'webhook:payments', 'public:anyone', '', 'a\nb'])
      await refused(`Bearer ${text}`, 'TOKEN_INVALID', opened(known({ owner })).authenticate);
  });

  test('that were revoked end within a minute, by themselves, by their owner and by their creator', async () => {
    for (const revoke of ['key', 'merchant', 'admin']) {
      const { state, authenticate } = opened(known());
      await authenticate(`Bearer ${text}`);
      if (revoke === 'key') state.keys.set(id, known({ secrets: [] }));
      else state.list = { ...none, subjects: new Map([[revoke, Date.now()]]) };
      letPass(minute);
      await refused(`Bearer ${text}`, 'API_KEY_INVALID', authenticate);
      jest.useRealTimers();
    }
  });

  test('end with the subject that has rotated them, and only the secret that it got', async () => {
    const given = newSecret();
    const times = { madeAt: Date.now() - minute, endsAt: Date.now() + 600 * minute };
    const secrets = [
      { hash: hashOfSecret(given), maker: 'support', ...times },
      { hash: hashOfSecret(secret), maker: 'admin', ...times },
    ];
    const { state, authenticate } = opened(known({ secrets }));
    const header = `Bearer ${formatApiKey(id, given)}`;
    await authenticate(header);
    state.list = { ...none, subjects: new Map([['support', Date.now()]]) };
    letPass(minute);
    await refused(header, 'API_KEY_INVALID', authenticate);
    expect(await authenticate(`Bearer ${text}`)).toMatchObject({ subject: 'merchant' });
  });

  test('both secrets count while they overlap', async () => {
    const next = newSecret();
    const secrets = [
      { hash: hashOfSecret(next), maker: 'support', madeAt: Date.now(), endsAt: 9e15 },
      { hash: hashOfSecret(secret), maker: 'admin', madeAt: Date.now() - minute, endsAt: Date.now() + minute },
    ];
    const { authenticate } = opened(known({ secrets }));
    for (const shown of [secret, next]) await authenticate(`Bearer ${formatApiKey(id, shown)}`);
    letPass(2 * minute);
    await refused(`Bearer ${text}`, 'API_KEY_INVALID', authenticate);
    await authenticate(`Bearer ${formatApiKey(id, next)}`);
  });

  test('that a process knows go on while the context is away, and unknown ones are UNAVAILABLE', async () => {
    const { state, authenticate } = opened(known());
    await authenticate(`Bearer ${text}`);
    state.away = true;
    letPass(5 * minute);
    await authenticate(`Bearer ${text}`);
    const other = formatApiKey(id.replace('101', '102'), secret);
    await expect(async () => authenticate(`Bearer ${other}`)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    letPass(6 * minute);
    await expect(async () => authenticate(`Bearer ${text}`)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  test('that are made up are looked up at most 32 at a time, and keep no known key out', async () => {
    let waiting = 0;
    let most = 0;
    const release = Promise.withResolvers<void>();
    const credentials = openCredentials({
      maxStaleMs: minute,
      readRevocations: async () => none,
      async readApiKey(asked) {
        if (asked === id) return known();
        most = Math.max(most, ++waiting);
        await release.promise;
        waiting--;
        return undefined;
      },
    });
    const authenticate = open({ credentials: () => credentials });
    await authenticate(`Bearer ${text}`);
    const flood = Array.from({ length: 100 }, (_, number) =>
      Promise.resolve(
        authenticate(`Bearer ${formatApiKey(`0190d6f0-1c5e-7b3a-9f00-${String(number).padStart(12, '0')}`, secret)}`),
      ).catch(({ code }) => code as string),
    );
    await settle();
    expect(most).toBe(32);
    await authenticate(`Bearer ${text}`);
    release.resolve();
    const codes = await Promise.all(flood);
    expect(codes.filter((code) => code === 'UNAVAILABLE')).toHaveLength(68);
    expect(codes.filter((code) => code === 'UNAUTHENTICATED')).toHaveLength(32);
  });

  test('are refused where there are no credentials', async () => {
    await refused(`Bearer ${text}`, 'API_KEY_INVALID', open());
  });
});
