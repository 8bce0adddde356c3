/** Keys of workloads: what each is trusted for, and what it signs. */
import { generateKeyPairSync, verify } from 'node:crypto';
import type { RecordedEvent } from '@caudal/eventlog/types.ts';
import { openSealer } from '@caudal/messaging/seals/sealer.ts';
import { generateKey } from '@caudal/rpc/server/tokens.ts';
import { describe, expect, test } from '@jest/globals';
import type { JWK } from 'jose';
import { openMessageSeals } from './message-seals.ts';
import type { RuntimeValues } from './settings/settings.ts';
import { type TrustedKeys, workloadKeys } from './workload-keys.ts';

const maxStaleMs = 60_000;
const event = (stream: string): RecordedEvent => ({
  ...{ eventId: '0190b4a0-0000-7000-8000-000000000001', type: 'orders.order.placed.v1', schemaVersion: 1 },
  ...{ data: Buffer.from('body'), metadata: Buffer.alloc(0), position: 1, stream, version: 1, recordedAt: new Date(0) },
});
const values = (allow: boolean) =>
  ({ CAUDAL_ALLOW_UNSEALED_MESSAGES: allow, CAUDAL_ROLES: ['relay'] }) as unknown as RuntimeValues;

describe('keys that are bound', () => {
  test('count for the contexts and roles of their workload; without roles for all', async () => {
    const { publicKey } = await generateKey('k');
    const found = (members: object, context: string, role: 'relay' | 'query') => {
      const keys = { keys: [{ ...publicKey, ...members } as JWK] };
      const trusted = workloadKeys({ own: undefined, keys, bound: true, maxStaleMs }).get() as TrustedKeys;
      return trusted.find('k', { context, role }) !== undefined;
    };
    const cases: [object, string, 'relay' | 'query', boolean][] = [
      [{ caudal_contexts: ['orders'], caudal_roles: ['relay'] }, 'orders', 'relay', true],
      [{ caudal_contexts: ['orders'], caudal_roles: ['relay'] }, 'payments', 'relay', false],
      [{ caudal_contexts: ['orders'], caudal_roles: ['query'] }, 'orders', 'relay', false],
      [{ caudal_contexts: ['*'], caudal_roles: ['query', 'relay'] }, 'payments', 'relay', true],
      [{ caudal_contexts: ['*'] }, 'payments', 'relay', true],
      [{ caudal_contexts: ['*'], caudal_roles: [] }, 'payments', 'relay', false],
      [{ caudal_contexts: ['*'], caudal_roles: 'relay' }, 'payments', 'relay', false],
      [{ caudal_roles: ['relay'] }, 'orders', 'relay', false],
    ];
    for (const [members, context, role, expected] of cases)
      expect([members, context, role, found(members, context, role)]).toEqual([members, context, role, expected]);
  });

  test('of one name do not count', async () => {
    const [one, other] = [(await generateKey('k')).publicKey, (await generateKey('k')).publicKey];
    const bound = (key: JWK) => ({ ...key, caudal_contexts: ['*'] });
    const keys = { keys: [bound(one), bound(other)] };
    const trusted = workloadKeys({ own: undefined, keys, bound: true, maxStaleMs }).get() as TrustedKeys;
    expect(trusted.find('k', { context: 'orders', role: 'relay' })).toBeUndefined();
    expect(trusted.find('other', { context: 'orders', role: 'relay' })).toBeUndefined();
  });
});

test.each([
  ['Ed25519', () => generateKeyPairSync('ed25519')],
  ['P-256', () => generateKeyPairSync('ec', { namedCurve: 'P-256' })],
  ['RSA', () => generateKeyPairSync('rsa', { modulusLength: 2_048 })],
])('a key of the kind %s seals, and its public half checks that', async (_, generate) => {
  const { privateKey, publicKey } = generate();
  const own = { ...privateKey.export({ format: 'jwk' }), kid: 'own' } as JWK;
  const keys = { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'own' } as JWK] };
  const { sealer, check } = openMessageSeals(values(false), workloadKeys({ own, keys, bound: false, maxStaleMs }));
  const events = [event('orders.order/1'), event('orders.order/2')];
  const seals = sealer!(events);
  const received = events.map((one) => ({ event: one, seal: seals.get(one) }));
  expect(await check!(received)).toEqual([undefined, undefined]);
  expect(await check!([{ ...received[0]!, seal: received[1]!.seal }])).toEqual(['wrong']);
});

test('the key that all processes share has a name of its own', async () => {
  const { privateKey, publicKey } = await generateKey('x');
  const [own, shared] = [
    { ...privateKey, kid: undefined } as unknown as JWK,
    { ...publicKey, kid: undefined } as unknown as JWK,
  ];
  const { signer, get } = workloadKeys({ own, keys: { keys: [shared] }, bound: false, maxStaleMs });
  const key = ((await get()) as TrustedKeys).find(signer!.keyId, { context: 'orders', role: 'relay' });
  expect(verify(null, Buffer.from('text'), key!, signer!.sign(Buffer.from('text')))).toBe(true);
});

test('the key of a workload without the role relay seals nothing that is believed', async () => {
  const pair = await generateKey('query.1');
  const keys = { keys: [{ ...pair.publicKey, caudal_contexts: ['*'], caudal_roles: ['query'] }] };
  const { check } = openMessageSeals(values(false), workloadKeys({ own: undefined, keys, bound: true, maxStaleMs }));
  const of = event('orders.order/1');
  const { signer } = workloadKeys({ own: pair.privateKey, keys, bound: true, maxStaleMs });
  const seal = openSealer(signer!)([of]).get(of);
  expect(await check!([{ event: of, seal }])).toEqual(['unknown_key']);
});

test('without keys nothing is believed, unless the setting says so', async () => {
  const none = workloadKeys({ own: undefined, keys: undefined, bound: false, maxStaleMs });
  const { sealer, check } = openMessageSeals(values(false), none);
  expect(sealer).toBeUndefined();
  expect(await check!([{ event: event('orders.order/1'), seal: undefined }])).toEqual(['none']);
  expect(openMessageSeals(values(true), none).check).toBeUndefined();
});
