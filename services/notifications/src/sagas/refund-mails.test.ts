import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import { type EventOf, payment } from '@caudal/contract/entities.ts';
import { Customer } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import { Order } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { Payment } from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
import { CaudalError, notFound, unavailable } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { concernOf } from '@caudal/sagas/observe.ts';
import { advance } from '@caudal/sagas/testing/advance.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { describe, expect, test } from '@jest/globals';
import { notificationDecider, refundNotificationIdFor } from '../domain/notification.ts';
import type { Mail } from '../mailer.ts';
import { type RefundMailsDependencies, refundMails } from './refund-mails.ts';

const id = refundNotificationIdFor('p1', 'whole');
const gbp = (minorUnits: bigint) => ({ minorUnits, currency: 'GBP' });
const refunded: EventOf<typeof payment> = { $case: 'refunded', value: { orderId: 'o1', amount: undefined } };

interface World {
  email?: string;
  paid?: Partial<Payment>;
  order?: () => Order;
  settled?: boolean;
}

function world({
  email = 'ann@example.com',
  paid = {},
  order = () => Order.fromPartial({ orderId: 'o1', reference: 'INV-1' }),
  settled = false,
}: World = {}) {
  let now = new Date('2026-01-01T00:00:00Z');
  let known = true;
  const mails: Mail[] = [];
  const asked: string[] = [];
  const clock = () => now;
  const aggregates = openAggregates({ log: memoryLog({ domain: 'notifications' }), clock, ids: newId });
  const saga = refundMails({
    payments: {
      getPaymentStatus: async ({ paymentId }: { paymentId: string }) => {
        if (!known) throw notFound('payment', paymentId);
        return Payment.fromPartial({ paymentId, customerId: 'auth0|c1', amount: gbp(1530n), ...paid });
      },
    } as unknown as RefundMailsDependencies['payments'],
    orders: { getOrder: async () => order() } as unknown as RefundMailsDependencies['orders'],
    customers: {
      getCustomer: async ({ customerId }: { customerId: string }) => {
        asked.push(customerId);
        return Customer.fromPartial({ customerId, displayName: 'Ann', email, emailVerified: true });
      },
    } as unknown as RefundMailsDependencies['customers'],
    mailer: {
      async send(mail) {
        mails.push(mail);
        return { kind: 'accepted' };
      },
      async stop() {},
    },
    ...{ aggregates, mailsPerHour: 60, unverifiedAddresses: false },
  });
  const origin = { actor: 'test', causationId: '', correlationId: '', traceparent: '' };
  const observed = {
    stream: payment.stream('p1'),
    id: 'p1',
    version: 7,
    at: now,
    event: { ...refunded, value: { ...refunded.value, settled } } as typeof refunded,
  };
  const { sagaId, react } = concernOf(saga, payment.name, observed)!;
  const options = { saga, aggregates, clock, signal: new AbortController().signal };
  return {
    mails,
    asked,
    know(it: boolean) {
      known = it;
    },
    pass(minutes: number) {
      now = new Date(now.getTime() + minutes * 60_000);
    },
    observe: () => advance(options, sagaId, [{ react, origin }], 0),
    timer: () => advance(options, id, [], 0),
    state: async () => (await aggregates.load(notificationDecider, id)).state,
  };
}

