import { order } from '@caudal/contract/entities.ts';
import { expect, test } from '@jest/globals';
import { encodeMetadata, metadataOf, newEvent, occurredAt, originOf } from './codec.ts';

const origin = { actor: 'customer-1', causationId: 'request-1', correlationId: 'c-1', traceparent: '00-a-b-01' };

test('an event carries its origin and its time', () => {
  const now = new Date('2026-01-02T03:04:05.678Z');
  const event = { $case: 'completed', value: {} } as never;
  const made = newEvent({ entity: order, event, origin, now, ids: () => 'id-1' });
  expect(made).toMatchObject({ eventId: 'id-1', type: 'orders.order.completed.v1', schemaVersion: 1 });
  expect(occurredAt(made)).toEqual(now);
  expect(metadataOf(made)).toEqual({ ...origin, occurredMillis: BigInt(now.getTime()), claimed: false });
  expect(metadataOf({ metadata: encodeMetadata(origin, now, true) })).toMatchObject({ ...origin, claimed: true });
  expect(originOf(made, 'service:orders')).toEqual({ ...origin, actor: 'service:orders', causationId: 'id-1' });
});
