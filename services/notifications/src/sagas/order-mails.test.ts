import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import { noReply } from '@caudal/aggregates/no-reply.ts';
import { order } from '@caudal/contract/entities.ts';
import { Customer } from '@caudal/contract/gen/caudal/customers/v1/customers.ts';
import { Order, OrderShipment } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { unavailable } from '@caudal/kernel/errors.ts';
import { newId } from '@caudal/kernel/ids.ts';
import { concernOf } from '@caudal/sagas/observe.ts';
import { advance } from '@caudal/sagas/testing/advance.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { describe, expect, test } from '@jest/globals';
import { notificationDecider, notificationIdFor } from '../domain/notification.ts';
import { countMail, recipientDecider } from '../domain/recipient.ts';
import type { Mail, MailOutcome } from '../mailer.ts';
import { orderMails } from './order-mails.ts';
import type { MailDependencies } from './send-mail.ts';

const id = notificationIdFor('o1', 'order_confirmed');
const confirmed = { $case: 'confirmed' as const, value: { customerId: 'c1' } };
const shipped = { $case: 'shipped' as const, value: { customerId: 'c1', reservationId: 'o1.1' } };

function world({
  email = 'ann@example.com',
  event = confirmed as typeof confirmed | typeof shipped,
  emailVerified = true,
  mailsPerHour = 60,
  unverifiedAddresses = false,
  total = undefined as Order['total'],
} = {}) {
  const customer: Partial<Customer> = { email, emailVerified };
  const id = notificationIdFor('o1', `order_${event.$case}`);
  let shipments: OrderShipment[] = [];
  let now = new Date('2026-01-01T00:00:00Z');
  let answer: () => MailOutcome = () => ({ kind: 'accepted' });
  const mails: Mail[] = [];
  const clock = () => now;
  const aggregates = openAggregates({ log: memoryLog({ domain: 'notifications' }), clock, ids: newId });
  const saga = orderMails({
    orders: {
      getOrder: async () => Order.fromPartial({ orderId: 'o1', shipments, total }),
    } as unknown as MailDependencies['orders'],
    customers: {
      getCustomer: async () => Customer.fromPartial({ ...customer, customerId: 'c1', displayName: 'Ann' }),
    } as unknown as MailDependencies['customers'],
    mailer: {
      async send(mail) {
        const outcome = answer();
        mails.push(mail);
        return outcome;
      },
      async stop() {},
    },
    ...{ aggregates, mailsPerHour, unverifiedAddresses },
  });
  const origin = { actor: 'test', causationId: '', correlationId: '', traceparent: '' };
  const observed = { stream: order.stream('o1'), id: 'o1', version: 2, at: now, event };
  const { sagaId, react } = concernOf(saga, order.name, observed)!;
  const options = { saga, aggregates, clock, signal: new AbortController().signal };
  return {
    mails,
    customer,
    aggregates,
    answer(next: () => MailOutcome) {
      answer = next;
    },
    send() {
      shipments = [OrderShipment.fromPartial({ status: 'dispatched', carrier: 'Posta', trackingNumber: 'PX 1' })];
    },
    pass(minutes: number) {
      now = new Date(now.getTime() + minutes * 60_000);
    },
    observe: () => advance(options, sagaId, [{ react, origin }], 0),
    timer: () => advance(options, id, [], 0),
    state: async () => (await aggregates.load(notificationDecider, id)).state,
  };
}

