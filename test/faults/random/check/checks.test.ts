/** The checks of the random run find what they are for: each gets a history in which it does not hold. */
import type { LedgerEntry } from '@caudal/service-payments/gateway/sandbox.ts';
import { describe, expect, test } from '@jest/globals';
import type { Json } from '../../../e2e/api.ts';
import type { Attempt, Operation } from '../history.ts';
import { checkCalls } from './calls.ts';
import { checkCommands } from './commands.ts';
import type { LogEvent } from './log-events.ts';
import { checkPayments, checkTransfers, checkWallets } from './money.ts';
import { checkOrders } from './orders.ts';
import { checkStock } from './stock.ts';

/** Events in the order of their log: `['inventory.stock/P', 'reserved', {...}, causation]`. */
function logOf(...lines: [stream: string, action: string, value?: Json, causationId?: string][]): LogEvent[] {
  const versions = new Map<string, number>();
  return lines.map(([stream, action, value = {}, causationId = ''], index) => {
    const [entity, id] = stream.split('/') as [string, string];
    const version = (versions.get(stream) ?? 0) + 1;
    versions.set(stream, version);
    const about = { domain: entity.split('.')[0]!, position: index + 1, stream, entity, id, version };
    return { ...about, type: `${entity}.${action}.v1`, value, causationId };
  });
}

function operation(about: Partial<Operation>): Operation {
  const times = { began: 0, ended: 1, status: 200, reason: '', attempts: [] };
  return { id: 'op', client: 'c', method: 'Deposit', request: {}, outcome: 'done', ...times, ...about };
}

describe('commands', () => {
  const wallet = 'payments.wallet/w';
  const once = logOf([wallet, 'deposited', {}, 'op']);
  const twice = logOf([wallet, 'deposited', {}, 'op'], [wallet, 'deposited', {}, 'op']);

  test.each([
    ['done and in the log', 'done', once, 0],
    ['done and lost', 'done', [], 1],
    ['done twice', 'done', twice, 2],
    ['refused and not in the log', 'refused', [], 0],
    ['refused and in the log', 'refused', once, 1],
    ['unknown and in the log', 'unknown', once, 0],
    ['unknown and not in the log', 'unknown', [], 0],
    ['unknown and in the log twice', 'unknown', twice, 1],
  ] as const)('%s', (_, outcome, events, findings) => {
    expect(checkCommands([operation({ outcome })], [...events])).toHaveLength(findings);
  });

  test('begun and undone counts as refused; only begun does not', () => {
    const reserve = operation({ method: 'ReserveStock', outcome: 'refused' });
    const [first, second] = ['inventory.stock/P', 'inventory.stock/Q'];
    const undone = logOf([first, 'reserved', {}, 'op'], [first, 'released', {}, 'op'], [second, 'barred', {}, 'op']);
    expect(checkCommands([reserve], undone)).toEqual([]);
    expect(checkCommands([reserve], logOf([first, 'reserved', {}, 'op'], [second, 'released', {}, 'op']))).toHaveLength(
      1,
    );
  });
});

describe('stock', () => {
  const item = 'inventory.stock/P';
  const created: Parameters<typeof logOf>[0] = [item, 'created', { quantity: 3n, available: 3n }];
  const reserved = (reservationId: string, quantity: bigint, available: bigint): typeof created => [
    ...([item, 'reserved'] as const),
    { reservationId, quantity, available },
  ];

  test('counts sold and reserved pieces', () => {
    const committed: typeof created = [item, 'committed', { reservationId: 'r1', quantity: 2n, available: 0n }];
    const { found, sold, open } = checkStock(logOf(created, reserved('r1', 2n, 1n), reserved('r2', 1n, 0n), committed));
    expect([found, [...sold], [...open]]).toEqual([[], [['r1', 2n]], [['r2', 1n]]]);
  });

  test.each([
    ['oversold', [created, reserved('r1', 2n, 1n), reserved('r2', 2n, -1n)]],
    ['reserved twice', [created, reserved('r1', 1n, 2n), reserved('r1', 1n, 2n)]],
    ['a wrong sum', [created, reserved('r1', 1n, 3n)]],
    [
      'sold without a reservation',
      [created, [item, 'committed', { reservationId: 'r1', quantity: 1n, available: 2n }]],
    ],
    [
      'released without a reservation',
      [created, [item, 'expired', { reservationId: 'r1', quantity: 1n, available: 3n }]],
    ],
    ['returned without a sale', [created, [item, 'returned', { reservationId: 'r1', quantity: 1n, available: 4n }]]],
  ] as [string, (typeof created)[]][])('%s', (_, lines) => {
    expect(checkStock(logOf(...lines)).found).not.toEqual([]);
  });
});

