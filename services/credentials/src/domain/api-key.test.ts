import { given } from '@caudal/testing/given.ts';
import { describe, expect, test } from '@jest/globals';
import { type ApiKeyEvent, apiKeyDecider, createKey, revokeKey, rotateKey } from './api-key.ts';

const now = new Date('2026-01-01T00:00:00Z');
const dayMs = 24 * 3_600_000;
const inDays = (days: number) => new Date(now.getTime() + days * dayMs);
const hash = (byte: number) => Buffer.alloc(32, byte);

const wanted = {
  ...{ apiKeyId: 'k1', owner: 'merchant', creator: 'admin', displayName: 'Shop', permissions: ['orders.orders.read'] },
  secretHash: hash(1),
};
const created: ApiKeyEvent = { $case: 'created', value: { ...wanted, expireTime: inDays(90) } };
const rotated = (byte: number, formerEndTime: Date): ApiKeyEvent => ({
  $case: 'rotated',
  value: { secretHash: hash(byte), formerEndTime, expireTime: inDays(90), rotator: 'merchant' },
});
const revoked: ApiKeyEvent = { $case: 'revoked', value: { reason: 'lost' } };
const after = (...events: ApiKeyEvent[]) => given(apiKeyDecider, events, now);
const rotating =
  (overlapMs: number, expireTime?: Date) => (state: Parameters<typeof rotateKey>[0], context: { now: Date }) =>
    rotateKey(state, context, { apiKeyId: 'k1', secretHash: hash(2), overlapMs, expireTime, rotator: 'merchant' });

describe('an API key', () => {
  test('is made once, for 90 days if nothing is said, for 366 at most', () => {
    const creating = (expireTime?: Date) => (state: Parameters<typeof createKey>[0], context: { now: Date }) =>
      createKey(state, context, { ...wanted, expireTime });
    after().when(creating()).gives([created]);
    after()
      .when(creating(inDays(366)))
      .gives([{ $case: 'created', value: { ...wanted, expireTime: inDays(366) } }]);
    for (const wrong of [now, inDays(-1), inDays(366.1)])
      after().when(creating(wrong)).refuses('INVALID_ARGUMENT', 'INVALID_FIELD');
    after(created).when(creating()).refuses('ALREADY_EXISTS', 'API_KEY_EXISTS');
  });

  test('has a present secret, and after a rotation the one before for its overlap', () => {
    expect(after(created).state.secrets).toEqual([{ hash: hash(1), maker: 'admin', madeAt: now, endsAt: undefined }]);
    after(created)
      .when(rotating(dayMs))
      .gives([rotated(2, inDays(1))]);
    expect(after(created, rotated(2, inDays(1))).state.secrets).toEqual([
      { hash: hash(2), maker: 'merchant', madeAt: now, endsAt: undefined },
      { hash: hash(1), maker: 'admin', madeAt: now, endsAt: inDays(1) },
    ]);
  });

  test('is rotated again only after the overlap, or without one, which ends all other secrets', () => {
    const overlapping = after(created, rotated(2, inDays(1)));
    overlapping.when(rotating(dayMs)).refuses('FAILED_PRECONDITION', 'API_KEY_ROTATING');
    overlapping.when(rotating(0)).gives([rotated(2, now)]);
    overlapping.when(rotating(dayMs), inDays(2)).gives([rotated(2, inDays(3))]);
    expect(after(created, rotated(2, inDays(1)), rotated(3, now)).state.secrets).toEqual([
      { hash: hash(3), maker: 'merchant', madeAt: now, endsAt: undefined },
    ]);
    const often = Array.from({ length: 50 }, (_, number) => rotated(number, inDays(number + 1)));
    expect(after(created, ...often).state.secrets).toHaveLength(2);
  });

  test('keeps its end at a rotation, or gets another one', () => {
    after(created)
      .when(rotating(0, inDays(300)))
      .gives([{ ...rotated(2, now), value: { ...rotated(2, now).value, expireTime: inDays(300) } } as ApiKeyEvent]);
    after(created).when(rotating(0), inDays(91)).refuses('FAILED_PRECONDITION', 'API_KEY_EXPIRED');
    after(created)
      .when(rotating(0, inDays(400)), inDays(91))
      .gives([
        { $case: 'rotated', value: { ...rotated(2, inDays(91)).value, expireTime: inDays(400) } } as ApiKeyEvent,
      ]);
  });

  test('that was revoked has no secrets, is not rotated, and is revoked once', () => {
    const revoking = (state: Parameters<typeof revokeKey>[0]) => revokeKey(state, 'k1', 'lost');
    after(created).when(revoking).gives([revoked]);
    after(created, revoked).when(revoking).gives([]);
    after(created, revoked).when(rotating(0)).refuses('FAILED_PRECONDITION', 'API_KEY_REVOKED');
    expect(after(created, rotated(2, inDays(1)), revoked).state).toMatchObject({ secrets: [], revokeTime: now });
  });

  test('must exist', () => {
    after().when(rotating(0)).refuses('NOT_FOUND', 'API_KEY_NOT_FOUND');
    after()
      .when((state) => revokeKey(state, 'k1', ''))
      .refuses('NOT_FOUND', 'API_KEY_NOT_FOUND');
  });
});
