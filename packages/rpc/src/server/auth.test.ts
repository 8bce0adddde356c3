import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Caller } from '@caudal/kernel/context.ts';
import { afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import fc from 'fast-check';
import { CompactSign, exportJWK, generateKeyPair, importJWK, SignJWT } from 'jose';
import { letPass } from '../testing/let-pass.ts';
import { authenticator } from './auth.ts';
import { generateKey, type Key, renewing, signToken, tokenSource } from './tokens.ts';

const issuer = 'https://issuer.test';
const audience = 'caudal';
let key: Key;
let stranger: Key;

beforeAll(async () => {
  key = await generateKey('k1');
  stranger = await generateKey('k1');
});

const sign = (fields: Partial<Parameters<typeof signToken>[0]> = {}) =>
  signToken({
    key: key.privateKey,
    issuer,
    audience,
    subject: 'alice',
    permissions: ['orders.orders.read', 'orders.orders.place:any'],
    ttlSeconds: 60,
    ...fields,
  });
const local = (leewaySeconds = 5) =>
  authenticator({ keys: { keys: [key.publicKey] }, issuer, audience, leewaySeconds });

afterEach(() => {
  jest.useRealTimers();
});

describe('authenticator', () => {
  test('a valid token gives its subject and the permissions of its scope, each time', async () => {
    const authenticate = local();
    const header = `Bearer ${await sign()}`;
    for (let time = 0; time < 2; time++) {
      const caller = await authenticate(header);
      expect(caller.subject).toBe('alice');
      expect([...caller.permissions]).toEqual(['orders.orders.read', 'orders.orders.place:any']);
    }
  });

  test.each(['RS256', 'ES256'])('%s is accepted, too', async (alg) => {
    const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
    const jwk = { ...(await exportJWK(publicKey)), alg, kid: 'other' };
    const token = await new SignJWT({ scope: 'a' })
      .setProtectedHeader({ alg, kid: 'other' })
      .setIssuer(issuer)
      .setAudience(['x', audience])
      .setSubject('bob')
      .setExpirationTime('1m')
      .sign(privateKey);
    const authenticate = authenticator({ keys: { keys: [key.publicKey, jwk] }, issuer, audience });
    expect((await authenticate(`bearer ${token}`)).subject).toBe('bob');
  });

  test.each<[string, () => Promise<string | undefined>, string]>([
    ['nothing', async () => undefined, 'TOKEN_MISSING'],
    ['an empty header', async () => '', 'TOKEN_MISSING'],
    ['another scheme', async () => 'Basic YTpi', 'TOKEN_INVALID'],
    ['no token', async () => 'Bearer', 'TOKEN_INVALID'],
    ['nonsense', async () => 'Bearer a.b.c', 'TOKEN_INVALID'],
    ['an endless token', async () => `Bearer ${'a'.repeat(9_000)}`, 'TOKEN_INVALID'],
    ['a wrong signature', async () => `Bearer ${await sign({ key: stranger.privateKey })}`, 'TOKEN_INVALID'],
    ['another issuer', async () => `Bearer ${await sign({ issuer: 'https://else.test' })}`, 'TOKEN_INVALID'],
    ['another audience', async () => `Bearer ${await sign({ audience: 'else' })}`, 'TOKEN_INVALID'],
    ['an expired token', async () => `Bearer ${await sign({ ttlSeconds: -10 })}`, 'TOKEN_EXPIRED'],
    ['no signature', async () => `Bearer ${unsigned()}`, 'TOKEN_INVALID'],
    ['a secret made of the public key', async () => `Bearer ${await confused()}`, 'TOKEN_INVALID'],
    ['no end', async () => `Bearer ${await endless()}`, 'TOKEN_INVALID'],
  ])('%s is refused', async (_, header, reason) => {
    await expect(local()(await header())).rejects.toMatchObject({ code: 'UNAUTHENTICATED', reason });
  });

  const claims = { iss: issuer, aud: audience, sub: 'alice', scope: '*' };
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const unsigned = () => `${part({ alg: 'none' })}.${part({ ...claims, exp: 4e9 })}.`;
  const confused = () =>
    new SignJWT({ ...claims, exp: 4e9 })
      .setProtectedHeader({ alg: 'HS256', kid: 'k1' })
      .sign(Buffer.from(key.publicKey.x!.padEnd(32), 'base64url'));
  const endless = async () =>
    new SignJWT(claims).setProtectedHeader({ alg: 'EdDSA', kid: 'k1' }).sign(await importJWK(key.privateKey, 'EdDSA'));

  describe('with a claim that names customers', () => {
    const by = (claim: string) => authenticator({ keys: { keys: [key.publicKey] }, issuer, audience, claim });
    const withClaims = async (more: object) =>
      `Bearer ${await new SignJWT({ sub: 'u-1', scope: 'a', ...more })
        .setProtectedHeader({ alg: 'EdDSA', kid: 'k1' })
        .setIssuer(issuer)
        .setAudience(audience)
        .setExpirationTime('1m')
        .sign(await importJWK(key.privateKey, 'EdDSA'))}`;
    const namespaced = 'https://shop.example/customer_id';

    test('the caller is the value of that claim; a service is named by sub', async () => {
      const header = await withClaims({ [namespaced]: 'auth0|5f7c' });
      expect((await by(namespaced)(header)).subject).toBe('auth0|5f7c');
      expect((await by('sub')(header)).subject).toBe('u-1');
      const service = await withClaims({ sub: 'service:orders', [namespaced]: 'auth0|5f7c' });
      expect((await by(namespaced)(service)).subject).toBe('service:orders');
      expect((await by(namespaced)(await withClaims({ sub: 'service:orders' }))).subject).toBe('service:orders');
    });

    test.each<[string, object]>([
      ['absent', {}],
      ['empty', { customer: '' }],
      ['no text', { customer: 17 }],
      ['a list', { customer: ['a'] }],
      ['of two lines', { customer: 'a\nb' }],
      ['too long', { customer: 'a'.repeat(256) }],
      ['the name of a service', { customer: 'service:orders' }],
      ['the name of a webhook', { customer: 'webhook:payments' }],
      ['the name of all who have no token', { customer: 'public:anyone' }],
    ])('a token is refused if the claim is %s', async (_, more) => {
      await expect(by('customer')(await withClaims(more))).rejects.toMatchObject({ reason: 'TOKEN_INVALID' });
    });

    test('a mail address names its owner only if the issuer has verified it', async () => {
      const email = 'ada@example.org';
      expect((await by('email')(await withClaims({ email, email_verified: true }))).subject).toBe(email);
      expect((await by('email')(await withClaims({ email, email_verified: 'true' }))).subject).toBe(email);
      for (const verified of [undefined, false, 'false', 1])
        await expect(by('email')(await withClaims({ email, email_verified: verified }))).rejects.toMatchObject({
          reason: 'TOKEN_INVALID',
        });
    });

    test('tokens that are signed here have the claim', async () => {
      for (const claim of ['sub', 'email', namespaced])
        expect((await by(claim)(`Bearer ${await sign({ claim })}`)).subject).toBe('alice');
    });
  });

  test('a sub that is no text is refused, and does not break the check', async () => {
    const signing = await importJWK(key.privateKey, 'EdDSA');
    for (const sub of [17, 1e21, true, null, {}, ['alice'], '']) {
      const payload = JSON.stringify({ iss: issuer, aud: audience, exp: 4e9, sub, scope: 'a' });
      const token = await new CompactSign(new TextEncoder().encode(payload))
        .setProtectedHeader({ alg: 'EdDSA', kid: 'k1' })
        .sign(signing);
      await expect(async () => local()(`Bearer ${token}`)).rejects.toMatchObject({
        code: 'UNAUTHENTICATED',
        reason: 'TOKEN_INVALID',
      });
    }
  });

  describe('with a bound of lifetimes', () => {
    const lifetime = { maxSeconds: 3_600, setting: 'CAUDAL_TOKEN_MAX_LIFETIME' };
    const bounded = () => authenticator({ keys: { keys: [key.publicKey] }, issuer, audience, lifetime });
    const withTimes = async (times: object) =>
      `Bearer ${await new CompactSign(
        new TextEncoder().encode(JSON.stringify({ iss: issuer, aud: audience, sub: 'alice', ...times })),
      )
        .setProtectedHeader({ alg: 'EdDSA', kid: 'k1' })
        .sign(await importJWK(key.privateKey, 'EdDSA'))}`;
    const now = () => Math.floor(Date.now() / 1000);

    test('a token within it is accepted, with and without iat', async () => {
      expect(await bounded()(`Bearer ${await sign({ ttlSeconds: 3_600 })}`)).toMatchObject({ subject: 'alice' });
      expect(await bounded()(await withTimes({ exp: now() + 3_600 }))).toMatchObject({ subject: 'alice' });
    });

    test('an iat in the future is accepted: the clock was set back since', async () => {
      const token = await withTimes({ iat: now() + 1_800, exp: now() + 3_600 });
      expect(await bounded()(token)).toMatchObject({ subject: 'alice' });
    });

    test.each<[string, () => object, string]>([
      ['a lifetime beyond it', () => ({ iat: now(), exp: now() + 3_700 }), 'TOKEN_LIFETIME'],
      ['ten years, in the last minute', () => ({ iat: now() - 315_360_000, exp: now() + 60 }), 'TOKEN_LIFETIME'],
      ['an end beyond it, without iat', () => ({ exp: now() + 3_700 }), 'TOKEN_LIFETIME'],
      ['an end that is no number of this world', () => ({ exp: 1e300 }), 'TOKEN_LIFETIME'],
      ['a negative iat', () => ({ iat: -1e15, exp: now() + 60 }), 'TOKEN_LIFETIME'],
      [
        'an end beyond it, with an iat in the future',
        () => ({ iat: now() + 60, exp: now() + 3_610 }),
        'TOKEN_LIFETIME',
      ],
      ['an iat that is a text', () => ({ iat: String(now()), exp: now() + 60 }), 'TOKEN_INVALID'],
      ['an exp that is a text', () => ({ exp: String(now() + 60) }), 'TOKEN_INVALID'],
    ])('%s is refused', async (_, times, reason) => {
      await expect(async () => bounded()(await withTimes(times()))).rejects.toMatchObject({
        code: 'UNAUTHENTICATED',
        reason,
      });
    });

    test('the message names the setting', async () => {
      await expect(async () => bounded()(`Bearer ${await sign({ ttlSeconds: 7_200 })}`)).rejects.toThrow(
        'CAUDAL_TOKEN_MAX_LIFETIME allows, 3600 s',
      );
    });
  });

  test('clocks may differ by the leeway, and a cached token still expires', async () => {
    const header = `Bearer ${await sign({ ttlSeconds: -1 })}`;
    await expect(local(5)(header)).resolves.toMatchObject({ subject: 'alice' });
    const strict = local(0);
    const short = `Bearer ${await sign({ ttlSeconds: 60 })}`;
    await expect(strict(short)).resolves.toMatchObject({ subject: 'alice' });
    letPass(61_000);
    await expect(strict(short)).rejects.toMatchObject({ reason: 'TOKEN_EXPIRED' });
  });

  test('whatever claims a signed token has, it gives a caller with a subject of one line, or is refused', async () => {
    const authenticate = local();
    const signing = await importJWK(key.privateKey, 'EdDSA');
    const odd = fc.oneof(
      fc.jsonValue(),
      fc.string({ unit: 'binary' }),
      fc.constantFrom('', ' ', 'a\nb', '\0', 'x'.repeat(256), 5, -1, 1e300),
    );
    const usual = (value: unknown) => fc.oneof({ weight: 3, arbitrary: fc.constant(value) }, odd);
    const anyClaims = fc.record(
      {
        iss: usual(issuer),
        aud: usual([audience]),
        sub: usual('alice'),
        scope: usual('a b'),
        exp: usual(4e9),
        nbf: usual(0),
        iat: usual(0),
        jti: usual('j'),
      },
      { requiredKeys: ['iss', 'aud', 'exp'] },
    );
    const outcomes = { taken: 0, refused: 0 };
    await fc.assert(
      fc.asyncProperty(anyClaims, async (some) => {
        const payload = new TextEncoder().encode(JSON.stringify(some));
        const token = await new CompactSign(payload).setProtectedHeader({ alg: 'EdDSA', kid: 'k1' }).sign(signing);
        const caller = await Promise.resolve(authenticate(`Bearer ${token}`)).catch((error: unknown) => error);
        if ((caller as Caller).permissions) {
          outcomes.taken++;
          expect((caller as Caller).subject).toMatch(/^[^\p{Cc}]{1,255}$/u);
          for (const permission of (caller as Caller).permissions) expect(typeof permission).toBe('string');
        } else {
          outcomes.refused++;
          expect(caller).toMatchObject({ code: 'UNAUTHENTICATED' });
        }
      }),
      { numRuns: 500 },
    );
    expect(Math.min(outcomes.taken, outcomes.refused)).toBeGreaterThan(10);
  });
});

describe('keys from a URL', () => {
  let issuing: Server | undefined;
  let asked = 0;
  afterEach(() => {
    issuing?.close();
  });
  const serve = async (status: number) => {
    asked = 0;
    issuing = createServer((_, response) => {
      asked++;
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ keys: [key.publicKey] }));
    });
    await new Promise<void>((resolve) => issuing!.listen(0, '127.0.0.1', resolve));
    return new URL(`http://127.0.0.1:${(issuing.address() as AddressInfo).port}/jwks`);
  };

  test('are fetched once', async () => {
    const authenticate = authenticator({ keys: await serve(200), issuer, audience });
    await authenticate(`Bearer ${await sign()}`);
    await authenticate(`Bearer ${await sign({ subject: 'bob' })}`);
    expect(asked).toBe(1);
    await expect(authenticate(`Bearer ${await sign({ key: stranger.privateKey })}`)).rejects.toMatchObject({
      reason: 'TOKEN_INVALID',
    });
  });

  test("that can't be fetched are UNAVAILABLE, not an invalid token", async () => {
    const failing = authenticator({ keys: await serve(500), issuer, audience });
    await expect(failing(`Bearer ${await sign()}`)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    const gone = authenticator({ keys: new URL('http://127.0.0.1:9/jwks'), issuer, audience });
    await expect(gone(`Bearer ${await sign()}`)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });
});

