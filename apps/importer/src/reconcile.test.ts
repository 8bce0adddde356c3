import { OrderStatus } from '@caudal/contract/gen/caudal/orders/v1/orders.ts';
import { PaymentStatus } from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
import { systemClock } from '@caudal/kernel/time.ts';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { readFacts } from './facts.ts';
import { reconcile } from './reconcile.ts';
import { renderReport } from './render-report.ts';
import { createReport, isReconciled } from './report.ts';
import { runImport } from './run.ts';
import type { Source } from './tally.ts';
import { fakeSystem } from './testing/fake-system.ts';
import { smallPlan } from './testing/small-file.ts';

let source: Source;

beforeAll(async () => {
  const plan = smallPlan();
  const { api } = fakeSystem({ stepsPerRead: 4 });
  const { signal } = new AbortController();
  const outcome = await runImport({ plan, api, clock: systemClock, signal, concurrency: 1 });
  const facts = await readFacts({ plan, idPrefix: plan.id, api, clock: systemClock, signal });
  source = { plan, outcome, facts };
});

const order = ({ plan, facts }: Source, reference: string) => facts.orders.get(`${plan.id}-${reference}`)!;
const payment = ({ plan, facts }: Source, reference: string) => facts.payments.get(`${plan.id}-${reference}`)!;

/**
 * A wrong number, and the checks that must fail. In the small file 1000 is delivered, 1009 cancelled, 2000 rejected.
 */
const tampered: [string, (source: Source) => void, string[]][] = [
  [
    'a line of the file is missing',
    ({ plan }) => void plan.rejected.pop(),
    ['lines of the file that are imported or rejected', 'revenue in United Kingdom', 'total of the file ='],
  ],
  [
    'a line is imported twice',
    ({ plan }) => void plan.orders[0]!.lines[0]!.numbers.push(plan.orders[1]!.lines[0]!.numbers[0]!),
    ['lines that are imported twice'],
  ],
  [
    'a correction failed',
    ({ plan, outcome }) => outcome.corrections.set(plan.corrections[0]!.number, { end: 'failed', reason: 'X' }),
    ['corrections applied, or refused', 'pieces on hand =', 'products with a different number on hand'],
  ],
  [
    'a correction was forgotten',
    ({ plan, outcome }) => outcome.corrections.delete(plan.corrections[2]!.number),
    ['corrections applied, or refused'],
  ],
  [
    'an order is missing',
    ({ plan, facts }) => facts.orders.delete(`${plan.id}-1000`),
    ['orders in the system', 'orders that are stuck', 'revenue in United Kingdom', 'payments kept'],
  ],
  [
    'an order too many',
    ({ facts, plan }) => facts.orders.set(`${plan.id}-x`, [...facts.orders.values()][0]!),
    ['orders in the system that the file does not have'],
  ],
  ['another buyer', (all) => Object.assign(order(all, '1000'), { customerId: '9' }), ['orders with another buyer']],
  [
    'another country',
    (all) => Object.assign(order(all, '1000'), { country: 'France' }),
    ['orders with another buyer', 'revenue in France', 'revenue in United Kingdom'],
  ],
  ['another price', (all) => order(all, '1000').lines[0]!.unitPrice!.minorUnits++, ['orders with another buyer']],
  [
    'a penny more',
    (all) => order(all, '1000').total!.minorUnits++,
    ['orders with another buyer', 'revenue in United Kingdom', 'total of the file =', 'payments kept'],
  ],
  [
    'a penny more of a cancelled order',
    (all) => order(all, '1009').total!.minorUnits++,
    ['orders with another buyer', 'total of the file ='],
  ],
  [
    'a piece more',
    (all) => order(all, '1000').lines[0]!.quantity++,
    ['orders with another buyer', 'pieces on hand =', 'products with a different number on hand'],
  ],
  [
    'an order has not ended',
    (all) => Object.assign(order(all, '1000'), { status: OrderStatus.ORDER_STATUS_SHIPPED }),
    ['orders that are stuck', 'revenue in United Kingdom'],
  ],
  [
    'a sale was cancelled',
    (all) => Object.assign(order(all, '1000'), { status: OrderStatus.ORDER_STATUS_CANCELLED }),
    ['orders that ended differently', 'orders whose shipment', 'orders whose payment', 'payments paid back'],
  ],
  [
    'a cancelled order was delivered',
    (all) => Object.assign(order(all, '1009'), { status: OrderStatus.ORDER_STATUS_DELIVERED }),
    ['orders that ended differently', 'orders whose shipment', 'orders whose payment'],
  ],
  [
    'the import gave up on an order',
    ({ outcome }) => outcome.orders.set('1000', { end: 'stuck', reason: 'X' }),
    ['orders that the import could not finish'],
  ],
  [
    'rejected for another reason',
    (all) => Object.assign(order(all, '2000'), { reason: 'PAYMENT_TIMED_OUT' }),
    ['orders rejected for another reason'],
  ],
  [
    'rejected without need',
    (all) =>
      Object.assign(order(all, '2001'), { status: OrderStatus.ORDER_STATUS_REJECTED, reason: 'INSUFFICIENT_STOCK' }),
    ['orders rejected although there were enough pieces', 'payments kept'],
  ],
  [
    'more was sold than was ever in stock',
    (all) => Object.assign(order(all, '2000'), { status: OrderStatus.ORDER_STATUS_DELIVERED }),
    ['orders of more pieces than can ever be in stock', 'products oversold'],
  ],
  [
    'a rejected order was charged',
    (all) => {
      const charged = { ...payment(all, '1000'), amount: { minorUnits: 1n, currency: 'GBP' } };
      all.facts.payments.set(order(all, '2000').orderId, charged);
    },
    ['payments kept', 'orders whose payment'],
  ],
  [
    'a delivered order is not paid',
    (all) => Object.assign(payment(all, '1000'), { status: PaymentStatus.PAYMENT_STATUS_REFUNDED }),
    ['payments kept', 'payments paid back', 'orders whose payment'],
  ],
  [
    'a cancelled order is not refunded',
    (all) => Object.assign(payment(all, '1009'), { status: PaymentStatus.PAYMENT_STATUS_SUCCEEDED }),
    ['payments kept', 'payments paid back', 'orders whose payment'],
  ],
  [
    "the order's view has another status of its payment",
    (all) => Object.assign(order(all, '1009').payment!, { status: 'succeeded' }),
    ['orders whose payment'],
  ],
  [
    'a cancelled order was shipped',
    (all) => Object.assign(order(all, '1009').shipment!, { status: 'dispatched' }),
    ['orders whose shipment'],
  ],
  [
    'a wallet has a penny less',
    ({ facts }) => facts.wallets.get('wallet-1')!.balance!.minorUnits--,
    ['balance of all wallets', 'wallets with a different balance'],
  ],
  ['a wallet is missing', ({ facts }) => facts.wallets.delete('wallet-1'), ['wallets with a different balance']],
  [
    'a penny went from one wallet to another',
    ({ facts }) => {
      facts.wallets.get('wallet-1')!.balance!.minorUnits--;
      facts.wallets.get('wallet-2')!.balance!.minorUnits++;
    },
    ['wallets with a different balance'],
  ],
  [
    'a piece is missing',
    ({ facts }) => facts.stock.get('P0')!.onHand--,
    ['pieces on hand =', 'products with a different number on hand'],
  ],
  [
    'a piece is promised for ever',
    ({ facts }) => facts.stock.get('P0')!.reserved++,
    ['products with pieces still reserved'],
  ],
  [
    'the stock is below zero',
    ({ facts }) => Object.assign(facts.stock.get('P0')!, { onHand: -1n }),
    ['products with fewer than 0'],
  ],
  ['a product has no stock', ({ facts }) => facts.stock.delete('LOST'), ['products without stock']],
];

