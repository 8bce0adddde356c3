/** The behaviour of traces and parcels, in every form of the system. */
import { Trace, TrackingServiceService } from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { streamClient } from '@caudal/rpc/testing/message-streams.ts';
import { describe, expect } from '@jest/globals';
import type { System } from './system.ts';
import { systemTest } from './system-test.ts';
import { until } from './wait.ts';
import { newCustomer, newProduct, orderAt, orderConfirmed, placeOrder } from './world.ts';

export function describeTracking(system: () => System): void {
  const it = systemTest(system);
  const api = () => system().api;
  const minutesAgo = (minutes: number) => new Date(Date.now() - minutes * 60_000).toISOString();

  /** Opens a public link, as a browser does. */
  const visit = (path: string) =>
    api()
      .as(undefined)
      .raw('query', path, { headers: { accept: 'text/html' } });

  /** An order that was sent with this number. */
  async function sentOrder(trackingNumber: string): Promise<{ orderId: string; customerId: string }> {
    const productId = await newProduct(api(), { price: 100, quantity: 5 });
    const customerId = await newCustomer(api());
    const { orderId } = await placeOrder(api(), { customerId, productId, quantity: 1 });
    await orderConfirmed(api(), orderId);
    await api().insist('DispatchShipment', { shipmentId: orderId, carrier: 'Acme Express', trackingNumber });
    return { orderId, customerId };
  }

  describe('tracking', () => {
    it('what the carrier says of a parcel delivers its order, in whatever order it is said, and is its page', async () => {
      const trackingNumber = `T${newId()}`;
      const about = { carrier: 'acme express', trackingNumber };
      const traces = [
        { ...about, happenTime: minutesAgo(1), status: 'PARCEL_STATUS_DELIVERED', detail: 'Delivered' },
        { ...about, happenTime: minutesAgo(60), status: 'PARCEL_STATUS_IN_TRANSIT', detail: 'Left Lyon' },
      ];
      // They arrive before the shipment is known.
      const answer = await api().call('RecordTraces', { traces });
      expect(answer).toMatchObject({ status: 202, body: { accepted: 2 } });
      const { orderId, customerId } = await sentOrder(trackingNumber);
      expect((await api().call('RecordTraces', { traces: traces.toReversed() })).status).toBe(202);
      await orderAt(api(), orderId, 'DELIVERED');
      const read = () => api().send('GetParcel', about);
      const page = await until('the page names the shipment', read, ({ body }) => body.shipmentId === orderId);
      expect(page.body).toMatchObject({
        ...{
          trackingNumber,
          shipmentId: orderId,
          orderId,
          customerId,
          status: 'PARCEL_STATUS_DELIVERED',
          traceCount: 2,
        },
        latestTraces: [{ detail: 'Delivered' }, { detail: 'Left Lyon' }],
      });
      const listed = await api().call('ListTraces', about);
      expect(listed.body.traces.map(({ detail }: { detail: string }) => detail)).toEqual(['Delivered', 'Left Lyon']);
      const ofBuyer = await api().call('ListParcels', { customerId });
      expect(ofBuyer.body.parcels).toMatchObject([{ shipmentId: orderId, status: 'PARCEL_STATUS_DELIVERED' }]);
    });

    it('a number that is corrected leads to the other parcel', async () => {
      const [wrong, right] = [`W${newId()}`, `R${newId()}`];
      const { orderId } = await sentOrder(wrong);
      await api().insist('CorrectTracking', { shipmentId: orderId, carrier: 'Acme Express', trackingNumber: right });
      const delivered = { carrier: 'acme express', happenTime: minutesAgo(1), status: 'PARCEL_STATUS_DELIVERED' };
      await api().call('RecordTraces', { traces: [{ ...delivered, trackingNumber: right }] });
      await orderAt(api(), orderId, 'DELIVERED');
      const shipmentOf = async (trackingNumber: string) =>
        (await api().send('GetParcel', { carrier: 'acme express', trackingNumber })).body.shipmentId;
      await until(
        'the right parcel is linked',
        () => shipmentOf(right),
        (shipmentId) => shipmentId === orderId,
      );
      await until(
        'the wrong parcel is not',
        () => shipmentOf(wrong),
        (shipmentId) => !shipmentId,
      );
    });

    it('a stream of traces is answered chunk by chunk, and its parcels have their pages', async () => {
      const numbers = Array.from({ length: 5 }, () => `S${newId()}`);
      const client = streamClient(system().part(system().form === 'processes' ? 'command' : 'all').grpc);
      try {
        const as = await system().token({ subject: 'carrier', permissions: ['tracking.traces.write'] });
        const stream = client.open(TrackingServiceService.streamTraces, { as });
        for (const trackingNumber of numbers) {
          const about = { carrier: 'acme', trackingNumber, happenTime: new Date(Date.now() - 60_000) };
          stream.write({ traces: [Trace.fromPartial(about)] });
        }
        stream.finish();
        expect(await stream.error()).toBeUndefined();
        expect(stream.answers.map(({ accepted, error }) => [accepted, error])).toEqual(
          numbers.map(() => [1, undefined]),
        );
      } finally {
        client.close();
      }
      for (const trackingNumber of numbers)
        await until(
          `the page of ${trackingNumber}`,
          () => api().send('GetParcel', { carrier: 'acme', trackingNumber }),
          ({ status }) => status === 200,
        );
    });

    it('a public link shows the parcel to anyone, until it is revoked', async () => {
      const about = { carrier: 'acme', trackingNumber: `L${newId()}` };
      await api().call('RecordTraces', {
        traces: [{ ...about, happenTime: minutesAgo(5), status: 'PARCEL_STATUS_IN_TRANSIT', detail: 'Left <Lyon>' }],
      });
      const make = () => api().send('CreateParcelLink', about);
      const { path } = (await until('the parcel is known', make, ({ status }) => status === 200)).body;
      const page = await visit(path);
      expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
      expect(page.body).toContain('Left &lt;Lyon&gt;');
      expect((await api().call('RevokeParcelLinks', about)).body).toEqual({ revoked: 1 });
      expect((await visit(path)).status).toBe(404);
    });

    it('the public links to the parcels of an erased buyer end', async () => {
      const trackingNumber = `X${newId()}`;
      const about = { carrier: 'acme express', trackingNumber };
      const { orderId, customerId } = await sentOrder(trackingNumber);
      const read = () => api().send('GetParcel', about);
      await until('the parcel names the shipment', read, ({ body }) => body.shipmentId === orderId);
      const { path } = (await api().call('CreateParcelLink', about)).body;
      expect((await visit(path)).status).toBe(200);
      await api().call('EraseCustomer', { customerId });
      await until(
        'the link has ended',
        () => visit(path),
        ({ status }) => status === 404,
      );
    });

    it('traces that are wrong are refused by themselves', async () => {
      const about = { carrier: 'acme', trackingNumber: `T${newId()}` };
      const { body } = await api().call('RecordTraces', {
        traces: [{ ...about }, { ...about, happenTime: minutesAgo(1) }],
      });
      expect(body).toMatchObject({
        accepted: 1,
        results: [
          { outcome: 'TRACE_OUTCOME_REFUSED', reason: 'HAPPEN_TIME_MISSING' },
          { outcome: 'TRACE_OUTCOME_ACCEPTED' },
        ],
      });
      expect(await api().send('GetParcel', { carrier: 'acme', trackingNumber: 'nothing' })).toMatchObject({
        status: 404,
        body: { reason: 'PARCEL_NOT_FOUND' },
      });
    });
  });
}
