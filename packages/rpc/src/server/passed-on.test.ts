/** Services pass on texts that an earlier version has taken and that are refused by now; nobody else can send them. */
import { OrderServiceService } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import type { Caller } from '@caudal/kernel/context.ts';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { connect } from '../client/client.ts';
import { localClient } from '../client/local-client.ts';
import { placeOrder, services, start, stopAll, token } from '../testing/fixture.ts';
import { developer } from './auth.ts';

let server: Awaited<ReturnType<typeof start>>;
beforeAll(async () => {
  server = await start();
});
afterAll(stopAll);

const earlier = placeOrder({ country: '4111 1111 1111 1111\u0007', attributes: { note: '\u202e' } });
const kindOf = (subject: string) => (subject.startsWith('service:') ? 'service' : 'user');

describe.each<[string, (subject: string, permissions: string[]) => ReturnType<typeof localClient>]>([
  [
    'gRPC',
    (subject, permissions) =>
      connect(OrderServiceService, { address: server.address, auth: () => token(subject, permissions) }),
  ],
  [
    'a local client',
    (subject, permissions) => {
      const caller: Caller = { subject, permissions: new Set(permissions), kind: kindOf(subject) };
      return localClient(OrderServiceService, services(), caller);
    },
  ],
])('over %s', (_, clientOf) => {
  test.each([
    ['service:orders', 'orders.orders.place:any', 'OK'],
    ['shop', 'orders.orders.place:any', 'INVALID_ARGUMENT'],
  ])('%s with %s: %s', async (subject, permission, outcome) => {
    const client = clientOf(subject, [permission]) as ReturnType<typeof connect<typeof OrderServiceService>>;
    const code = await client.placeOrder(earlier).then(
      () => 'OK',
      (error) => error.code,
    );
    expect(code).toBe(outcome);
    client.close();
  });
});

test('the developer, who may do everything, is no service', async () => {
  const client = localClient(OrderServiceService, services(), developer);
  await expect(client.placeOrder(earlier)).rejects.toMatchObject({ reason: 'INVALID_REQUEST' });
});
