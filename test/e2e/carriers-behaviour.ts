/** Carriers that push, and carriers that are asked, in every form of the system. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { newId } from '@caudal/kernel/ids.ts';
import { signWebhook } from '@caudal/rpc/testing/sign-webhook.ts';
import { describe, expect } from '@jest/globals';
import type { System } from './system.ts';
import { systemTest } from './system-test.ts';
import { until } from './wait.ts';
import { newCustomer, newProduct, orderAt, orderConfirmed, placeOrder } from './world.ts';

const secret = 'the-secret-of-the-carrier-that-pushes';
const key = 'the key that is shown';

export interface Carrier {
  /** The settings by which the system knows both carriers. */
  env: Record<string, string>;
  /** What is answered of a parcel, by its number. */
  says: Map<string, object[]>;
  close(): void;
}

/** A carrier of the format caudal that can be asked. It must be there before the system is started. */
export async function openCarrier(): Promise<Carrier> {
  const says = new Map<string, object[]>();
  const server = createServer((request, response) => {
    const number = new URL(request.url!, 'http://carrier').searchParams.get('trackingNumber')!;
    const traces = request.headers.authorization === `Bearer ${key}` && says.get(number);
    if (traces) response.end(JSON.stringify({ traces }));
    else response.writeHead(404).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    env: {
      TRACKING_CARRIERS: 'pushed-express=caudal,asked-express=caudal',
      TRACKING_CARRIER_SECRETS: `pushed-express:${secret}`,
      TRACKING_CARRIER_URLS: `asked-express=http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      TRACKING_CARRIER_KEYS: `asked-express:${key}`,
    },
    says,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

export function describeCarriers(system: () => System, carrier: () => Carrier): void {
  const it = systemTest(system);
  const api = () => system().api;
  const minutesAgo = (minutes: number) => new Date(Date.now() - minutes * 60_000).toISOString();

  async function sentOrder(name: string, trackingNumber: string): Promise<string> {
    const productId = await newProduct(api(), { price: 100, quantity: 5 });
    const customerId = await newCustomer(api());
    const { orderId } = await placeOrder(api(), { customerId, productId, quantity: 1 });
    await orderConfirmed(api(), orderId);
    await api().insist('DispatchShipment', { shipmentId: orderId, carrier: name, trackingNumber });
    return orderId;
  }

  const events = (trackingNumber: string) => [
    { trackingNumber, eventId: '1', happenedAt: minutesAgo(90), status: 'IN_TRANSIT', place: { country: 'FR' } },
    { trackingNumber, eventId: '2', happenedAt: minutesAgo(5), status: 'DELIVERED', subStatus: 'TO_NEIGHBOUR' },
  ];

  describe('carriers', () => {
    it('what a carrier pushes, signed and in its own format, delivers its order', async () => {
      const trackingNumber = `P${newId()}`;
      const orderId = await sentOrder('Pushed Express', trackingNumber);
      const body = JSON.stringify({ traces: events(trackingNumber) });
      const push = (name: string, signature: string) =>
        api()
          .as(undefined)
          .raw('command', `/v1/carriers/${name}/webhook`, {
            method: 'POST',
            headers: { 'content-type': 'application/json', 'webhook-signature': signature },
            body,
          });
      expect(await push('pushed-express', signWebhook(['x'.repeat(40)], body))).toMatchObject({
        ...{ status: 401, body: { reason: 'SIGNATURE_INVALID' } },
      });
      expect(await push('other-express', signWebhook([secret], body))).toMatchObject({
        ...{ status: 404, body: { reason: 'CARRIER_UNKNOWN' } },
      });
      expect(await push('pushed-express', signWebhook([secret], body))).toMatchObject({
        ...{ status: 200, body: { accepted: 2, refused: [] } },
      });
      await orderAt(api(), orderId, 'DELIVERED');
    });

    it('a carrier is asked for the parcels of shipments, until they are delivered', async () => {
      const trackingNumber = `Q${newId()}`;
      carrier().says.set(trackingNumber, events(trackingNumber));
      const orderId = await sentOrder('Asked Express', trackingNumber);
      const read = async () => (await api().send('GetOrder', { orderId })).body.status;
      await until('the order is delivered', read, (status) => status === 'ORDER_STATUS_DELIVERED', 90_000);
      const { body } = await api().call('GetParcel', { carrier: 'asked-express', trackingNumber });
      expect(body).toMatchObject({ status: 'PARCEL_STATUS_DELIVERED', subStatus: 'TO_NEIGHBOUR', traceCount: 2 });
    }, 120_000);
  });
}
