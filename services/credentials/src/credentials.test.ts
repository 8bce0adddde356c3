import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import type { CredentialCheckServiceService } from '@caudal/contract/gen/caudal/credentials/v1/checks.ts';
import {
  CreateApiKeyRequest,
  type CredentialQueryServiceService,
  type CredentialServiceService,
  RotateApiKeyRequest,
} from '@caudal/contract/gen/caudal/credentials/v1/credentials.ts';
import type { Append } from '@caudal/eventlog/types.ts';
import type { Caller } from '@caudal/kernel/context.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { hashOfSecret, parseApiKey } from '@caudal/rpc/server/api-keys.ts';
import type { Call, Handlers } from '@caudal/rpc/types.ts';
import { refusalOf, testCall } from '@caudal/testing/call.ts';
import { type MemoryLog, memoryLog } from '@caudal/testing/memory-log.ts';
import { fixedViews } from '@caudal/testing/view-readers.ts';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { credentialCheckService } from './commands/check-service.ts';
import { credentialService } from './commands/credential-service.ts';
import { maxKeys } from './domain/key-owner.ts';
import { credentialQueryService } from './queries/credential-query-service.ts';

let appended: Append[];
let log: MemoryLog;
let api: Handlers<CredentialServiceService>;
let checks: Handlers<CredentialCheckServiceService>;
let queries: Handlers<CredentialQueryServiceService>;
let now: Date;
/** By how much the clock goes on each time that it is asked. */
let tickMs: number;
beforeEach(() => {
  appended = [];
  tickMs = 0;
  now = new Date('2026-01-01T00:00:00Z');
  log = memoryLog({
    domain: 'credentials',
    async call(judge, appends) {
      appended.push(...appends);
      judge();
    },
  });
  const clock = () => {
    const asked = now;
    now = new Date(now.getTime() + tickMs);
    return asked;
  };
  const aggregates = openAggregates({ log, clock, ids: newId });
  api = credentialService({ aggregates, ids: newId, clock }).handlers as never;
  checks = credentialCheckService({ aggregates, clock }).handlers as never;
  queries = credentialQueryService({ aggregates, clock, views: fixedViews({}) as never }).handlers as never;
});

const can = (...permissions: string[]): Partial<Caller> => ({ permissions: new Set(permissions) });
/** A call of this caller, who may do the method. */
function callOf(subject: string, caller: Partial<Caller>, requestId?: string): Call {
  const call = testCall({ subject, ...(requestId && { requestId }) });
  return Object.assign(call, { caller: { ...call.caller, ...caller, subject } });
}
const request = (more: Partial<CreateApiKeyRequest> = {}) =>
  CreateApiKeyRequest.fromPartial({
    ...{ owner: 'merchant', displayName: 'Shop', permissions: ['orders.orders.read'] },
    ...more,
  });
const merchant = (requestId?: string) =>
  callOf('merchant', can('orders.orders.read', 'catalog.products.write:any'), requestId);
const rotation = (apiKeyId: string, seconds = 0n) =>
  RotateApiKeyRequest.fromPartial({ apiKeyId, overlap: { seconds, nanos: 0 } });

describe('the secret of an API key', () => {
  test('is in the answer that has made it, fits the stored hash, and is written nowhere', async () => {
    const made = await api.createApiKey(request(), merchant('one'));
    const { id, secret } = parseApiKey(made.secret)!;
    expect(id).toBe(made.apiKeyId);
    const { secrets } = await checks.checkApiKey({ apiKeyId: id }, testCall());
    expect(secrets.map(({ hash }) => hash)).toEqual([hashOfSecret(secret)]);
    const rotated = await api.rotateApiKey(rotation(id), merchant('two'));
    const written = appended.flatMap(({ events, command }) => [...events.map(({ data }) => data), command?.reply]);
    const text = written.map((bytes) => Buffer.from(bytes ?? []).toString('latin1')).join();
    expect(written.length).toBeGreaterThan(2);
    for (const shown of [secret, parseApiKey(rotated.secret)!.secret]) expect(text).not.toContain(shown);
    expect((await queries.getApiKey({ apiKeyId: id, readMask: undefined }, merchant())).secret).toBe('');
  });

  test('is not repeated: a repeat makes no second key, and names the first', async () => {
    const made = await api.createApiKey(request(), merchant('one'));
    const again = await api.createApiKey(request(), merchant('one')).catch((error: unknown) => error);
    expect(again).toMatchObject({
      ...{ code: 'ALREADY_EXISTS', reason: 'SECRET_NOT_REPEATED', metadata: { api_key_id: made.apiKeyId } },
    });
    await api.rotateApiKey(rotation(made.apiKeyId), merchant('two'));
    expect(await refusalOf(api.rotateApiKey(rotation(made.apiKeyId), merchant('two')))).toMatchObject({
      reason: 'SECRET_NOT_REPEATED',
    });
    expect(log.events.map(({ type }) => type)).toEqual([
      'credentials.key.created.v1',
      'credentials.owner.key_counted.v1',
      'credentials.key.rotated.v1',
    ]);
  });
});

