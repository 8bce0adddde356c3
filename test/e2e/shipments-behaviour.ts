/** The behaviour of orders that are sent in several shipments, in every form of the system. */
import { type EventOf, notification } from '@caudal/contract/entities.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { describe, expect } from '@jest/globals';
import type { Json } from './api.ts';
import { openLogs } from './logs.ts';
import type { System } from './system.ts';
import { systemTest } from './system-test.ts';
import { until } from './wait.ts';
import { newCustomer, newProduct, orderAt, orderConfirmed, placeOrder } from './world.ts';

export function describeShipments(system: () => System): void {
  const it = systemTest(system);
  const api = () => system().api;

  /** A confirmed order of five pieces of one product. */
  async function orderOfFive(): Promise<{ orderId: string; customerId: string; lines: (quantity: number) => Json[] }> {
    const productId = await newProduct(api(), { price: 100, quantity: 5 });
    const customerId = await newCustomer(api());
    const { orderId } = await placeOrder(api(), { customerId, productId, quantity: 5 });
    await orderConfirmed(api(), orderId);
    return { orderId, customerId, lines: (quantity) => [{ productId, quantity: String(quantity) }] };
  }

  /** The notifications about a shipment, and what has become of them. */
  async function mailsAbout(shipmentId: string): Promise<{ template: string; outcome: string | undefined }[]> {
    const logs = openLogs(system());
    try {
      const events: { stream: string; event: EventOf<typeof notification> }[] = [];
      for (let position = 0; ; ) {
        const page = await logs.readers.get('notifications')!.readLog(position, { limit: 500 });
        if (page.events.length === 0) break;
        position = page.events.at(-1)!.position;
        for (const { stream, ...event } of page.events)
          if (stream.startsWith(notification.stream(''))) events.push({ stream, event: notification.decode(event) });
      }
      return events.flatMap(({ stream, event }) => {
        if (event.$case !== 'requested' || event.value.shipmentId !== shipmentId) return [];
        const end = events.find((one) => one.stream === stream && ['sent', 'failed'].includes(one.event.$case));
        return [{ template: event.value.template, outcome: end?.event.$case }];
      });
    } finally {
      logs.close();
    }
  }

  describe('shipments', () => {
    it('an order is sent in parts, and delivered when the last has arrived', async () => {
      const { orderId, customerId, lines } = await orderOfFive();
      const about = { carrier: 'Royal Mail', requestId: newId() };
      const part = { ...about, shipmentId: orderId, trackingNumber: 'RM-1', lines: lines(2) };
      const first = await api().call('DispatchShipmentPart', part);
      expect((await api().call('DispatchShipmentPart', part)).body).toEqual(first.body);
      const rest = first.body.restShipmentId;
      expect(rest).toBe(`${orderId}~2`);

      const shipped = await orderAt(api(), orderId, 'SHIPPED', ({ shipments }) => shipments.length === 2);
      expect(shipped).toMatchObject({
        fulfilmentStatus: 'FULFILMENT_STATUS_PARTIALLY_SHIPPED',
        shipment: { shipmentId: orderId, status: 'dispatched', trackingNumber: 'RM-1' },
        shipments: [
          { shipmentId: orderId, status: 'dispatched', lines: lines(2) },
          { shipmentId: rest, status: 'created', lines: lines(3) },
        ],
      });
      expect(await api().send('CancelOrder', { orderId })).toMatchObject({
        status: 400,
        body: { reason: 'ORDER_NOT_CANCELLABLE' },
      });

      // Some clients encode `~` in a path.
      const encoded = await api().raw('query', `/v1/shipments/${rest.replace('~', '%7E')}`);
      expect(encoded.body).toMatchObject({ shipmentId: rest, orderId, customerId, lines: lines(3) });
      await api().call('DispatchShipment', { shipmentId: rest, carrier: 'Royal Mail', trackingNumber: 'RM-2' });
      await api().call('CorrectTracking', { shipmentId: rest, carrier: 'Royal Mail', trackingNumber: 'RM-3' });
      await api().call('RecordFailedDelivery', { shipmentId: rest, reason: 'closed' });
      await api().call('DeliverShipment', { shipmentId: orderId });
      const partly = await orderAt(
        api(),
        orderId,
        'SHIPPED',
        ({ fulfilmentStatus }) => fulfilmentStatus === 'FULFILMENT_STATUS_PARTIALLY_DELIVERED',
      );
      expect(partly.shipments[1]).toMatchObject({ status: 'delivery_failed', trackingNumber: 'RM-3' });
      await api().call('DeliverShipment', { shipmentId: rest });
      const delivered = await orderAt(api(), orderId, 'DELIVERED');
      expect(delivered.fulfilmentStatus).toBe('FULFILMENT_STATUS_DELIVERED');
      // The mail about the dispatch was overtaken by the correction, or was sent before it.
      const mails = await until(
        'the mails about the second shipment',
        () => mailsAbout(rest),
        (found) => found.every(({ outcome }) => outcome !== undefined) && found.length === 2,
      );
      expect(mails).toContainEqual({ template: 'shipment_tracking_corrected', outcome: 'sent' });
    });

    it('are found by order and status, by their buyer, and as their command has left them', async () => {
      const { orderId, customerId, lines } = await orderOfFive();
      const split = { shipmentId: orderId, newShipmentId: `${orderId}~7`, lines: lines(1) };
      const { token } = await api().call('SplitShipment', split);
      const list = async (more: Json, after = token) =>
        (await api().call('ListShipments', { customerId, ...more }, { after })).body.shipments;
      expect((await list({ orderId })).map(({ shipmentId }: Json) => shipmentId).sort()).toEqual([
        orderId,
        `${orderId}~7`,
      ]);
      const stale = await api().send('DispatchShipment', { shipmentId: orderId, carrier: 'Royal Mail' });
      expect(stale).toMatchObject({ status: 400, body: { reason: 'SHIPMENT_WAS_SPLIT' } });
      const { etag } = (await api().call('GetShipment', { shipmentId: orderId })).body;
      await api().call('DispatchShipment', { shipmentId: orderId, carrier: 'Royal Mail', etag });
      const lost = await api().call('MarkShipmentLost', { shipmentId: orderId, reason: 'no trace' });
      expect(await list({ status: 'SHIPMENT_STATUS_LOST' }, lost.token)).toMatchObject([
        { shipmentId: orderId, orderId, lines: lines(4), reason: 'no trace', etag: lost.body.etag },
      ]);
      expect(await list({ status: 'SHIPMENT_STATUS_RETURNED' }, lost.token)).toEqual([]);
      await api().call('MarkShipmentReturned', { shipmentId: orderId });
      const withdrawn = await api().call('WithdrawShipment', { shipmentId: `${orderId}~7`, reason: 'damaged' });
      expect(withdrawn.body).toMatchObject({ status: 'SHIPMENT_STATUS_CANCELLED', reason: 'damaged' });
      await orderAt(api(), orderId, 'SHIPPED', ({ shipments }) =>
        shipments.every(({ status }: Json) => status === 'returned' || status === 'cancelled'),
      );
      await until(
        'the mail about the withdrawn part',
        () => mailsAbout(`${orderId}~7`),
        (mails) => mails.some(({ template, outcome }) => template === 'shipment_withdrawn' && outcome === 'sent'),
      );
    });

    it('are all cancelled with their order while they are in the warehouse', async () => {
      const { orderId, lines } = await orderOfFive();
      await api().call('SplitShipment', { shipmentId: orderId, newShipmentId: `${orderId}~2`, lines: lines(1) });
      await api().call('CancelOrder', { orderId });
      const { shipments } = await orderAt(api(), orderId, 'CANCELLED', (order) =>
        order.shipments.every(({ status }: Json) => status === 'cancelled'),
      );
      expect(shipments).toHaveLength(2);
      const late = { shipmentId: `${orderId}~2`, carrier: 'Royal Mail' };
      expect(await api().send('DispatchShipment', late)).toMatchObject({ body: { reason: 'SHIPMENT_CANCELLED' } });
      await until(
        'the payment',
        async () => (await api().call('GetPaymentStatus', { paymentId: orderId })).body.status,
        (status) => status === 'PAYMENT_STATUS_REFUNDED',
      );
    });
  });
}
