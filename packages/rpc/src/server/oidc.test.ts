/** Discovery, keys and tokens of a real OpenID provider. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { exportJWK, generateKeyPair, type JWK } from 'jose';
import * as oidc from 'oidc-provider';
import { letPass } from '../testing/let-pass.ts';
import { authenticator } from './auth.ts';

const audience = 'https://shop.test/api';
const scope = 'orders.orders.read orders.orders.place:any';

async function newKey(kid: string, alg: 'RS256' | 'ES256'): Promise<JWK> {
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  return { ...(await exportJWK(privateKey)), kid, alg, use: 'sig' };
}

/** A provider that gives machines tokens for the API. */
function providerOf(issuer: string, keys: JWK[]) {
  const alg = keys[0]!.alg as 'RS256';
  return new oidc.Provider(issuer, {
    jwks: { keys: keys as never },
    clients: [
      {
        ...{ client_id: 'warehouse', client_secret: 'a-secret-of-the-warehouse', grant_types: ['client_credentials'] },
        ...{ redirect_uris: [], response_types: [], id_token_signed_response_alg: alg },
      },
    ],
    scopes: scope.split(' '),
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => audience,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          ...{ scope, audience, accessTokenFormat: 'jwt', accessTokenTTL: 600 },
          jwt: { sign: { alg } },
        }),
      },
    },
  });
}

describe('a provider', () => {
  let server: Server;
  let issuer: string;
  let away = false;
  let serve: ReturnType<oidc.Provider['callback']>;

  beforeAll(async () => {
    // It says that its memory is for development only.
    for (const level of ['info', 'warn'] as const) jest.spyOn(console, level).mockImplementation(() => {});
    server = createServer((request, response) => {
      if (away) response.writeHead(503).end();
      else serve(request, response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => {
    jest.restoreAllMocks();
    server.closeAllConnections();
    server.close();
  });
  const use = (...keys: JWK[]) => {
    serve = providerOf(issuer, keys).callback();
  };
  async function tokenOf(): Promise<string> {
    const response = await fetch(`${issuer}/token`, {
      method: 'POST',
      headers: { authorization: `Basic ${Buffer.from('warehouse:a-secret-of-the-warehouse').toString('base64')}` },
      body: new URLSearchParams({ grant_type: 'client_credentials', scope }),
    });
    const body = (await response.json()) as { access_token?: string };
    if (!body.access_token) throw new Error(JSON.stringify(body));
    return `Bearer ${body.access_token}`;
  }
  const open = () =>
    authenticator({
      keys: { issuer, allowHttp: false },
      ...{ issuer, audience },
      lifetime: { maxSeconds: 3_600, setting: 'CAUDAL_TOKEN_MAX_LIFETIME' },
    });

  test.each(['RS256', 'ES256'] as const)('its tokens with %s are checked with its discovered keys', async (alg) => {
    use(await newKey(`first-${alg}`, alg));
    const authenticate = open();
    await authenticate.prepare();
    const caller = await authenticate(await tokenOf());
    expect(caller).toMatchObject({ subject: 'warehouse', kind: 'user', credential: expect.any(String) });
    expect([...caller.permissions].sort()).toEqual(scope.split(' ').sort());
  });

  test('another audience and another issuer are refused', async () => {
    use(await newKey('first', 'RS256'));
    const token = await tokenOf();
    for (const wrong of [{ audience: 'https://else.test' }, { issuer: `${issuer}/` }]) {
      const authenticate = authenticator({ keys: { issuer, allowHttp: false }, issuer, audience, ...wrong });
      await expect(async () => authenticate(token)).rejects.toMatchObject({ reason: 'TOKEN_INVALID' });
    }
  });

  test('a key that it has added is taken at once, and one that it has withdrawn is refused within a minute', async () => {
    const [first, second] = [await newKey('first', 'RS256'), await newKey('second', 'RS256')];
    use(first);
    const authenticate = open();
    const before = await tokenOf();
    await authenticate(before);
    use(second, first);
    letPass(11_000);
    await authenticate(await tokenOf());
    await authenticate(before);
    use(second);
    letPass(60_000);
    await expect(async () => authenticate(before)).rejects.toMatchObject({ reason: 'TOKEN_INVALID' });
    jest.useRealTimers();
  });

  test('while it is away its last keys are used, and a process without any can check nothing', async () => {
    use(await newKey('first', 'RS256'));
    const authenticate = open();
    const token = await tokenOf();
    await authenticate(token);
    away = true;
    letPass((30 * 60_000) / 60);
    await authenticate(token);
    await expect(open().prepare()).rejects.toThrow('503');
    jest.useRealTimers();
    away = false;
  });
});