describe('the scope of an API key', () => {
  test.each<[string, Partial<CreateApiKeyRequest>, Partial<Caller>, string]>([
    [
      'a permission that its creator lacks',
      { permissions: ['payments.wallets.deposit'] },
      can('orders.orders.read'),
      'SCOPE_EXCEEDED',
    ],
    [
      'all owners, where its creator has its own',
      { permissions: ['orders.orders.read:any'] },
      can('orders.orders.read'),
      'SCOPE_EXCEEDED',
    ],
    ["another owner's, where its creator has its own", { owner: 'other' }, can('orders.orders.read'), 'SCOPE_EXCEEDED'],
    ['an unknown permission', { permissions: ['orders.orders.fly'] }, can('*'), 'INVALID_FIELD'],
    [
      'a permission of services',
      { permissions: ['payments.payments.write'] },
      can('*', 'payments.payments.write:any'),
      'INVALID_FIELD',
    ],
    ['one to read logs', { permissions: ['log.events.read'] }, can('*', 'log.events.read:any'), 'INVALID_FIELD'],
  ])('may not have %s', async (_, wanted, creator, reason) => {
    expect(await refusalOf(api.createApiKey(request(wanted), callOf('merchant', creator)))).toMatchObject({ reason });
    expect(appended).toEqual([]);
  });

  test('may have what its creator has, for others with ":any" only, and each permission once', async () => {
    const wanted = {
      owner: 'other',
      permissions: ['orders.orders.read', 'orders.orders.read:any', 'orders.orders.read'],
    };
    const made = await api.createApiKey(request(wanted), callOf('admin', can('orders.orders.read:any')));
    expect(made).toMatchObject({ owner: 'other', creator: 'admin' });
    expect(made.permissions).toEqual(['orders.orders.read', 'orders.orders.read:any']);
    expect(await api.createApiKey(request(), callOf('merchant', can('orders.orders.read')))).toMatchObject({
      permissions: ['orders.orders.read'],
    });
  });

  test('an API key changes nothing here, whatever its permissions are', async () => {
    const { apiKeyId } = await api.createApiKey(request(), merchant());
    const key = () => callOf('merchant', { ...can('*'), kind: 'key' });
    const attempts = [
      api.createApiKey(request(), key()).catch((error) => error),
      api.rotateApiKey(rotation(apiKeyId), key()).catch((error) => error),
      api.revokeApiKey({ requestId: '', apiKeyId, reason: '' }, key()).catch((error) => error),
      api
        .revokeToken({ requestId: '', tokenId: 't', expireTime: undefined, reason: '' }, key())
        .catch((error) => error),
      api.revokeSubject({ requestId: '', subject: 's', reason: '' }, key()).catch((error) => error),
    ].map(async (attempt) => (await attempt).reason);
    expect(new Set(await Promise.all(attempts))).toEqual(new Set(['API_KEY_NOT_ALLOWED']));
  });
});

