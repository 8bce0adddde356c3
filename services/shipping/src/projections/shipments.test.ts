import { shipment } from '@caudal/contract/entities.ts';
import { ShipmentStatus } from '@caudal/contract/gen/caudal/shipping/v1/shipping.ts';
import { gatheredViews } from '@caudal/testing/gathered.ts';
import { describe, expect, test } from '@jest/globals';
import type { ShipmentEvent } from '../domain/shipment.ts';
import { cancelled, created, dispatched, split } from '../testing/histories.ts';
import { shipments } from './shipments.ts';

const at = new Date('2026-01-01T00:00:00Z');
const viewsAfter = (...events: ShipmentEvent[]) =>
  gatheredViews(
    shipments,
    events.map((event) => ({ stream: shipment.stream('o1'), at, event })),
  );

describe('the view of shipments', () => {
  test('has one for each, with the events of version 0.2 about the first', () => {
    const old: ShipmentEvent[] = [
      { $case: 'dispatched', value: { ...value(dispatched()), shipmentId: '', customerId: '' } },
      { $case: 'delivered', value: { orderId: 'o1', shipmentId: '', partial: false } },
    ];
    expect([...viewsAfter(created, ...old).values()]).toMatchObject([
      { shipmentId: 'o1', status: ShipmentStatus.SHIPMENT_STATUS_DELIVERED, trackingNumber: '7', etag: '3' },
    ]);
    const gone = viewsAfter(created, cancelled());
    expect([...gone.values()]).toMatchObject([{ status: ShipmentStatus.SHIPMENT_STATUS_CANCELLED }]);
  });

  test('has none that was barred before it was created', () => {
    expect(viewsAfter(cancelled()).size).toBe(0);
  });

  test('cancels all of an order', () => {
    const views = viewsAfter(created, split(), cancelled('o1', 'o1~2'));
    expect([...views.values()].map(({ status, etag }) => [status, etag])).toEqual([
      [ShipmentStatus.SHIPMENT_STATUS_CANCELLED, '3'],
      [ShipmentStatus.SHIPMENT_STATUS_CANCELLED, '3'],
    ]);
  });
});

function value(event: ShipmentEvent) {
  if (event.$case !== 'dispatched') throw new Error('not dispatched');
  return event.value;
}
