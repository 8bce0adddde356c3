import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import {
  Payment,
  type PaymentQueryServiceService,
  PaymentStatus,
} from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
import {
  Transaction,
  Wallet,
  type WalletQueryServiceService,
} from '@caudal/contract/gen/caudal/payments/v1/wallets.ts';
import { newId } from '@caudal/kernel/ids.ts';
import type { Handlers } from '@caudal/rpc/types.ts';
import { refusalOf, testCall } from '@caudal/testing/call.ts';
import { viewsOf } from '@caudal/testing/interleavings.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { fixedViews } from '@caudal/testing/view-readers.ts';
import { describe, expect, test } from '@jest/globals';
import { walletService } from './commands/wallet-service.ts';
import { type PaymentEvent, paymentDecider } from './domain/payment.ts';
import type { WalletEvent } from './domain/wallet.ts';
import { walletDecider } from './domain/wallet.ts';
import { paymentMessage } from './payment-message.ts';
import { paymentStatus } from './projections/payment-status.ts';
import { walletBalances } from './projections/wallet-balances.ts';
import { walletTransactions } from './projections/wallet-transactions.ts';
import { paymentQueryService } from './queries/payment-query-service.ts';
import { walletQueryService } from './queries/wallet-query-service.ts';
import { customersBut } from './testing/customers.ts';
import { walletMessage } from './wallet-message.ts';

const from = new Date('2026-01-01T00:00:00Z');
const at = (seconds: number) => new Date(from.getTime() + seconds * 1000);
const currency = 'GBP';
const orderId = 'o1';

const walletEvents: WalletEvent[] = [
  { $case: 'created', value: { walletId: 'w1', customerId: 'c1', currency } },
  { $case: 'deposited', value: { amount: 100n, reference: 'cash', balance: 100n, currency } },
  { $case: 'debited', value: { amount: 30n, paymentId: 'p1', balance: 70n, currency } },
  { $case: 'debitRefused', value: { amount: 300n, paymentId: 'p2', reason: 'INSUFFICIENT_FUNDS', until: at(999) } },
  { $case: 'credited', value: { amount: 30n, paymentId: 'p1', balance: 100n, currency } },
  {
    $case: 'transferSent',
    value: {
      amount: 10n,
      transferId: 't1',
      toWalletId: 'w2',
      balance: 90n,
      currency,
      reference: 'rent',
      delivered: false,
    },
  },
  {
    $case: 'transferReturned',
    value: { amount: 10n, transferId: 't1', balance: 100n, currency, reason: 'WALLET_FROZEN' },
  },
  {
    $case: 'transferReceived',
    value: { amount: 5n, transferId: 't2', fromWalletId: 'w2', balance: 105n, currency, reference: '' },
  },
  { $case: 'withdrawn', value: { amount: 5n, reference: 'bank', balance: 100n, currency } },
  { $case: 'transferDelivered', value: { transferId: 't1', toWalletId: 'w2' } },
  { $case: 'debitBarred', value: { paymentId: 'p3', until: at(999) } },
  { $case: 'frozen', value: { reason: 'police' } },
];

describe('wallet views', () => {
  test("the balances show the wallet's present state", () => {
    const view = viewsOf(walletBalances, [{ stream: 'payments.wallet/w1', from, events: walletEvents }]).get('w1');
    const state = walletEvents.reduce(
      (before, event, n) => walletDecider.evolve(before, event, at(n)),
      walletDecider.initial,
    );
    expect(view).toEqual({ ...walletMessage(state, 0), etag: '' });
    expect(view).toMatchObject({ frozen: true, balance: { minorUnits: 100n, currency } });
  });

  test('the transactions show every movement, and no other event', () => {
    const views = [
      ...viewsOf(walletTransactions, [{ stream: 'payments.wallet/w1', from, events: walletEvents }]).values(),
    ];
    expect(
      views.map(({ kind, amount, reference, balance, note }) => [
        kind,
        amount!.minorUnits,
        reference,
        balance!.minorUnits,
        note,
      ]),
    ).toEqual([
      ['deposit', 100n, 'cash', 100n, ''],
      ['payment', -30n, 'p1', 70n, ''],
      ['refund', 30n, 'p1', 100n, ''],
      ['transfer_out', -10n, 't1', 90n, 'rent'],
      ['transfer_back', 10n, 't1', 100n, ''],
      ['transfer_in', 5n, 't2', 105n, ''],
      ['withdrawal', -5n, 'bank', 100n, ''],
    ]);
    expect(views[0]).toMatchObject({
      transactionId: 'payments.wallet/w1#2',
      walletId: 'w1',
      createTime: at(1),
      sequence: 2n,
    });
  });
});