describe('mails about orders', () => {
  test('are sent once, however often the event arrives', async () => {
    const { observe, mails, state } = world();
    await observe();
    await observe();
    expect(mails).toHaveLength(1);
    expect(mails[0]).toMatchObject({ id, to: 'ann@example.com' });
    expect((await state()).status).toBe('sent');
  });

  test('wait while the mail server is unreachable, and are sent when it is back', async () => {
    const { observe, timer, answer, pass, mails, state } = world();
    answer(() => {
      throw unavailable('the mail server');
    });
    const { dueAt } = await observe();
    expect(dueAt).toEqual(new Date('2026-01-01T00:01:00Z'));
    await timer();
    expect(mails).toHaveLength(0);
    answer(() => ({ kind: 'accepted' }));
    pass(1);
    expect((await timer()).dueAt).toBeUndefined();
    expect(mails).toHaveLength(1);
    expect((await state()).status).toBe('sent');
  });

  test('about what has left wait for the view to show it, and no longer than for anything else', async () => {
    const late = world({ event: shipped });
    await late.observe();
    expect(late.mails).toHaveLength(0);
    late.send();
    late.pass(1);
    await late.timer();
    expect(late.mails).toMatchObject([{ text: expect.stringContaining('PX 1') }]);
    const never = world({ event: shipped });
    await never.observe();
    for (const minutes of [1, 5, 15, 60, 240, 720]) {
      expect(never.mails).toHaveLength(0);
      never.pass(minutes);
      await never.timer();
    }
    expect(never.mails).toMatchObject([{ text: expect.stringContaining('has left our warehouse') }]);
  });

  test('are given up if there is no address, or if the server refuses finally', async () => {
    const nowhere = world({ email: '' });
    await nowhere.observe();
    expect(await nowhere.state()).toMatchObject({ status: 'failed' });
    expect(nowhere.mails).toHaveLength(0);
    const refused = world();
    refused.answer(() => ({ kind: 'rejected', reason: 'SMTP_550' }));
    expect((await refused.observe()).dueAt).toBeUndefined();
    expect(await refused.state()).toMatchObject({ status: 'failed' });
  });

  test('wait for the address to be verified, for as long as for anything else', async () => {
    const late = world({ emailVerified: false });
    await late.observe();
    expect(late.mails).toHaveLength(0);
    late.customer.emailVerified = true;
    late.pass(1);
    await late.timer();
    expect(late.mails).toHaveLength(1);
    const never = world({ emailVerified: false });
    await never.observe();
    for (const minutes of [1, 5, 15, 60, 240, 720]) {
      never.pass(minutes);
      await never.timer();
    }
    expect([never.mails.length, (await never.state()).status]).toEqual([0, 'failed']);
  });

  test('go to unverified addresses where that is allowed, except about orders of nothing', async () => {
    const allowed = { emailVerified: false, unverifiedAddresses: true };
    const paid = world({ ...allowed, total: { minorUnits: 1n, currency: 'GBP' } });
    await paid.observe();
    expect(paid.mails).toHaveLength(1);
    const free = world({ ...allowed, total: { minorUnits: 0n, currency: 'GBP' } });
    await free.observe();
    expect(free.mails).toHaveLength(0);
  });

  test('are not sent to a customer who was erased since, not even those that wait', async () => {
    const { observe, timer, answer, pass, customer, mails, state } = world();
    answer(() => {
      throw unavailable('the mail server');
    });
    await observe();
    answer(() => ({ kind: 'accepted' }));
    Object.assign(customer, { email: '', eraseTime: new Date() });
    pass(1);
    expect((await timer()).dueAt).toBeUndefined();
    expect([mails.length, (await state()).status]).toEqual([0, 'failed']);
  });

  test('wait for a process that has the key of the address', async () => {
    const { observe, timer, pass, customer, mails } = world({ email: '[sealed]' });
    await observe();
    expect(mails).toHaveLength(0);
    customer.email = 'ann@example.com';
    pass(1);
    await timer();
    expect(mails).toHaveLength(1);
  });

  test('are no more than the bound of an hour, and those above it wait without an attempt', async () => {
    const { observe, timer, pass, aggregates, mails, state } = world({ mailsPerHour: 2 });
    for (const notificationId of ['a', 'b'])
      await aggregates.execute({
        decider: recipientDecider,
        id: 'c1',
        decide: (known, context) => countMail(known, context, { customerId: 'c1', notificationId, most: 2 }),
        reply: () => undefined,
        replyCodec: noReply,
        origin: { actor: 'test', causationId: '', correlationId: '', traceparent: '' },
      });
    expect((await observe()).dueAt).toEqual(new Date('2026-01-01T00:10:00Z'));
    expect(mails).toHaveLength(0);
    pass(50);
    await timer();
    expect([mails.length, (await state()).attempts]).toEqual([0, 0]);
    pass(10);
    await timer();
    expect([mails.length, (await state()).status]).toEqual([1, 'sent']);
  });

  test.each([
    ['confirmed', 'order_confirmed'],
    ['shipped', 'order_shipped'],
    ['delivered', 'order_delivered'],
    ['rejected', 'order_rejected'],
    ['cancelled', 'order_cancelled'],
    ['created', undefined],
    ['cancelRequested', undefined],
    ['toString', undefined],
  ])('the event %s is reported by %s', ($case, template) => {
    const event = { $case, value: { customerId: 'c1', reason: '' } };
    const observed = { stream: order.stream('o1'), id: 'o1', version: 2, at: new Date(), event };
    const concern = concernOf(orderMails({} as MailDependencies), order.name, observed);
    expect(concern?.sagaId).toBe(template && notificationIdFor('o1', template));
    const [asked] = concern?.react(notificationDecider.initial) ?? [];
    expect(asked?.$case === 'requested' ? asked.value.template : undefined).toBe(template);
  });
});
