import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import { type EventOf, shipment } from '@caudal/contract/entities.ts';
import { Customer } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import { Order } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { Shipment } from '@caudal/contract/gen/caudal/shipping/v1/shipping.ts';
import { unavailable } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { concernOf } from '@caudal/sagas/observe.ts';
import { advance } from '@caudal/sagas/testing/advance.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { describe, expect, test } from '@jest/globals';
import { notificationDecider } from '../domain/notification.ts';
import type { Mail } from '../mailer.ts';
import { type ShipmentMailsDependencies, shipmentMails } from './shipment-mails.ts';

type ShipmentEvent = EventOf<typeof shipment>;

const about = { orderId: 'o1', customerId: 'c1', shipmentId: 'o1~2', carrier: 'DHL', trackingNumber: '7' };
const dispatched = (later: boolean): ShipmentEvent => ({
  $case: 'dispatched',
  value: { ...about, later, restShipmentId: '' },
});
const corrected = (correction: number): ShipmentEvent => ({
  $case: 'trackingCorrected',
  value: { ...about, trackingNumber: `corrected ${correction}`, correction },
});

function world() {
  let now = new Date('2026-01-01T00:00:00Z');
  const mails: Mail[] = [];
  const state = { corrections: 0, isAway: false };
  const clock = () => now;
  const aggregates = openAggregates({ log: memoryLog({ domain: 'notifications' }), clock, ids: newId });
  const saga = shipmentMails({
    orders: { getOrder: async () => Order.fromPartial({ orderId: 'o1' }) },
    customers: {
      getCustomer: async () =>
        Customer.fromPartial({ customerId: 'c1', email: 'ann@example.com', emailVerified: true }),
    },
    shipping: {
      async getShipment({ shipmentId }: { shipmentId: string }) {
        const { corrections } = state;
        const trackingNumber = corrections > 0 ? `corrected ${corrections}` : '7';
        return Shipment.fromPartial({ ...about, shipmentId, trackingNumber, corrections });
      },
    },
    mailer: {
      async send(mail: Mail) {
        if (state.isAway) throw unavailable('the mail server');
        mails.push(mail);
        return { kind: 'accepted' };
      },
      async stop() {},
    },
    ...{ aggregates, mailsPerHour: 60, unverifiedAddresses: false },
  } as unknown as ShipmentMailsDependencies);
  const origin = { actor: 'test', causationId: '', correlationId: '', traceparent: '' };
  const options = { saga, aggregates, clock, signal: new AbortController().signal };
  const concern = (event: ShipmentEvent) =>
    concernOf(saga, shipment.name, { stream: shipment.stream('o1'), id: 'o1', version: 2, at: now, event });
  return {
    mails,
    state,
    pass(minutes: number) {
      now = new Date(now.getTime() + minutes * 60_000);
    },
    async observe(event: ShipmentEvent) {
      const found = concern(event);
      if (found) await advance(options, found.sagaId, [{ react: found.react, origin }], 0);
    },
    timer: (event: ShipmentEvent) => advance(options, concern(event)!.sagaId, [], 0),
    statusOf: async (event: ShipmentEvent) =>
      (await aggregates.load(notificationDecider, concern(event)!.sagaId)).state.status,
  };
}

describe('mails about shipments', () => {
  test('are sent once for each shipment after the first of its order, which the mail of the order is about', async () => {
    const { observe, mails } = world();
    await observe(dispatched(false));
    expect(mails).toEqual([]);
    await observe(dispatched(true));
    await observe(dispatched(true));
    expect(mails).toMatchObject([{ subject: 'Another part of your order is on its way' }]);
    expect(mails[0]!.text).toContain('DHL: 7');
  });

  test('are sent once for each correction, with the corrected number', async () => {
    const { observe, mails, state } = world();
    for (const correction of [1, 2]) {
      state.corrections = correction;
      await observe(corrected(correction));
      await observe(corrected(correction));
    }
    expect(mails.map(({ text }) => /DHL: (.*)/.exec(text)?.[1])).toEqual(['corrected 1', 'corrected 2']);
  });

  test('that were delayed are not sent if the number was corrected since: the buyer has the right one', async () => {
    const { observe, timer, pass, statusOf, mails, state } = world();
    state.isAway = true;
    await observe(dispatched(true));
    state.isAway = false;
    state.corrections = 1;
    await observe(corrected(1));
    pass(1);
    await timer(dispatched(true));
    expect(mails.map(({ subject }) => subject)).toEqual(['Corrected tracking of your order']);
    expect(await statusOf(dispatched(true))).toBe('failed');
  });

  test('are sent once for a part that is withdrawn, and for none of an order that is cancelled as a whole', async () => {
    const { observe, mails, statusOf } = world();
    const cancelled = (customerId?: string): ShipmentEvent => ({
      $case: 'cancelled',
      value: { orderId: 'o1', shipmentIds: ['o1~2'], completes: false, reason: 'damaged', customerId },
    });
    await observe(cancelled());
    expect(mails).toEqual([]);
    await observe(cancelled('c1'));
    await observe(cancelled('c1'));
    expect(mails).toMatchObject([{ to: 'ann@example.com', subject: "We can't send a part of your order" }]);
    expect(await statusOf(cancelled('c1'))).toBe('sent');
  });

  test('are sent for no other event', async () => {
    const { observe, mails } = world();
    await observe({ $case: 'delivered', value: { orderId: 'o1', shipmentId: 'o1', partial: false } });
    await observe({ $case: 'lost', value: { orderId: 'o1', shipmentId: 'o1', reason: '' } });
    expect(mails).toEqual([]);
  });
});
