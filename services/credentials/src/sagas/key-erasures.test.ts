/** An erased customer's API keys end, however many there are, and no others are made. */
import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import { customer, ownerErasure } from '@caudal/contract/entities.ts';
import type { CredentialCheckServiceService } from '@caudal/contract/gen/caudal/credentials/v1/checks.ts';
import {
  CreateApiKeyRequest,
  type CredentialServiceService,
} from '@caudal/contract/gen/caudal/credentials/v1/credentials.ts';
import { newId } from '@caudal/kernel/ids.ts';
import type { Handlers } from '@caudal/rpc/types.ts';
import { concernOf } from '@caudal/sagas/observe.ts';
import { advance } from '@caudal/sagas/testing/advance.ts';
import { refusalOf, testCall } from '@caudal/testing/call.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { expect, test } from '@jest/globals';
import { credentialCheckService } from '../commands/check-service.ts';
import { credentialService } from '../commands/credential-service.ts';
import { isErased } from '../domain/owner-erasure.ts';
import { revocationDecider, revocationsAt, revocationsId } from '../domain/revocations.ts';
import { keyErasures } from './key-erasures.ts';

test('the API keys of a customer who is erased count no more, and no others are made; those of others go on', async () => {
  const log = memoryLog({ domain: 'credentials' });
  const clock = () => new Date('2026-01-01T00:00:00Z');
  const aggregates = openAggregates({ log, clock, ids: newId });
  const api = credentialService({ aggregates, ids: newId, clock })
    .handlers as unknown as Handlers<CredentialServiceService>;
  const checks = credentialCheckService({ aggregates, clock })
    .handlers as unknown as Handlers<CredentialCheckServiceService>;
  const make = (owner: string) =>
    api.createApiKey(
      CreateApiKeyRequest.fromPartial({ owner, displayName: 'Mine', permissions: ['orders.orders.read'] }),
      { ...testCall(), caller: { subject: owner, permissions: new Set(['orders.orders.read']) } },
    );
  const [first, second, other] = [await make('auth0|c1'), await make('auth0|c1'), await make('c2')];
  const secretsOf = async ({ apiKeyId }: { apiKeyId: string }) =>
    (await checks.checkApiKey({ apiKeyId }, testCall())).secrets.length;
  expect([await secretsOf(first), await secretsOf(second), await secretsOf(other)]).toEqual([1, 1, 1]);

  const origin = { actor: 'test', causationId: '', correlationId: '', traceparent: '' };
  const saga = keyErasures({ aggregates, tokenLifetimeMs: 3_600_000 });
  for (const _ of [1, 2]) {
    const event = { $case: 'erased' as const, value: { customerId: 'auth0|c1' } };
    const observed = { stream: customer.stream('auth0|c1'), id: 'auth0|c1', version: 2, at: clock(), event };
    const { sagaId, react } = concernOf(saga, customer.name, observed)!;
    const options = { saga, aggregates, clock, signal: new AbortController().signal };
    await advance(options, sagaId, [{ react, origin }], 0);
  }
  expect(log.events.filter(({ stream }) => stream === ownerErasure.stream('auth0|c1')).map(({ type }) => type)).toEqual(
    ['credentials.erasure.owner_erased.v1', 'credentials.erasure.tokens_revoked.v1'],
  );
  // Its tokens end too, for as long as one of them could live.
  const { state } = await aggregates.load(revocationDecider, revocationsId);
  expect(revocationsAt(state, clock())).toEqual([
    expect.objectContaining({
      ...{ subject: 'auth0|c1', issuedUntil: clock(), endsAt: new Date(clock().getTime() + 3_600_000 + 60_000) },
    }),
  ]);
  expect([await isErased(aggregates, 'auth0|c1'), await isErased(aggregates, 'c2')]).toEqual([true, false]);
  expect([await secretsOf(first), await secretsOf(second), await secretsOf(other)]).toEqual([0, 0, 1]);
  expect(await refusalOf(make('auth0|c1'))).toEqual({ code: 'FAILED_PRECONDITION', reason: 'OWNER_ERASED' });
  expect(log.events.filter(({ type }) => type === 'credentials.key.created.v1')).toHaveLength(3);
});