describe('payment status', () => {
  const amount = { minorUnits: 500n, currency };
  const requested: PaymentEvent = {
    $case: 'requested',
    value: { paymentId: 'p1', orderId, customerId: 'c1', amount, method: { $case: 'cardToken', value: 'tok' } },
  };
  const sent: PaymentEvent = { $case: 'sentToGateway', value: { orderId, attempt: 1 } };
  const approved: PaymentEvent = {
    $case: 'gatewayResponded',
    value: { orderId, approved: true, gatewayReference: 'g1', reason: '' },
  };
  const succeeded: PaymentEvent = { $case: 'succeeded', value: { orderId, gatewayReference: 'g1' } };
  const failed: PaymentEvent = { $case: 'failed', value: { orderId, reason: 'CARD_DECLINED' } };
  const undoRequested: PaymentEvent = { $case: 'undoRequested', value: { orderId, reason: 'cancelled' } };
  const delayed: PaymentEvent = {
    $case: 'delayed',
    value: { orderId, step: 'charge', attempt: 1, error: 'CIRCUIT_OPEN', dueTime: at(9), delays: 1 },
  };
  const attentionNeeded: PaymentEvent = {
    $case: 'attentionNeeded',
    value: { orderId, step: 'voidCharge', attempt: 12, error: 'NOT_POSSIBLE' },
  };
  const retryRequested: PaymentEvent = { $case: 'retryRequested', value: { orderId, note: '' } };
  const settled: PaymentEvent = { $case: 'settled', value: { orderId, note: 'by bank' } };
  const voided: PaymentEvent = { $case: 'voided', value: { orderId, reason: 'cancelled' } };
  const refunded: PaymentEvent = {
    $case: 'refunded',
    value: { orderId, customerId: 'c1', amount, inParts: false },
  };
  const part = (refundId: string, minorUnits: bigint, all: bigint): PaymentEvent[] => [
    {
      $case: 'refundRequested',
      value: { orderId, refundId, amount: { minorUnits, currency }, reason: 'broken' },
    },
    {
      $case: 'refundCompleted',
      value: {
        ...{ orderId, refundId, customerId: 'c1', reason: 'broken' },
        amount: { minorUnits, currency },
        refunded: { minorUnits: all, currency },
      },
    },
  ];
  const inParts: PaymentEvent = { ...refunded, value: { ...refunded.value, inParts: true } } as PaymentEvent;

  test.each<[string, PaymentEvent[]]>([
    ['REQUESTED', [requested]],
    ['SENT_TO_GATEWAY', [requested, sent, delayed]],
    ['SUCCEEDED', [requested, sent, approved, succeeded]],
    ['FAILED', [requested, sent, failed]],
    ['VOIDING', [requested, undoRequested, sent, approved]],
    ['VOIDED', [requested, sent, delayed, undoRequested, voided]],
    ['REFUNDING', [requested, sent, approved, succeeded, undoRequested]],
    ['REFUNDED', [requested, sent, approved, succeeded, undoRequested, refunded]],
    ['VOIDING', [requested, sent, undoRequested, attentionNeeded]],
    ['VOIDING', [requested, sent, undoRequested, attentionNeeded, retryRequested]],
    ['REFUNDED', [requested, sent, approved, succeeded, undoRequested, attentionNeeded, settled, refunded]],
    ['SUCCEEDED', [requested, succeeded, ...part('r1', 200n, 200n).slice(0, 1)]],
    ['SUCCEEDED', [requested, succeeded, ...part('r1', 200n, 200n)]],
    ['REFUNDING', [requested, succeeded, ...part('r1', 200n, 200n), undoRequested, ...part('r2', 300n, 500n)]],
    ['REFUNDED', [requested, succeeded, ...part('r1', 200n, 200n), ...part('r2', 300n, 500n), inParts]],
    ['VOIDED', [{ $case: 'barred', value: { orderId: '' } }]],
  ])('%s', (status, events) => {
    const view = viewsOf(paymentStatus, [{ stream: 'payments.payment/p1', from, events }]).get('p1')!;
    const state = events.reduce(
      (before, event, n) => paymentDecider.evolve(before, event, at(n)),
      paymentDecider.initial,
    );
    expect(view).toEqual({ ...paymentMessage('p1', state, 0), etag: '' });
    expect(view.status).toBe(PaymentStatus[`PAYMENT_STATUS_${status}` as keyof typeof PaymentStatus]);
  });
});

