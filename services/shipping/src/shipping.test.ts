import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import {
  ListShipmentsRequest,
  Shipment,
  ShipmentStatus,
  type ShippingQueryServiceService,
  type ShippingServiceService,
} from '@caudal/contract/gen/caudal/shipping/v1/shipping.ts';
import { newId } from '@caudal/kernel/ids.ts';
import type { Handlers } from '@caudal/rpc/types.ts';
import { refusalOf, testCall } from '@caudal/testing/call.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { fixedViews } from '@caudal/testing/view-readers.ts';
import { describe, expect, test } from '@jest/globals';
import { shippingService } from './commands/shipping-service.ts';
import { shippingQueryService } from './queries/shipping-query-service.ts';
import { parcel } from './testing/histories.ts';

const now = new Date('2026-01-01T00:00:00Z');
const about = { requestId: '', shipmentId: 'o1', etag: '' };
const byPost = { carrier: 'DHL', trackingNumber: '7' };
const onePiece = [{ productId: 'P1', quantity: 1n }];

function serve(views: Record<string, Shipment> = {}, log = memoryLog({ domain: 'shipping' })) {
  const aggregates = openAggregates({ log, clock: () => now, ids: newId });
  const reader = fixedViews(views);
  const query = shippingQueryService({ aggregates, views: reader });
  return {
    log,
    asked: reader.asked,
    api: shippingService({ aggregates }).handlers as unknown as Handlers<ShippingServiceService>,
    queries: query.handlers as unknown as Handlers<ShippingQueryServiceService>,
  };
}