describe('a caller whose token was revoked', () => {
  const issuedAgo = (ms: number, more: Partial<Caller> = {}) =>
    callOf('merchant', {
      ...can('orders.orders.read'),
      ...{ kind: 'user', credential: 'jti-1', issuedAt: now.getTime() - ms, ...more },
    });
  const refused = { code: 'UNAUTHENTICATED', reason: 'TOKEN_REVOKED' };
  const later = (ms: number) => {
    now = new Date(now.getTime() + ms);
  };
  const make = (call: Call) => api.createApiKey(request({ owner: call.caller.subject }), call);

  test('gets no secret that would outlive the revocation, though its process accepts the token for a while', async () => {
    const { apiKeyId } = await make(issuedAgo(60_000));
    await api.revokeSubject({ requestId: '', subject: 'merchant', reason: '' }, testCall());
    later(10_000);
    expect(await refusalOf(make(issuedAgo(70_000)))).toEqual(refused);
    expect(await refusalOf(make(issuedAgo(70_000, { issuedAt: undefined })))).toEqual(refused);
    expect(await refusalOf(api.rotateApiKey(rotation(apiKeyId), issuedAgo(70_000)))).toEqual(refused);
    expect(log.events.filter(({ type }) => /key\.(created|rotated)/.test(type))).toHaveLength(1);
    // A token that it has got since is good.
    await make(issuedAgo(4_000));
    await api.rotateApiKey(rotation(apiKeyId), issuedAgo(4_000));
  });

  test('is known by the `sub` of the token as well, and by its `jti`', async () => {
    await api.revokeSubject({ requestId: '', subject: 'auth0|1', reason: '' }, testCall());
    await api.revokeToken({ requestId: '', tokenId: 'jti-2', expireTime: undefined, reason: '' }, testCall());
    later(10_000);
    expect(await refusalOf(make(issuedAgo(60_000, { tokenSubject: 'auth0|1' })))).toEqual(refused);
    expect(await refusalOf(make(issuedAgo(0, { credential: 'jti-2' })))).toEqual(refused);
    await make(issuedAgo(60_000, { tokenSubject: 'auth0|2' }));
  });

  test('has no time to wait for its turn: a decision long after the check is refused', async () => {
    tickMs = 5_000;
    expect(await refusalOf(make(issuedAgo(60_000)))).toMatchObject({ code: 'UNAVAILABLE' });
    expect(log.events).toEqual([]);
  });
});

describe("the number of an owner's keys", () => {
  const makeMany = async (count: number) => {
    const made = [];
    for (let n = 0; n < count; n++) made.push(await api.createApiKey(request(), merchant()));
    return made;
  };
  const tooMany = { code: 'FAILED_PRECONDITION', reason: 'API_KEYS_TOO_MANY' };

  test('is bounded: those that were revoked or have ended leave room, and other owners have their own', async () => {
    const made = await makeMany(maxKeys);
    expect(await refusalOf(api.createApiKey(request(), merchant()))).toEqual(tooMany);
    await api.createApiKey(request({ owner: 'other' }), callOf('other', can('orders.orders.read')));
    const revoked = { requestId: '', apiKeyId: made[0]!.apiKeyId, reason: '' };
    for (const _ of [1, 2]) await api.revokeApiKey(revoked, merchant());
    await makeMany(1);
    expect(await refusalOf(api.createApiKey(request(), merchant()))).toEqual(tooMany);
    now = new Date(now.getTime() + 91 * 24 * 3_600_000);
    await makeMany(maxKeys);
    // A rotation with another end brings a key back that had ended.
    const late = { ...rotation(made[1]!.apiKeyId), expireTime: new Date(now.getTime() + 1_000_000) };
    expect(await refusalOf(api.rotateApiKey(late, merchant()))).toEqual(tooMany);
  });

  test('is counted in the same append as the key, so that many calls at once make no more', async () => {
    await makeMany(maxKeys - 3);
    const results = await Promise.allSettled(Array.from({ length: 10 }, () => api.createApiKey(request(), merchant())));
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(3);
  });
});

describe('a rotation', () => {
  const wanted = { permissions: ['payments.payments.refund'] };
  const refunding = (subject = 'merchant') =>
    callOf(subject, can('payments.payments.refund', 'payments.payments.refund:any'));
  // May rotate the keys of all owners.
  const rotated = (apiKeyId: string, call: Call) =>
    api.rotateApiKey(rotation(apiKeyId, 60n), { ...call, authorize: () => {} });

  test('needs the permissions of the key, since its answer is the whole key', async () => {
    const { apiKeyId } = await api.createApiKey(request(wanted), refunding());
    for (const has of [can('credentials.keys.write:any'), can('payments.payments.refund')])
      expect(await refusalOf(rotated(apiKeyId, callOf('support', has)))).toMatchObject({
        ...{ code: 'PERMISSION_DENIED', reason: 'SCOPE_EXCEEDED' },
      });
    // The owner has lost it since.
    expect(await refusalOf(rotated(apiKeyId, callOf('merchant', can())))).toMatchObject({ reason: 'SCOPE_EXCEEDED' });
    expect(log.events.map(({ type }) => type)).toEqual([
      'credentials.key.created.v1',
      'credentials.owner.key_counted.v1',
    ]);
    expect((await rotated(apiKeyId, refunding('admin'))).secret).not.toBe('');
  });

  test('says who has got the secret, so that revoking that subject ends it', async () => {
    const { apiKeyId } = await api.createApiKey(request(wanted), refunding());
    await rotated(apiKeyId, refunding('admin'));
    const { secrets } = await checks.checkApiKey({ apiKeyId }, testCall());
    expect(secrets.map(({ maker }) => maker)).toEqual(['admin', 'merchant']);
  });
});