describe('money', () => {
  const [a, b] = ['payments.wallet/a', 'payments.wallet/b'];
  const sent: Parameters<typeof logOf>[0] = [a, 'transfer_sent', { transferId: 't', amount: 5n, balance: 0n }];
  const received = (amount: bigint): typeof sent => [
    ...([b, 'transfer_received'] as const),
    { transferId: 't', amount, balance: amount, fromWalletId: 'a' },
  ];

  test.each([
    ['a wrong balance', [[a, 'deposited', { amount: 5n, balance: 6n }]]],
    ['below zero', [[a, 'withdrawn', { amount: 5n, balance: -5n }]]],
  ] as [string, (typeof sent)[]][])('%s', (_, lines) => {
    expect(checkWallets(logOf(...lines))).not.toEqual([]);
  });

  test('transfers arrive or return, whole and once', () => {
    const returned: typeof sent = [a, 'transfer_returned', { transferId: 't', amount: 5n, balance: 5n }];
    expect(checkTransfers(logOf(sent, received(5n)))).toEqual([]);
    expect(checkTransfers(logOf(sent, returned))).toEqual([]);
    for (const lines of [[sent], [received(5n)], [sent, received(4n)], [sent, received(5n), returned]])
      expect(checkTransfers(logOf(...lines))).not.toEqual([]);
  });

  const payment = 'payments.payment/p';
  const requested = ($case: string): typeof sent => [
    payment,
    'requested',
    { amount: { minorUnits: 5n }, method: { $case } },
  ];
  const entry = (taken: number, givenBack: number) =>
    new Map([['p', { taken, givenBack, amount: '5' } as LedgerEntry]]);
  const none = new Map<string, LedgerEntry>();

  test('a correct payment', () => {
    expect(checkPayments(logOf(requested('cardToken'), [payment, 'succeeded']), entry(1, 0))).toEqual([]);
    expect(checkPayments(logOf(requested('cardToken'), [payment, 'voided']), entry(1, 1))).toEqual([]);
    const debited: typeof sent = [a, 'debited', { paymentId: 'p', amount: 5n }];
    expect(checkPayments(logOf(requested('walletId'), debited, [payment, 'succeeded']), none)).toEqual([]);
  });

  test.each([
    ['charged twice', logOf(requested('cardToken'), [payment, 'succeeded']), entry(2, 0)],
    ['succeeded without money', logOf(requested('cardToken'), [payment, 'succeeded']), none],
    ['money of a failed payment kept', logOf(requested('cardToken'), [payment, 'failed']), entry(1, 0)],
    ['no end', logOf(requested('cardToken')), none],
    ['two ends', logOf(requested('cardToken'), [payment, 'failed'], [payment, 'voided']), none],
    ['a charge without a payment', [], entry(1, 1)],
    [
      'another amount',
      logOf(requested('walletId'), [a, 'debited', { paymentId: 'p', amount: 4n }], [payment, 'succeeded']),
      none,
    ],
  ] as [string, LogEvent[], Map<string, LedgerEntry>][])('%s', (_, events, ledger) => {
    expect(checkPayments(events, ledger)).not.toEqual([]);
  });
});

describe('orders', () => {
  const lines: Parameters<typeof logOf> = [
    ['orders.order/o', 'created', { lines: [{ quantity: 2n }] }],
    ['orders.order/o', 'delivered'],
    ['payments.payment/o', 'succeeded'],
    ['shipping.shipment/o', 'delivered'],
  ];
  const shown = (status: string) => new Map([['o', { status: `ORDER_STATUS_${status}` }]]);
  const stock = (sold: bigint, open = 0n) => ({
    found: [],
    sold: new Map([['o.1', sold]]),
    open: new Map([['o.1', open]]),
  });
  const check = (events: LogEvent[], status = 'DELIVERED', sold = 2n, open = 0n) =>
    checkOrders({ events, stock: stock(sold, open), ended: shown(status) });

  test('a correct order', () => expect(check(logOf(...lines))).toEqual([]));
  test.each([
    ['no end', check(logOf(lines[0]!))],
    ['shown as something else', check(logOf(...lines), 'CANCELLED')],
    ['unpaid', check(logOf(lines[0]!, lines[1]!, lines[3]!))],
    ['refunded', check(logOf(...lines, ['payments.payment/o', 'refunded']))],
    ['not shipped', check(logOf(...lines.slice(0, 3)))],
    ['pieces missing', check(logOf(...lines), 'DELIVERED', 1n)],
    ['pieces still reserved', check(logOf(...lines), 'DELIVERED', 2n, 1n)],
    ['shown but not in the log', check([])],
  ])('%s', (_, found) => expect(found).not.toEqual([]));
});

describe('calls', () => {
  const call = (about: Partial<Attempt>) => ({
    ...{ method: 'GetOrder', part: 'query-1', began: 100, ended: 200, status: 200, reason: '' },
    ...about,
  });

  test('internal errors of the server, and missing answers', () => {
    const calls = checkCalls();
    for (const status of [200, 404, 503, 504, 0]) calls.see(call({ status }));
    calls.see(call({ status: 500, reason: 'INTERNAL' }));
    calls.see(call({ status: 0, reason: 'no answer' }));
    expect(calls.report.found).toEqual(['GetOrder at query-1: 500 INTERNAL']);
    expect(calls.unexcused([{ part: 'query-1', began: 150, ended: 400 }])).toEqual([]);
    expect(calls.unexcused([{ part: 'query-2', began: 0, ended: 400 }])).toHaveLength(1);
    expect(calls.unexcused([{ part: 'query-1', began: 300, ended: 400 }])).toHaveLength(1);
  });
});
