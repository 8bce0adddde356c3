import { decimalsOf } from '@caudal/contract/currencies.ts';
import { OrderPayment, OrderShipment } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { currencies } from '@caudal/testing/currencies.ts';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  compose,
  composeRefund,
  composeVerification,
  isTemplate,
  moneyText,
  type OrderFacts,
  type ShipmentFacts,
  type Template,
} from './templates.ts';

const gbp = (minorUnits: bigint) => ({ minorUnits, currency: 'GBP' });
const sent = OrderShipment.fromPartial({
  shipmentId: 'A-1',
  status: 'dispatched',
  carrier: 'Posta',
  trackingNumber: 'PX 1',
  lines: [{ productId: '85123A', quantity: 6n }],
});
const order: OrderFacts = {
  orderId: '536365',
  lines: [{ productId: '85123A', title: 'WHITE HANGING HEART', quantity: 6n, unitPrice: gbp(255n) }],
  total: gbp(1530n),
  payment: OrderPayment.fromPartial({ paymentId: 'A-1', status: 'refunded', amount: gbp(1530n) }),
  shipment: sent,
  shipments: [sent],
  reason: 'INSUFFICIENT_STOCK',
};
const to = 'anna@example.com';
const write = (template: Template, more: Partial<OrderFacts> = {}, shipment?: ShipmentFacts) =>
  compose({ notificationId: 'n-1', template, to, order: { ...order, ...more }, shipment });

test('only templates that exist have a name', () => {
  expect([isTemplate('order_shipped'), isTemplate('constructor')]).toEqual([true, false]);
});

