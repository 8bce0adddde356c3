/** Wrong tokens, API keys and signatures of an address: beyond a bound none is checked. docs/limits.md */
import { OrderQueryServiceService } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { afterEach, describe, expect, test } from '@jest/globals';
import { type Seen, start, stopAll, token } from '../testing/fixture.ts';
import { grpcCalls } from '../testing/grpc-calls.ts';
import { secret, startProbes } from '../testing/probe.ts';
import { signWebhook } from '../testing/sign-webhook.ts';
import { trustedProxies } from './address.ts';
import { formatApiKey, hashOfSecret, type KnownApiKey, newSecret } from './api-keys.ts';
import { authenticator } from './auth.ts';
import { generateKey } from './tokens.ts';

afterEach(stopAll);

const quotas = { failed: { calls: 5, windowMs: 60_000 } };
const read = ['orders.orders.read'];
const path = OrderQueryServiceService.getOrder.path;
const bytes = Buffer.from(OrderQueryServiceService.getOrder.requestSerialize({ orderId: 'o-1', readMask: undefined }));

interface Server {
  url: string;
  address: string;
}

async function overRest({ url }: Server, as: string | undefined, from?: string): Promise<string> {
  const response = await fetch(`${url}/v1/orders/o-1`, {
    headers: { ...(as && { authorization: `Bearer ${as}` }), ...(from && { 'x-forwarded-for': from }) },
  });
  const { reason = '' } = (await response.json()) as { reason?: string };
  if (response.status === 429) expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
  return response.ok ? 'OK' : reason;
}

async function overGrpc({ address }: Server, as: string | undefined, from?: string): Promise<string> {
  const calls = grpcCalls(address);
  try {
    const given = { ...(as && { as }), ...(from && { headers: { 'x-forwarded-for': from } }) };
    return await calls.send(path, bytes, given).then(
      () => 'OK',
      () => calls.refusal(path, bytes, given).then(({ reason }) => reason),
    );
  } finally {
    calls.close();
  }
}

describe.each([
  ['REST', overRest],
  ['gRPC', overGrpc],
])('over %s', (_, send) => {
  test('wrong tokens end the checks of their address: what was known before goes on, and so do others', async () => {
    const server = await start({ quotas, trustedProxies: trustedProxies(['127.0.0.1']) });
    const known = await token('alice', read);
    expect(await send(server, known, '192.0.2.1')).toBe('OK');
    const stranger = await generateKey('stranger');
    const reasons = [];
    for (let n = 0; n < 8; n++)
      reasons.push(await send(server, await token('eve', read, { key: stranger }), '192.0.2.1'));
    expect(reasons[0]).toBe('TOKEN_INVALID');
    expect(reasons.slice(-3)).toEqual(Array(3).fill('TOO_MANY_FAILED_CHECKS'));
    // Its signature is right, so it was not looked at.
    expect(await send(server, await token('alice', read, { ttlSeconds: 61 }), '192.0.2.1')).toBe(
      'TOO_MANY_FAILED_CHECKS',
    );
    expect(await send(server, known, '192.0.2.1')).toBe('OK');
    expect(await send(server, await token('alice', read, { ttlSeconds: 62 }), '192.0.2.2')).toBe('OK');
  });

  test('calls without a token do not count', async () => {
    const server = await start({ quotas });
    for (let n = 0; n < 12; n++) expect(await send(server, undefined)).toBe('TOKEN_MISSING');
    expect(await send(server, await token('alice', read))).toBe('OK');
  });
});

test('an expired token that was known is looked at once more, and counts', async () => {
  const server = await start({ quotas: { failed: { calls: 2, windowMs: 60_000 } } });
  const short = await token('alice', read, { ttlSeconds: -4 });
  expect(await overRest(server, short)).toBe('OK');
  const reasons: string[] = [];
  for (let n = 0; n < 60 && reasons.at(-1) !== 'TOO_MANY_FAILED_CHECKS'; n++) {
    reasons.push(await overRest(server, short));
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const ended = reasons.filter((reason) => reason !== 'OK');
  expect(ended).toEqual(['TOKEN_EXPIRED', 'TOKEN_EXPIRED', 'TOO_MANY_FAILED_CHECKS']);
});

test('API keys count as tokens do, and a known one goes on', async () => {
  const id = '0190d6f0-1c5e-7b3a-9f00-5d2c8a4be101';
  const [right, wrong] = [newSecret(), newSecret()];
  const key: KnownApiKey = {
    ...{ id, owner: 'alice', creator: 'alice', permissions: new Set(read), expiresAt: 9e15 },
    secrets: [{ hash: hashOfSecret(right), maker: 'alice', madeAt: 0, endsAt: 9e15 }],
  };
  const none = { tokens: new Set<string>(), subjects: new Map<string, number>() };
  const { publicKey } = await generateKey('users');
  const server = await start({
    quotas,
    auth: authenticator({
      ...{ keys: { keys: [publicKey] }, issuer: 'https://issuer.test', audience: 'caudal' },
      credentials: () => ({ revocations: () => none, apiKey: async (asked) => (asked === id ? key : undefined) }),
    }),
  });
  expect(await overRest(server, formatApiKey(id, right))).toBe('OK');
  for (let n = 0; n < 5; n++) expect(await overRest(server, formatApiKey(id, wrong))).toBe('API_KEY_INVALID');
  expect(await overRest(server, formatApiKey(id, wrong))).toBe('TOO_MANY_FAILED_CHECKS');
  expect(await overRest(server, formatApiKey(id, right))).toBe('OK');
});

test("wrong signatures of webhooks end the checks of their address before the body's", async () => {
  const seen: Seen[] = [];
  const server = await startProbes(seen, { quotas });
  const body = JSON.stringify({ requestId: '0190d6f0-1c5e-7b3a-9f00-5d2c8a4be101', probeId: 'p-7', note: '' });
  const report = async (by: string) => {
    const signature = signWebhook([by], body, Math.floor(Date.now() / 1000));
    const headers = { 'content-type': 'application/json', 'webhook-signature': signature };
    const response = await fetch(`${server.url}/v1/webhooks/measurements`, { method: 'POST', headers, body });
    return ((await response.json()) as { reason?: string }).reason ?? 'OK';
  };
  for (let n = 0; n < 5; n++) expect(await report('x'.repeat(32))).toBe('SIGNATURE_INVALID');
  expect(await report(secret)).toBe('TOO_MANY_FAILED_CHECKS');
  expect(seen).toEqual([]);
});