describe('the shipping service', () => {
  test('tells the pieces that have left or were withdrawn', async () => {
    const { api } = serve();
    const settled = async () => (await api.getSettledPieces({ orderId: 'o1' }, testCall())).lines;
    expect(await settled()).toEqual([]);
    const four = [{ productId: 'P1', quantity: 4n }];
    await api.createShipment({ requestId: '', ...parcel, lines: four }, testCall());
    expect(await settled()).toEqual([]);
    await api.dispatchShipmentPart({ ...about, ...byPost, lines: onePiece }, testCall());
    await api.splitShipment({ ...about, shipmentId: 'o1~2', newShipmentId: 'o1~3', lines: onePiece }, testCall());
    expect(await settled()).toEqual(onePiece);
    await api.withdrawShipment({ ...about, shipmentId: 'o1~2', reason: '' }, testCall());
    await api.markShipmentReturned({ ...about, reason: '' }, testCall());
    expect(await settled()).toEqual([{ productId: 'P1', quantity: 3n }]);
  });
  test('changes a shipment, which its owner reads', async () => {
    const { api, queries } = serve();
    const call = testCall({ requestId: 'x' });
    await api.createShipment({ requestId: 'x', ...parcel }, call);
    expect(call.written).toEqual([{ stream: 'shipping.shipment/o1', version: 1 }]);
    await api.dispatchShipment({ ...about, ...byPost }, testCall());
    await api.recordFailedDelivery({ ...about, attempt: 0, reason: 'closed' }, testCall());
    await api.correctTracking({ ...about, ...byPost, trackingNumber: '8' }, testCall());
    await api.deliverShipment(about, testCall());
    expect(await queries.getShipment({ shipmentId: 'o1', readMask: undefined }, testCall({ subject: 'c1' }))).toEqual({
      ...parcel,
      status: ShipmentStatus.SHIPMENT_STATUS_DELIVERED,
      carrier: 'DHL',
      trackingNumber: '8',
      createTime: now,
      updateTime: now,
      etag: '5',
      reason: '',
      failedAttempts: 1,
      restShipmentId: '',
      corrections: 1,
    });
    expect(
      (await refusalOf(queries.getShipment({ shipmentId: 'o1', readMask: undefined }, testCall({ subject: 'c2' }))))
        .reason,
    ).toBe('NOT_OWNER');
  });

  test("cancels no shipment of another order than is named, and counts none of its pieces as that order's", async () => {
    const { api } = serve();
    await api.createShipment({ requestId: '', ...parcel, orderId: 'other' }, testCall());
    const cancel = (orderId: string) => api.cancelShipment({ requestId: '', shipmentId: 'o1', orderId }, testCall());
    expect(await refusalOf(cancel('o1'))).toEqual({ code: 'NOT_FOUND', reason: 'SHIPMENT_NOT_FOUND' });
    await api.dispatchShipment({ ...about, ...byPost }, testCall());
    expect((await refusalOf(cancel('o1'))).reason).toBe('SHIPMENT_NOT_FOUND');
    expect((await refusalOf(cancel('other'))).reason).toBe('SHIPMENT_DISPATCHED');
    expect((await api.getSettledPieces({ orderId: 'o1' }, testCall())).lines).toEqual([]);
  });

  test('bars a shipment that is cancelled before it is created', async () => {
    const { api, queries } = serve();
    const gone = await api.cancelShipment({ requestId: '', shipmentId: 'o2' }, testCall());
    expect(gone).toMatchObject({ shipmentId: 'o2', status: ShipmentStatus.SHIPMENT_STATUS_CANCELLED });
    expect((await refusalOf(queries.getShipment({ shipmentId: 'o2', readMask: undefined }, testCall()))).code).toBe(
      'NOT_FOUND',
    );
  });

  test('sends a part; a repeat with the request id gets the first answer, which names the rest', async () => {
    const { api, queries } = serve();
    await api.createShipment({ requestId: '', ...parcel }, testCall());
    const part = { ...about, ...byPost, lines: onePiece };
    const first = await api.dispatchShipmentPart(part, testCall({ requestId: 'r1' }));
    expect(first).toMatchObject({ shipmentId: 'o1', restShipmentId: 'o1~2', lines: onePiece, etag: '3' });
    await api.markShipmentLost({ ...about, reason: 'no trace' }, testCall());
    expect(await api.dispatchShipmentPart(part, testCall({ requestId: 'r1' }))).toEqual(first);
    expect(
      await queries.getShipment({ shipmentId: 'o1~2', readMask: undefined }, testCall({ subject: 'c1' })),
    ).toMatchObject({
      orderId: 'o1',
      customerId: 'c1',
      country: 'France',
      status: ShipmentStatus.SHIPMENT_STATUS_CREATED,
      etag: '2',
      lines: [
        { productId: 'P1', quantity: 1n },
        { productId: 'P2', quantity: 3n },
      ],
    });
    expect((await refusalOf(queries.getShipment({ shipmentId: 'o1~3', readMask: undefined }, testCall()))).code).toBe(
      'NOT_FOUND',
    );
  });

  test('refuses a command whose caller has read an older version, not one that another shipment has changed', async () => {
    const { api } = serve();
    const { etag } = await api.createShipment({ requestId: '', ...parcel }, testCall());
    const split = { ...about, newShipmentId: 'o1~2', lines: onePiece };
    const second = await api.splitShipment({ ...split, etag }, testCall());
    expect(second).toMatchObject({ shipmentId: 'o1~2', etag: '2' });
    expect(await refusalOf(api.dispatchShipment({ ...about, ...byPost, etag }, testCall()))).toEqual({
      code: 'ABORTED',
      reason: 'ETAG_MISMATCH',
    });
    for (const _ of ['first', 'repeat']) await api.dispatchShipment({ ...about, ...byPost, etag: '2' }, testCall());
    expect((await api.splitShipment({ ...split, etag }, testCall())).etag).toBe('2');
    const other = { ...about, ...byPost, shipmentId: 'o1~2', etag: '2' };
    expect((await api.dispatchShipment(other, testCall())).etag).toBe('4');
    expect((await refusalOf(api.deliverShipment({ ...about, shipmentId: 'o9', etag: '1' }, testCall()))).code).toBe(
      'NOT_FOUND',
    );
  });

  test('of two processes, one that dispatches a part and one that cancels the order, only one succeeds', async () => {
    for (let round = 0; round < 20; round++) {
      const one = serve();
      const other = serve({}, one.log);
      await one.api.createShipment({ requestId: '', ...parcel }, testCall());
      // The other process knows the stream, too.
      await other.queries.getShipment({ shipmentId: 'o1', readMask: undefined }, testCall());
      const calls = [
        () => one.api.dispatchShipmentPart({ ...about, ...byPost, lines: onePiece }, testCall()),
        () => other.api.cancelShipment({ requestId: '', shipmentId: 'o1' }, testCall()),
      ];
      if (round % 2 === 1) calls.reverse();
      const outcomes = await Promise.allSettled(calls.map((call) => call()));
      expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
      const cases = one.log.events.map(({ type }) => type.split('.')[2]);
      expect([
        ['created', 'split', 'dispatched'],
        ['created', 'cancelled'],
      ]).toContainEqual(cases);
    }
  });
});

describe('lists of shipments', () => {
  test('are asked for by customer, order and status, the newest first, 100 at most', async () => {
    const { queries, asked } = serve({ o1: Shipment.fromPartial({ shipmentId: 'o1' }) });
    const request = ListShipmentsRequest.fromPartial({
      customerId: 'c1',
      orderId: 'o1',
      status: ShipmentStatus.SHIPMENT_STATUS_LOST,
      pageSize: 1000,
    });
    expect((await queries.listShipments(request, testCall())).shipments).toMatchObject([{ shipmentId: 'o1' }]);
    await queries.listShipments(ListShipmentsRequest.fromPartial({}), testCall());
    expect(asked).toMatchObject([
      {
        where: [
          { key: 'customer_id', equals: 'c1' },
          { key: 'order_id', equals: 'o1' },
          { key: 'status', equals: String(ShipmentStatus.SHIPMENT_STATUS_LOST) },
          { key: 'create_time' },
        ],
        orderBy: [{ key: 'create_time', descending: true }],
        limit: 100,
      },
      { where: [{ key: 'create_time' }], limit: 20 },
    ]);
  });
});