describe('a mail', () => {
  test('says everything about a confirmed order', () => {
    expect(write('order_confirmed')).toMatchObject({
      id: 'n-1',
      to: 'anna@example.com',
      subject: 'Your order 536365 is confirmed',
      text:
        'Hello,\n\nThank you. Your order 536365 is paid and being prepared:\n\n' +
        '  6 x WHITE HANGING HEART at 2.55 GBP\n\nTotal: 15.30 GBP\n',
    });
  });

  test('gives the tracking number, if there is one', () => {
    expect(write('order_shipped').text).toContain('Posta: PX 1');
    expect(write('order_shipped', { shipments: [] }).text).toContain('Posta: PX 1');
    expect(write('order_shipped', { shipment: undefined, shipments: [] }).text).toBe(
      'Hello,\n\nYour order 536365 has left our warehouse.\n',
    );
  });

  test('says that a part has left, which one, and that the rest follows', () => {
    const waiting = { ...sent, status: 'created', carrier: '', trackingNumber: '', lines: [] };
    const left = { ...sent, shipmentId: 'A-1~2', lines: [{ productId: '85123A', quantity: 2n }] };
    // The second one was the first to leave.
    expect(write('order_shipped', { shipment: waiting, shipments: [waiting, left] }).text).toBe(
      'Hello,\n\nA part of your order 536365 has left our warehouse:\n\n' +
        '  2 x WHITE HANGING HEART\n\nPosta: PX 1\n\nThe rest follows.\n',
    );
    const withdrawn = { ...waiting, status: 'cancelled' };
    const gone = { ...withdrawn, lines: [{ productId: '85123A', quantity: 4n }] };
    expect(write('order_shipped', { shipments: [gone, left] }).text).toBe(
      'Hello,\n\nA part of your order 536365 has left our warehouse:\n\n' +
        '  2 x WHITE HANGING HEART\n\nPosta: PX 1\n\nWe could not send a part of it:\n\n  4 x WHITE HANGING HEART\n',
    );
    expect(write('order_shipped', { shipments: [gone, left, waiting] }).text).toContain(
      '\nMore follows.\n\nWe could not',
    );
    expect(write('order_shipped', { shipments: [withdrawn] }).text).toContain('\nYour order 536365 has left');
  });

  test('about a delivery says what was not sent', () => {
    expect(write('order_delivered').text).toBe('Hello,\n\nYour order 536365 was delivered. We hope you like it.\n');
    const withdrawn = { ...sent, status: 'cancelled', lines: [{ productId: '85123A', quantity: 2n }] };
    const mail = write('order_delivered', { shipments: [{ ...sent, status: 'delivered' }, withdrawn] });
    expect(mail.subject).toBe('Your order 536365 was delivered in part');
    expect(mail.text).toBe(
      'Hello,\n\nYour order 536365 was delivered. We hope you like it.\n\n' +
        'We could not send a part of it:\n\n  2 x WHITE HANGING HEART\n',
    );
  });

  test('is about a later part, with what is in it', () => {
    const mail = write('shipment_dispatched', {}, sent);
    expect(mail.subject).toBe('Another part of your order 536365 is on its way');
    expect(mail.text).toBe(
      'Hello,\n\nAnother part of your order 536365 has left our warehouse:\n\n' +
        '  6 x WHITE HANGING HEART\n\nPosta: PX 1\n',
    );
  });

  test('says what was withdrawn, and that its price goes back if it was paid', () => {
    const mail = write('shipment_withdrawn', {}, { ...sent, lines: [{ productId: '85123A', quantity: 2n }] });
    expect(mail.subject).toBe("We can't send a part of your order 536365");
    expect(mail.text).toBe(
      "Hello,\n\nWe are sorry: we can't send a part of your order 536365.\n\n  2 x WHITE HANGING HEART\n\n" +
        'What you paid for it goes back to you; a mail will tell you when.\n',
    );
    expect(write('shipment_withdrawn', { payment: undefined }, sent).text).not.toContain('paid');
  });

  test('corrects a number, and says of which part if there are several', () => {
    expect(write('shipment_tracking_corrected', {}, { ...sent, trackingNumber: 'PX 2' }).text).toBe(
      'Hello,\n\nWe have corrected how your order 536365 is sent. ' +
        'Please use this instead of what we wrote before:\n\nPosta: PX 2\n',
    );
    const several = write('shipment_tracking_corrected', { shipments: [sent, sent] }, { ...sent, trackingNumber: '' });
    expect(several.text).toContain('how a part of your order');
    expect(several.text).toContain('\n  6 x WHITE HANGING HEART\n\nPosta\n');
  });

  test('contains the reason of a rejection, if it is for people', () => {
    expect(write('order_rejected').text).toContain('out of stock');
    expect(write('order_rejected', { reason: 'SOMETHING_INTERNAL' }).text).not.toContain('INTERNAL');
  });

  test('tells of the refund after a cancellation, without an amount: some of it may be back already', () => {
    for (const status of ['succeeded', 'refunded', 'partly_refunded']) {
      const payment = OrderPayment.fromPartial({ status, amount: gbp(1530n) });
      expect(write('order_cancelled', { payment }).text).toContain('is cancelled. What you paid goes back to you;');
    }
    for (const status of ['requested', 'failed', 'voided']) {
      const payment = OrderPayment.fromPartial({ status, amount: gbp(1530n) });
      expect(write('order_cancelled', { payment }).text).not.toContain('goes back');
    }
    const nothing = OrderPayment.fromPartial({ status: 'refunded', amount: gbp(0n) });
    for (const payment of [undefined, nothing]) {
      expect(write('order_cancelled', { payment }).text).toContain('is cancelled.\n');
    }
  });

  test('lists at most 50 lines of an order', () => {
    const lines = Array.from({ length: 1_000 }, () => order.lines[0]!);
    expect(write('order_confirmed', { lines }).text).toContain('\n  ... and 950 more\n');
  });
});

