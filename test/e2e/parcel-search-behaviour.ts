/** The behaviour of the search for parcels over REST and gRPC, in every form of the system. */
import {
  SearchParcelsRequest,
  SearchParcelsResponse,
  TrackingQueryServiceService,
} from '@caudal/contract/gen/caudal/tracking/v1/tracking.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { describe, expect } from '@jest/globals';
import type { Json } from './api.ts';
import type { System } from './system.ts';
import { systemTest } from './system-test.ts';
import { until } from './wait.ts';
import { newCustomer, newProduct, orderConfirmed, placeOrder } from './world.ts';

export function describeParcelSearch(system: () => System): void {
  const it = systemTest(system);
  const api = () => system().api;
  const numbersOf = (body: Json) => body.parcels.map(({ trackingNumber }: Json) => trackingNumber);

  /** A trace at a place, in a word that no other test has. */
  const seen = (trackingNumber: string, word: string, latitudeE7: number) => ({
    ...{ carrier: 'Acme Express', trackingNumber, happenTime: new Date(Date.now() - 60_000).toISOString() },
    ...{
      status: 'PARCEL_STATUS_IN_TRANSIT',
      place: { name: `Depot ${word}`, position: { latitudeE7, longitudeE7: 0 } },
    },
  });

  async function overGrpc(request: Partial<SearchParcelsRequest>, token: string): Promise<SearchParcelsResponse> {
    const client = new Client(system().part('all').grpc, credentials.createInsecure());
    const { path } = TrackingQueryServiceService.searchParcels;
    const metadata = new Metadata();
    metadata.set('authorization', `Bearer ${token}`);
    try {
      return await new Promise((resolve, reject) => {
        client.makeUnaryRequest(
          path,
          (message: SearchParcelsRequest) => Buffer.from(SearchParcelsRequest.encode(message).finish()),
          SearchParcelsResponse.decode,
          SearchParcelsRequest.fromPartial(request),
          metadata,
          { deadline: Date.now() + 10_000 },
          (error, answer) => (error ? reject(error) : resolve(answer!)),
        );
      });
    } finally {
      client.close();
    }
  }

  describe('the search for parcels', () => {
    it('finds them by place, number and words over REST and gRPC, and a buyer finds those of its own orders only', async () => {
      const word = `w${newId().replaceAll('-', '')}`;
      const [own, other] = [`S${newId()}`, `S${newId()}`];
      const productId = await newProduct(api(), { price: 100, quantity: 5 });
      const customerId = await newCustomer(api());
      const { orderId } = await placeOrder(api(), { customerId, productId, quantity: 1 });
      await orderConfirmed(api(), orderId);
      await api().insist('DispatchShipment', { shipmentId: orderId, carrier: 'acme express', trackingNumber: own });
      await api().call('RecordTraces', { traces: [seen(own, word, 10_000), seen(other, word, 20_000)] });

      const withinDistance = { center: { latitudeE7: 0, longitudeE7: 0 }, distanceMetres: 300 };
      const request = { withinDistance, place: word };
      const found = await until(
        'both are found',
        () => api().send('SearchParcels', request),
        ({ body }) => body.parcels?.length === 2,
      );
      expect(found.status).toBe(200);
      expect(found.body.parcels).toMatchObject([
        { trackingNumber: own, distanceMetres: 111, lastPlace: { name: `Depot ${word}` } },
        { trackingNumber: other, distanceMetres: 222 },
      ]);
      const byNumber = await api().call('SearchParcels', { trackingNumber: other.toLowerCase().slice(0, 30) });
      expect(numbersOf(byNumber.body)).toEqual([other]);
      const masked = await api().call('SearchParcels', { ...request, readMask: 'trackingNumber,distanceMetres' });
      expect(masked.body.parcels[0]).toEqual({ trackingNumber: own, distanceMetres: 111 });

      await until(
        'the buyer has its parcel',
        () => api().send('SearchParcels', { customerId }),
        ({ body }) => body.parcels?.length === 1,
      );
      const token = await system().token({ subject: customerId, permissions: ['tracking.parcels.read'] });
      const buyer = api().as(token);
      expect(numbersOf((await buyer.call('SearchParcels', { ...request, customerId })).body)).toEqual([own]);
      for (const foreign of [request, { ...request, customerId: 'another' }])
        expect(await buyer.send('SearchParcels', foreign)).toMatchObject({
          status: 403,
          body: { reason: 'NOT_OWNER' },
        });

      const answer = await overGrpc({ ...request, customerId }, token);
      expect(answer.parcels).toMatchObject([{ trackingNumber: own, distanceMetres: 111 }]);
      await expect(overGrpc(request, token)).rejects.toMatchObject({ code: 7 });
    });

    it('refuses a polygon that crosses itself, and says which edges do', async () => {
      const points = [
        [0, 0],
        [10, 10],
        [0, 10],
        [10, 0],
      ].map(([latitude, longitude]) => ({ latitudeE7: latitude! * 1e7, longitudeE7: longitude! * 1e7 }));
      const { status, body } = await api().send('SearchParcels', { withinPolygon: { points } });
      expect(status).toBe(400);
      expect(body.violations).toEqual([
        {
          field: 'within_polygon.points',
          description: 'must not cross or touch itself: the edge from points[0] meets the one from points[2]',
        },
      ]);
    });
  });
}