describe('reconcile', () => {
  test('all checks are ok if everything agrees with the file', () => {
    expect(reconcile(source).filter(({ ok }) => !ok)).toEqual([]);
  });

  test.each(tampered)('%s', (_, tamper, names) => {
    const copy = structuredClone(source);
    tamper(copy);
    const failed = reconcile(copy).filter(({ ok }) => !ok);
    for (const name of names)
      expect(failed).toContainEqual(expect.objectContaining({ name: expect.stringContaining(name) }));
    expect(isReconciled(createReport({ ...copy, checks: reconcile(copy) }))).toBe(false);
  });

  test('each check can fail', () => {
    const all = new Set(reconcile(source).map(({ name }) => name));
    for (const [, tamper] of tampered) {
      const copy = structuredClone(source);
      tamper(copy);
      for (const { name, ok } of reconcile(copy)) if (!ok) all.delete(name);
    }
    expect(all).toEqual(new Set());
  });
});

describe('the report', () => {
  const reportOf = (of: Source) => createReport({ ...of, checks: reconcile(of) });

  test('is plain JSON', () => {
    const report = reportOf(source);
    expect(JSON.parse(JSON.stringify(report))).toEqual(report);
    expect(isReconciled(report)).toBe(true);
    expect(report.lines).toEqual({ total: 57, inOrders: 52, corrections: 3, rejected: 2 });
    expect(report.orders.rejected).toEqual({ orders: 1, amount: '255.00' });
    expect(report.countries.every(({ difference }) => difference === '0.00')).toBe(true);
    expect(report.refunds.withoutPurchase).toEqual({ orders: 1, amount: '27.50' });
  });

  test('shows the sums and checks as text', () => {
    const text = renderReport(reportOf(source));
    expect(text).toContain('Everything reconciles with the file.');
    expect(text).toContain('✓ payments kept: ');
    expect(text).toMatch(/line 58 +11062.06 +|Invoice A2007 is an accounting entry/);
    expect(text).toMatch(/2000 +United Kingdom +255.00 +INSUFFICIENT_STOCK/);
    expect(text).toMatch(/LOST +-1/);
    expect(text).not.toContain('✗');
  });

  test('shows the differences, with their items', () => {
    const copy = structuredClone(source);
    copy.facts.stock.get('P0')!.onHand--;
    const text = renderReport(reportOf(copy));
    expect(text).toContain('It does NOT reconcile with the file.');
    expect(text).toMatch(/✗ products with a different number on hand: 1 instead of 0\n +P0: /);
  });
});
