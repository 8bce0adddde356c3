import { ApiKey } from '@caudal/contract/gen/caudal/credentials/v1/credentials.ts';
import type { Follow } from '@caudal/projections/types.ts';
import { expect, test } from '@jest/globals';
import type { ApiKeyEvent } from '../domain/api-key.ts';
import { apiKeys } from './api-keys.ts';

const at = (day: number) => new Date(Date.UTC(2026, 0, day));
const [follow] = apiKeys.follows as unknown as [Follow<ApiKey, ApiKeyEvent>];

/** The view after these events, one a day. */
const viewAfter = (...events: ApiKeyEvent[]) =>
  events.reduce<ApiKey | undefined>((view, event, index) => {
    const version = index + 1;
    const common = { stream: 'credentials.key/k1', id: 'k1', eventId: `e${version}` };
    return follow.evolve(view, { ...common, version, at: at(version), event }) as ApiKey;
  }, undefined);

const made = { apiKeyId: 'k1', owner: 'm', creator: 'a', displayName: 'Shop', permissions: ['p'], expireTime: at(30) };
const secretHash = Buffer.alloc(32, 7);
const created: ApiKeyEvent = { $case: 'created', value: { ...made, secretHash } };
const rotated: ApiKeyEvent = {
  $case: 'rotated',
  value: { secretHash, formerEndTime: at(9), expireTime: at(60), rotator: 'm' },
};
const revoked: ApiKeyEvent = { $case: 'revoked', value: { reason: 'lost' } };

test('a view has what a key is, without its secret and the hash', () => {
  const view = viewAfter(created)!;
  expect(view).toEqual(ApiKey.fromPartial({ ...made, createTime: at(1), updateTime: at(1), etag: '1' }));
  expect(JSON.stringify(ApiKey.toJSON(view))).not.toMatch(/secret|BwcH/);
});

test('a view has the end of the secret before, and when the key was revoked', () => {
  expect(viewAfter(created, rotated)).toMatchObject({ formerSecretEndTime: at(9), expireTime: at(60), etag: '2' });
  const without: ApiKeyEvent = { $case: 'rotated', value: { ...rotated.value, formerEndTime: at(2) } };
  expect(viewAfter(created, without)!.formerSecretEndTime).toBeUndefined();
  expect(viewAfter(created, rotated, revoked)).toMatchObject({ revokeTime: at(3), formerSecretEndTime: undefined });
});