describe('a mail about a refund', () => {
  const refunded = (refund: Partial<Parameters<typeof composeRefund>[0]['refund']> = {}) =>
    composeRefund({
      notificationId: 'n-1',
      to,
      order,
      refund: { amount: gbp(1530n), paid: gbp(1530n), byWallet: false, settled: false, ...refund },
    });

  test('says how much is back, and where', () => {
    expect(refunded()).toMatchObject({
      id: 'n-1',
      to: 'anna@example.com',
      subject: 'We have paid back 15.30 GBP for your order 536365',
      text:
        'Hello,\n\nWe have paid back 15.30 GBP for your order 536365.\n\n' +
        'It goes to your card. Your bank may take some days to show it.\n',
    });
    expect(refunded({ byWallet: true }).text).toContain('It is in your wallet.');
    const byHand = 'by itself: our staff has paid it to you.';
    expect(refunded({ settled: true }).text).toContain(`It did not go back to your card ${byHand}`);
    expect(refunded({ byWallet: true, settled: true }).text).toContain(`It did not go back to your wallet ${byHand}`);
  });

  test('says of which payment it is a part', () => {
    const part = refunded({ amount: gbp(255n) });
    expect(part.subject).toBe('We have paid back 2.55 GBP for your order 536365');
    expect(part.text).toContain('That is a part of the 15.30 GBP that you paid.');
    for (const paid of [undefined, { minorUnits: 9_000n, currency: 'EUR' }])
      expect(refunded({ amount: gbp(255n), paid }).text).not.toContain('part');
  });
});

test('a mail with a code says what it is for, and how long it is good', () => {
  expect(composeVerification({ notificationId: 'n-1', to, code: 'ABCDE23456' })).toEqual({
    ...{ id: 'n-1', to, subject: 'Your code', secret: 'ABCDE-23456' },
    text: expect.stringContaining(
      'ABCDE-23456 is the code that shows that this address is yours. It is good for an hour.',
    ),
  });
});

describe('an order is named by its id if that is a number or a UUID, and by nothing that a buyer has made up', () => {
  test.each([
    ['536365', 'order 536365'],
    ['0190a8c1-7000-7000-8000-000000000001', 'order 0190a8c1-7000-7000-8000-000000000001'],
    ['shop-1.42', 'order'],
    ['www.evil.example', 'order'],
    ['CALL-0900', 'order'],
    ['1'.repeat(13), 'order'],
  ])('the id %s: the %s', (orderId, what) => {
    const reference = 'see evil.example or call 0800';
    const { subject, text } = write('order_confirmed', { orderId, reference } as Partial<OrderFacts>);
    expect(subject).toBe(`Your ${what} is confirmed`);
    expect(text).not.toMatch(/evil|call/i);
    expect(text).toMatch(/^Hello,\n/);
  });
});

test.each([
  [1250n, 'GBP', '12.50 GBP'],
  [5n, 'EUR', '0.05 EUR'],
  [-105n, 'EUR', '-1.05 EUR'],
  [1250n, 'JPY', '1250 JPY'],
  [1250n, 'KWD', '1.250 KWD'],
  [1250000n, 'HUF', '12500.00 HUF'],
  [1250n, 'IQD', '1.250 IQD'],
  [1250n, 'MGA', '12.50 MGA'],
  [90071992547409931n, 'GBP', '900719925474099.31 GBP'],
])('%p minor units of %s are %s', (minorUnits, currency, text) => {
  expect(moneyText({ minorUnits, currency })).toBe(text);
});

test('an amount of any currency is shown with its decimals, and to the last of its minor units', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...currencies),
      fc.bigInt({ min: -(10n ** 15n), max: 10n ** 15n }),
      (currency, minorUnits) => {
        const [, sign, whole, fraction = ''] = /^(-?)(\d+)(?:\.(\d+))? [A-Z]{3}$/.exec(
          moneyText({ minorUnits, currency }),
        )!;
        expect(fraction).toHaveLength(decimalsOf(currency));
        expect(whole).toMatch(/^(0|[1-9]\d*)$/);
        expect(BigInt(`${sign}${whole}${fraction}`)).toBe(minorUnits);
      },
    ),
  );
});