describe("another owner's key", () => {
  test('is not read, rotated or revoked', async () => {
    const { apiKeyId } = await api.createApiKey(request(), merchant());
    const mallory = () => callOf('mallory', can());
    const attempts = [
      () => queries.getApiKey({ apiKeyId, readMask: undefined }, mallory()),
      () => api.rotateApiKey(rotation(apiKeyId), mallory()),
      () => api.revokeApiKey({ requestId: '', apiKeyId, reason: '' }, mallory()),
    ];
    for (const attempt of attempts) expect((await refusalOf(attempt())).reason).toBe('NOT_OWNER');
  });
});

describe('what processes are told', () => {
  test('of a key: its hashes until it is revoked, and nothing of one that is not there', async () => {
    const made = await api.createApiKey(request(), merchant());
    const { apiKeyId } = made;
    now = new Date(now.getTime() + 1_000);
    await api.rotateApiKey(rotation(apiKeyId, 60n), merchant());
    const { secrets, ...rest } = await checks.checkApiKey({ apiKeyId }, testCall());
    expect(rest).toEqual({
      ...{ found: true, owner: 'merchant', creator: 'merchant', permissions: ['orders.orders.read'] },
      expireMillis: BigInt(made.expireTime!.getTime()),
    });
    expect(secrets.map(({ endMillis }) => Number(endMillis))).toEqual([
      made.expireTime!.getTime(),
      now.getTime() + 60_000,
    ]);
    await api.revokeApiKey({ requestId: '', apiKeyId, reason: 'lost' }, merchant());
    expect(await checks.checkApiKey({ apiKeyId }, testCall())).toMatchObject({ found: true, secrets: [] });
    expect(await checks.checkApiKey({ apiKeyId: 'none' }, testCall())).toMatchObject({ found: false, secrets: [] });
  });

  test('of revocations: all, or that nothing has changed', async () => {
    const empty = await checks.listRevoked({ etag: '' }, testCall());
    expect(empty).toMatchObject({ unchanged: false, tokenIds: [], subjects: [] });
    expect(await checks.listRevoked({ etag: empty.etag }, testCall())).toMatchObject({ unchanged: true });
    await api.revokeToken({ requestId: '', tokenId: 't1', expireTime: undefined, reason: 'stolen' }, testCall());
    await api.revokeSubject({ requestId: '', subject: 'ada', reason: 'left' }, testCall());
    const list = await checks.listRevoked({ etag: empty.etag }, testCall());
    expect(list).toMatchObject({
      ...{ unchanged: false, tokenIds: ['t1'] },
      subjects: [{ subject: 'ada', untilMillis: BigInt(now.getTime()) }],
    });
    expect((await checks.listRevoked({ etag: list.etag }, testCall())).unchanged).toBe(true);
  });
});

describe('the list for people', () => {
  const page = (pageToken: string, pageSize = 2) =>
    queries.listRevocations({ pageSize, pageToken, readMask: undefined }, testCall());

  test('gives every entry that was there throughout once, while others come and end', async () => {
    const revoke = (tokenId: string, days: number) =>
      api.revokeToken(
        { requestId: '', tokenId, expireTime: new Date(now.getTime() + days * 86_400_000), reason: 'stolen' },
        testCall(),
      );
    for (const id of ['a', 'c', 'e', 'g']) await revoke(id, 10);
    await revoke('b', 1);
    await api.revokeSubject({ requestId: '', subject: 'ada', reason: 'left' }, testCall());
    const seen: string[] = [];
    let token = '';
    do {
      const { revocations, nextPageToken } = await page(token);
      seen.push(...revocations.map(({ tokenId, subject }) => tokenId || subject));
      token = nextPageToken;
      // Between the pages one ends, and one is added.
      now = new Date(now.getTime() + 2 * 86_400_000);
      await revoke('f', 5);
    } while (token);
    for (const id of ['ada', 'a', 'c', 'e', 'g']) expect(seen.filter((one) => one === id)).toHaveLength(1);
    expect(new Set(seen).size).toBe(seen.length);
  });

  test('refuses a page token that it has not given', async () => {
    const made = Buffer.from('["x",1,["1"],"id"]').toString('base64url');
    for (const token of ['x', '!', made, 'W10', 'bnVsbA', 'x'.repeat(900)])
      expect(await page(token).catch((error: unknown) => error)).toMatchObject({
        ...{ code: 'INVALID_ARGUMENT', violations: [{ field: 'page_token' }] },
      });
  });
});