describe('queries', () => {
  const wallets = fixedViews({ w1: Wallet.fromPartial({ walletId: 'w1', customerId: 'c1' }) }, 'next');
  const transactions = fixedViews({ e1: Transaction.fromPartial({ walletId: 'w1', kind: 'deposit' }) });
  let now = from;
  const aggregates = openAggregates({ log: memoryLog({ domain: 'payments' }), clock: () => now, ids: newId });
  const api = walletQueryService({ wallets, transactions, aggregates })
    .handlers as unknown as Handlers<WalletQueryServiceService>;
  const none = { pageSize: 0, pageToken: '', readMask: undefined, orderBy: '' };

  test('a wallet is readable for its owner', async () => {
    const request = { walletId: 'w1', atTime: undefined, readMask: undefined };
    expect(await api.getWallet(request, testCall({ subject: 'c1' }))).toMatchObject({ walletId: 'w1' });
    expect((await refusalOf(api.getWallet(request, testCall({ subject: 'c2' })))).reason).toBe('NOT_OWNER');
    expect((await refusalOf(api.getWallet({ ...request, walletId: 'w2' }, testCall()))).reason).toBe(
      'WALLET_NOT_FOUND',
    );
  });

  test('a wallet is read as of a time, from the log', async () => {
    const commands = walletService({ aggregates, ids: newId, customers: customersBut(), shareLog: () => true })
      .handlers as never as {
      [name: string]: (request: object, call: object) => Promise<unknown>;
    };
    await commands.createWallet!({ walletId: 'w1', customerId: 'c1', currency }, testCall());
    for (const n of [1, 2]) {
      now = at(n * 60);
      await commands.deposit!({ walletId: 'w1', amount: { minorUnits: 10n, currency }, reference: '' }, testCall());
    }
    const then = (seconds: number, subject = 'c1') =>
      api.getWallet({ walletId: 'w1', atTime: at(seconds), readMask: undefined }, testCall({ subject }));
    expect(await then(0)).toMatchObject({ balance: { minorUnits: 0n } });
    expect(await then(119)).toMatchObject({ balance: { minorUnits: 10n }, etag: '2' });
    expect(await then(120)).toMatchObject({ balance: { minorUnits: 20n } });
    expect((await refusalOf(then(-1))).reason).toBe('WALLET_NOT_FOUND');
    expect((await refusalOf(then(0, 'c2'))).reason).toBe('NOT_OWNER');
  });

  test("lists: wallets by id or by balance, the last transactions of the caller's wallet", async () => {
    await api.listWallets({ ...none, customerId: 'c1', currency, minBalance: 5n }, testCall());
    expect(wallets.asked).toEqual([
      {
        where: [
          { key: 'customer_id', equals: 'c1' },
          { key: 'currency', equals: 'GBP' },
          { key: 'balance', atLeast: 5n },
        ],
        // By id, which does not move.
        order: 'wallet_id',
        orderBy: [],
        limit: 20,
        pageToken: '',
      },
    ]);
    await api.listWallets({ ...none, customerId: 'c1', orderBy: 'balance desc' }, testCall());
    expect(wallets.asked.at(-1)).toMatchObject({
      orderBy: [
        { key: 'currency', descending: true },
        { key: 'balance', descending: true },
      ],
    });
    const unknown = api.listWallets({ ...none, customerId: 'c1', orderBy: 'owner' }, testCall());
    expect(await refusalOf(unknown)).toEqual({ code: 'INVALID_ARGUMENT', reason: 'INVALID_FIELD' });
    // A minimum balance without a currency is refused.
    const mixed = api.listWallets({ ...none, customerId: '', minBalance: 5n }, testCall());
    expect(await refusalOf(mixed)).toEqual({ code: 'INVALID_ARGUMENT', reason: 'INVALID_FIELD' });
    // A page size above the bound is reduced to it.
    await api.listWallets({ ...none, customerId: 'c1', pageSize: 5_000 }, testCall());
    expect(wallets.asked.at(-1)).toMatchObject({ where: [{ key: 'customer_id', equals: 'c1' }], limit: 100 });
    const request = { ...none, walletId: 'w1' };
    expect(await api.listTransactions(request, testCall({ subject: 'c1' }))).toMatchObject({
      transactions: [{ kind: 'deposit' }],
    });
    expect((await refusalOf(api.listTransactions(request, testCall({ subject: 'c2' })))).reason).toBe('NOT_OWNER');
    expect(transactions.asked.at(-1)).toMatchObject({ orderBy: [{ key: 'sequence', descending: true }] });
    expect((await refusalOf(api.listTransactions({ ...request, walletId: 'w2' }, testCall()))).code).toBe('NOT_FOUND');
  });

  test('wallets are summed up by currency; a minimum balance needs a currency', async () => {
    const rows = [
      { group: { currency: 'EUR' }, values: { wallets: 2, total: 70n, highest: 50n } },
      { group: { currency: 'GBP' }, values: { wallets: 1, total: 5n, highest: 5n } },
    ];
    const views = fixedViews<Wallet>({}, '', { rows, more: false });
    const summing = walletQueryService({ wallets: views, transactions, aggregates })
      .handlers as unknown as Handlers<WalletQueryServiceService>;
    expect(await summing.summarizeWallets({ customerId: '', currency: 'EUR', minBalance: 20n }, testCall())).toEqual({
      groups: [
        {
          currency: 'EUR',
          walletCount: 2n,
          totalBalance: { minorUnits: 70n, currency: 'EUR' },
          highestBalance: { minorUnits: 50n, currency: 'EUR' },
        },
        {
          currency: 'GBP',
          walletCount: 1n,
          totalBalance: { minorUnits: 5n, currency: 'GBP' },
          highestBalance: { minorUnits: 5n, currency: 'GBP' },
        },
      ],
      more: false,
    });
    expect(views.grouped).toMatchObject([
      {
        groupBy: ['currency'],
        where: [
          { key: 'currency', equals: 'EUR' },
          { key: 'balance', atLeast: 20n },
        ],
      },
    ]);
    const mixed = summing.summarizeWallets({ customerId: '', minBalance: 5n }, testCall());
    expect(await refusalOf(mixed)).toEqual({ code: 'INVALID_ARGUMENT', reason: 'INVALID_FIELD' });
  });

  test('a payment is readable for its payer', async () => {
    const payments = fixedViews({
      p1: Payment.fromPartial({ paymentId: 'p1', customerId: 'c1', createTime: from }),
      p2: Payment.fromPartial({ paymentId: 'p2' }),
    });
    const service = paymentQueryService({ payments }).handlers as unknown as Handlers<PaymentQueryServiceService>;
    const get = (paymentId: string, subject: string) =>
      service.getPaymentStatus({ paymentId, readMask: undefined }, testCall({ subject }));
    expect(await get('p1', 'c1')).toMatchObject({ paymentId: 'p1' });
    expect((await refusalOf(get('p1', 'c2'))).reason).toBe('NOT_OWNER');
    for (const id of ['p2', 'p3']) expect((await refusalOf(get(id, 'c1'))).reason).toBe('PAYMENT_NOT_FOUND');
    const list = (customerId: string, needsAttention: boolean) =>
      service.listPayments({ ...none, customerId, needsAttention }, testCall());
    expect((await list('', true)).payments[0]).toMatchObject({ paymentId: 'p1', etag: '0' });
    await list('c1', false);
    // A payment that was undone before its request has no time, and is not listed.
    expect(payments.asked).toMatchObject([
      {
        where: [{ key: 'needs_attention', equals: true }, { key: 'create_time' }],
        orderBy: [{ key: 'create_time', descending: true }],
      },
      { where: [{ key: 'customer_id', equals: 'c1' }, { key: 'create_time' }] },
    ]);
  });
});