describe('keys that change, or whose issuer is unreachable', () => {
  const minute = 60_000;
  let issuing: { keys: object[]; away: boolean; asked: number; url: URL; server: Server };
  beforeEach(async () => {
    const server = createServer((_, response) => {
      issuing.asked++;
      response.writeHead(issuing.away ? 503 : 200, { 'content-type': 'application/json', connection: 'close' });
      response.end(JSON.stringify({ keys: issuing.keys }));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`);
    issuing = { keys: [key.publicKey], away: false, asked: 0, url, server };
  });
  afterEach(() => {
    issuing.server.close();
  });
  const fetchedAgain = async (before: number) => {
    while (issuing.asked === before) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  /** A token that is not cached. */
  const fresh = async () => `Bearer ${await sign({ subject: `somebody-${Math.random()}`, ttlSeconds: 30 * 3600 })}`;

  test('a token with a new key causes a fetch', async () => {
    const authenticate = authenticator({ keys: issuing.url, issuer, audience });
    await authenticate(await fresh());
    const rotated = await generateKey('k2');
    issuing.keys = [key.publicKey, rotated.publicKey];
    letPass(11_000);
    const { subject } = await authenticate(`Bearer ${await sign({ key: rotated.privateKey, subject: 'bob' })}`);
    expect([subject, issuing.asked]).toEqual(['bob', 2]);
  });

  test('a withdrawn key is refused within a minute, also with a token that was accepted before', async () => {
    const authenticate = authenticator({ keys: issuing.url, issuer, audience });
    const before = await fresh();
    await authenticate(before);
    issuing.keys = [(await generateKey('k2')).publicKey];
    // Read again in the background, while there are calls.
    letPass(25_000);
    await authenticate(before);
    await fetchedAgain(1);
    await new Promise((resolve) => setTimeout(resolve, 50));
    for (const header of [before, await fresh()])
      await expect(async () => authenticate(header)).rejects.toMatchObject({ reason: 'TOKEN_INVALID' });
  });

  test('a withdrawn key is refused by the first call after an idle time', async () => {
    const authenticate = authenticator({ keys: issuing.url, issuer, audience });
    const before = await fresh();
    await authenticate(before);
    issuing.keys = [(await generateKey('k2')).publicKey];
    letPass(minute);
    await expect(async () => authenticate(before)).rejects.toMatchObject({ reason: 'TOKEN_INVALID' });
  });

  test('a token stays known if its key does, however the set is written', async () => {
    const authenticate = authenticator({ keys: issuing.url, issuer, audience });
    const header = await fresh();
    const caller = await authenticate(header);
    issuing.keys = [(await generateKey('k2')).publicKey, { ...key.publicKey, use: 'sig' }];
    letPass(minute);
    // The set is read before the token is looked for among the remembered ones again.
    await authenticate(await fresh());
    expect(authenticate(header)).toBe(caller);
  });

  test('a token is remembered once, however its header is written', async () => {
    const authenticate = authenticator({ keys: issuing.url, issuer, audience });
    const header = await fresh();
    const caller = await authenticate(header);
    const token = header.slice('Bearer '.length);
    for (const other of [`bearer ${token}`, `Bearer${' '.repeat(5_000)}${token}`, ` ${header} `])
      expect(authenticate(other)).toBe(caller);
  });

  test('tokens with unknown keys wait for one read, and only some of them', async () => {
    const stranger = await generateKey('unknown');
    const authenticate = authenticator({ keys: issuing.url, issuer, audience });
    await authenticate(await fresh());
    letPass(11_000);
    const header = `Bearer ${await sign({ key: stranger.privateKey })}`;
    const outcomes = await Promise.allSettled(Array.from({ length: 50 }, async () => authenticate(header)));
    expect(new Set(outcomes.map((outcome) => (outcome as PromiseRejectedResult).reason?.reason))).toEqual(
      new Set(['TOKEN_INVALID']),
    );
    expect(issuing.asked).toBe(2);
  });

  test('the last keys are used for an hour while the issuer is unreachable', async () => {
    const authenticate = authenticator({ keys: issuing.url, issuer, audience });
    await authenticate(await fresh());
    issuing.away = true;
    letPass(50 * minute);
    for (let call = 0; call < 3; call++) await authenticate(await fresh());
    // The keys are fetched again, but not with each call.
    await fetchedAgain(1);
    expect(issuing.asked).toBe(2);
    letPass(11 * minute);
    await expect(async () => authenticate(await fresh())).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    issuing.away = false;
    letPass(6_000);
    await authenticate(await fresh());
  });

  test('how long they are used is set', async () => {
    const authenticate = authenticator({ keys: issuing.url, issuer, audience, keeping: { maxStaleMs: 5 * minute } });
    await authenticate(await fresh());
    issuing.away = true;
    letPass(4 * minute);
    await authenticate(await fresh());
    letPass(2 * minute);
    await expect(async () => authenticate(await fresh())).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  test('prepare reads them, and fails while they are out of reach', async () => {
    issuing.away = true;
    const authenticate = authenticator({ keys: issuing.url, issuer, audience });
    await expect(authenticate.prepare()).rejects.toThrow('503');
    issuing.away = false;
    letPass(6_000);
    await authenticate.prepare();
    expect(issuing.asked).toBe(2);
  });
});

describe('tokenSource', () => {
  test('uses a token until it is old', async () => {
    const content = { key: key.privateKey, issuer, audience, subject: 'service:orders', permissions: ['a'] };
    const source = tokenSource({ ...content, ttlSeconds: 60 });
    expect(await source()).toBe(await source());
    const caller = await local()(`Bearer ${await source()}`);
    expect(caller.subject).toBe('service:orders');
    const spent = tokenSource({ ...content, ttlSeconds: 0 });
    expect(spent()).not.toBe(spent());
  });

  test('makes the next token before the last expires', async () => {
    let signed = 0;
    const source = renewing(async () => `token ${++signed}`, 3600);
    expect([await source(), await source()]).toEqual(['token 1', 'token 1']);
    letPass(3000 * 1000);
    expect(await source()).toBe('token 2');
  });
});