describe('mails about refunds', () => {
  test('are sent once, however often the event arrives', async () => {
    const { observe, mails, asked, state } = world();
    await observe();
    await observe();
    expect(mails).toEqual([
      {
        id,
        to: 'ann@example.com',
        subject: 'We have paid back 15.30 GBP for your order',
        text: expect.stringContaining('It goes to your card.'),
      },
    ]);
    // Only the payment knows the customer.
    expect(asked).toEqual(['auth0|c1']);
    expect(await state()).toMatchObject({ status: 'sent', request: { paymentId: 'p1', orderId: 'o1' } });
  });

  test('wait while the payment cannot be read yet', async () => {
    const { observe, timer, know, pass, mails } = world();
    know(false);
    expect((await observe()).dueAt).toEqual(new Date('2026-01-01T00:01:00Z'));
    know(true);
    pass(1);
    expect((await timer()).dueAt).toBeUndefined();
    expect(mails).toHaveLength(1);
  });

  test('are sent if the order can not be read, and wait if orders are unreachable', async () => {
    const unknown = world({
      order() {
        throw notFound('order', 'o1');
      },
    });
    await unknown.observe();
    expect(unknown.mails[0]!.subject).toMatch(/for your order$/);
    const down = world({
      order() {
        throw unavailable('orders');
      },
    });
    expect((await down.observe()).dueAt).toBeDefined();
    expect(down.mails).toEqual([]);
  });

  test('are not sent about nothing, or to no address', async () => {
    const free = world({ paid: { amount: gbp(0n) } });
    await free.observe();
    const nowhere = world({ email: '' });
    await nowhere.observe();
    for (const { mails, state } of [free, nowhere]) {
      expect(mails).toEqual([]);
      expect(await state()).toMatchObject({ status: 'failed' });
    }
  });

  test('say where the money is', async () => {
    const wallet = world({ paid: { walletId: 'w1' } });
    await wallet.observe();
    expect(wallet.mails[0]!.text).toContain('It is in your wallet.');
    // An operator has paid it back by hand, so neither wallet nor card has it.
    for (const [walletId, from] of [
      ['w1', 'wallet'],
      ['', 'card'],
    ] as const) {
      const byHand = world({ paid: { walletId }, settled: true });
      await byHand.observe();
      expect(byHand.mails[0]!.text).toContain(`It did not go back to your ${from} by itself`);
      expect(byHand.mails[0]!.text).not.toMatch(/w1|It is in|It goes to/);
    }
  });

  test('each part that is paid back has one, with its amount; the end of a payment in parts has none', () => {
    const saga = refundMails({} as RefundMailsDependencies);
    const requestOf = (event: EventOf<typeof payment>) => {
      const observed = { stream: payment.stream('p1'), id: 'p1', version: 9, at: new Date(), event };
      const [asked] = concernOf(saga, payment.name, observed)?.react(notificationDecider.initial) ?? [];
      return asked?.$case === 'requested' ? asked.value : undefined;
    };
    const part = (refundId: string, minorUnits: bigint): EventOf<typeof payment> => ({
      $case: 'refundCompleted',
      value: {
        orderId: 'o1',
        refundId,
        customerId: 'c1',
        amount: gbp(minorUnits),
        reason: '',
        refunded: gbp(minorUnits),
      },
    });
    expect(requestOf(part('r1', 500n))).toMatchObject({
      notificationId: refundNotificationIdFor('p1', 'r1'),
      customerId: 'c1',
      amount: gbp(500n),
    });
    expect(requestOf(part('r2', 300n))).toMatchObject({ notificationId: refundNotificationIdFor('p1', 'r2') });
    const end = { orderId: 'o1', customerId: 'c1', amount: gbp(800n) };
    expect(requestOf({ $case: 'refunded', value: { ...end, inParts: true } })).toBeUndefined();
    expect(requestOf({ $case: 'refunded', value: { ...end, inParts: false } })).toMatchObject({
      notificationId: id,
      amount: gbp(800n),
    });
    expect(requestOf({ $case: 'refunded', value: { ...end, inParts: false } })?.settled).toBeFalsy();
    const byHand = { ...end, inParts: false, settled: true };
    expect(requestOf({ $case: 'refunded', value: byHand })).toMatchObject({ settled: true });
  });

  test('no other event of a payment makes one', () => {
    const saga = refundMails({} as RefundMailsDependencies);
    for (const $case of [
      'requested',
      'succeeded',
      'failed',
      'undoRequested',
      'voided',
      'barred',
      'settled',
      'toString',
    ]) {
      const observed = {
        stream: payment.stream('p1'),
        id: 'p1',
        version: 2,
        at: new Date(),
        event: { $case, value: {} },
      };
      expect([$case, concernOf(saga, payment.name, observed)]).toEqual([$case, undefined]);
    }
  });

  test('an error that is neither passing nor "not there" fails the event', async () => {
    const broken = world({
      order() {
        throw new CaudalError('PERMISSION_DENIED', 'PERMISSION_MISSING', 'no');
      },
    });
    await expect(broken.observe()).rejects.toThrow('no');
  });
});
