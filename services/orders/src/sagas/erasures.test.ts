import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import { customer, ordersErasure } from '@caudal/contract/entities.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { concernOf } from '@caudal/sagas/observe.ts';
import { advance } from '@caudal/sagas/testing/advance.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { expect, test } from '@jest/globals';
import { erasures } from './erasures.ts';

test('a customer who is erased is erased in orders, once, in a stream of the same id', async () => {
  const log = memoryLog({ domain: 'orders' });
  const clock = () => new Date('2026-01-01T00:00:00Z');
  const aggregates = openAggregates({ log, clock, ids: newId });
  const origin = { actor: 'test', causationId: '', correlationId: '', traceparent: '' };
  const observe = async () => {
    const event = { $case: 'erased' as const, value: { customerId: 'auth0|c1' } };
    const observed = { stream: customer.stream('auth0|c1'), id: 'auth0|c1', version: 2, at: clock(), event };
    const { sagaId, react } = concernOf(erasures, customer.name, observed)!;
    const options = { saga: erasures, aggregates, clock, signal: new AbortController().signal };
    await advance(options, sagaId, [{ react, origin }], 0);
  };
  await observe();
  await observe();
  expect(log.events.map(({ stream, type }) => [stream, type])).toEqual([
    [ordersErasure.stream('auth0|c1'), 'orders.erasure.erased.v1'],
  ]);
});
