/** Refunds of parts of a payment, to a wallet and by card, on the sandbox gateway. */
import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import { type PaymentServiceService, PaymentStatus } from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
import type { WalletServiceService } from '@caudal/contract/gen/caudal/payments/v1/wallets.ts';
import { newId } from '@caudal/kernel/ids.ts';
import type { Handlers } from '@caudal/rpc/types.ts';
import { refusalOf, testCall } from '@caudal/testing/call.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { paymentDecider } from '../domain/payment.ts';
import { walletDecider } from '../domain/wallet.ts';
import { httpGateway } from '../gateway/http-gateway.ts';
import { outcomeUnknown, type PaymentGateway } from '../gateway/port.ts';
import { type SandboxGateway, startSandboxGateway } from '../gateway/sandbox.ts';
import { paymentMessage } from '../payment-message.ts';
import { customersBut } from '../testing/customers.ts';
import { leadPayment } from '../testing/lead-payment.ts';
import { paymentService } from './payment-service.ts';
import { walletService } from './wallet-service.ts';

const gbp = (minorUnits: bigint) => ({ minorUnits, currency: 'GBP' });

const time = { now: new Date() };
let aggregates: ReturnType<typeof openAggregates>;
let payments: Handlers<PaymentServiceService>;
let sandbox: SandboxGateway;

beforeEach(async () => {
  time.now = new Date('2026-01-01T00:00:00Z');
  const clock = () => time.now;
  aggregates = openAggregates({ log: memoryLog({ domain: 'payments', clock }), clock, ids: newId });
  payments = paymentService({ aggregates, ids: newId }).handlers as unknown as Handlers<PaymentServiceService>;
  const wallets = walletService({ aggregates, ids: newId, customers: customersBut(), shareLog: () => true })
    .handlers as unknown as Handlers<WalletServiceService>;
  await wallets.createWallet({ requestId: '', walletId: 'w1', customerId: 'c1', currency: 'GBP' }, testCall());
  await wallets.deposit({ requestId: '', walletId: 'w1', amount: gbp(100n), reference: '' }, testCall());
  sandbox = await startSandboxGateway();
});
afterEach(() => sandbox.stop());

const balance = async (walletId: string) => (await aggregates.load(walletDecider, walletId)).state.balance;
const connect = () => httpGateway({ url: sandbox.url, apiKey: '', timeoutMs: 5_000 });
const lead = (gateway: PaymentGateway = connect()) => leadPayment({ aggregates, gateway, paymentId: 'p1', time });

type Method = { $case: 'walletId'; value: string } | { $case: 'cardToken'; value: string };
const wallet: Method = { $case: 'walletId', value: 'w1' };
const card = (value: string): Method => ({ $case: 'cardToken', value });
const create = (method: Method) =>
  payments.createPayment(
    { requestId: '', paymentId: 'p1', orderId: 'o1', customerId: 'c1', amount: gbp(50n), method },
    testCall(),
  );
const settleByHand = (refundId = '') =>
  payments.settlePayment({ requestId: '', paymentId: 'p1', refundId, note: 'by bank' }, testCall());
const undo = () => payments.undoPayment({ requestId: '', paymentId: 'p1', reason: 'cancelled' }, testCall());
const refund = (minorUnits: bigint, requestId = newId()) =>
  payments.refundPayment(
    { requestId, paymentId: 'p1', reason: 'gift', amount: gbp(minorUnits) },
    testCall({ requestId }),
  );
const refundAs = (refundId: string, minorUnits: bigint) =>
  payments.createRefund(
    { requestId: '', paymentId: 'p1', refundId, amount: gbp(minorUnits), reason: 'return' },
    testCall(),
  );

describe('a payment that is refunded in parts', () => {
  test.each(['wallet', 'card'])('by %s: refunded in parts, each once, to the cent', async (kind) => {
    await create(kind === 'wallet' ? wallet : card('tok_approved'));
    await lead();
    const back = async () => {
      const { parts = {}, givenBack = 0 } = sandbox.ledger.get('p1') ?? {};
      if (kind === 'wallet') return (await balance('w1')) - 50n;
      expect(givenBack).toBe(0);
      return Object.values(parts).reduce((sum, part) => sum + BigInt(part), 0n);
    };
    for (const _ of [1, 2]) {
      const answer = await refund(10n, 'first');
      expect(answer).toMatchObject({ status: PaymentStatus.PAYMENT_STATUS_SUCCEEDED, refunds: [{ amount: gbp(10n) }] });
      expect(await lead()).toMatchObject({ status: 'succeeded' });
      expect(await back()).toBe(10n);
    }
    await refund(10n, 'second');
    for (const _ of [1, 2]) await refundAs('return.x', 20n);
    await lead();
    expect(await back()).toBe(40n);
    expect(await refusalOf(refund(11n))).toEqual({ code: 'FAILED_PRECONDITION', reason: 'REFUND_TOO_LARGE' });
    expect(await undo()).toMatchObject({
      status: PaymentStatus.PAYMENT_STATUS_REFUNDING,
      refunded: gbp(40n),
    });
    expect(await lead()).toMatchObject({ status: 'refunded' });
    expect(await back()).toBe(50n);
    expect((await refusalOf(refund(1n))).reason).toBe('NOTHING_TO_REFUND');
    expect((await refusalOf(refundAs('return.y', 1n))).reason).toBe('NOTHING_TO_REFUND');
    expect(await undo()).toMatchObject({ status: PaymentStatus.PAYMENT_STATUS_REFUNDED, refunded: gbp(50n) });
  });

  test('a refund of a part whose answer is lost is repeated under its key; what is behind it waits', async () => {
    await create(card('tok_approved'));
    await lead();
    await refund(10n);
    await refund(20n);
    let calls = 0;
    const gateway = connect();
    const deaf: PaymentGateway = {
      ...gateway,
      async refundPart(part, signal) {
        const result = await gateway.refundPart(part, signal);
        calls += 1;
        if (calls <= 3) throw outcomeUnknown(new Error('lost'));
        return result;
      },
    };
    expect(await lead(deaf)).toMatchObject({ status: 'succeeded' });
    expect(calls).toBe(5);
    expect(Object.values(sandbox.ledger.get('p1')!.parts)).toEqual(['10', '20']);
  });

  test('a refund of a part that the gateway refuses needs attention, and can be settled by hand', async () => {
    await create(card('tok_approved'));
    await lead();
    await refund(10n);
    sandbox.setMode('refuse');
    await lead();
    sandbox.setMode('normal');
    // The operator pays it by hand. Another refund must not make it be tried again.
    const { refunds } = await refund(15n, 'later');
    await lead();
    expect(sandbox.ledger.get('p1')!.parts).toEqual({});
    expect((await refusalOf(settleByHand())).reason).toBe('PAYMENT_NEEDS_NO_ATTENTION');
    expect(await settleByHand(refunds[0]!.refundId)).toMatchObject({ needsAttention: false, refunded: gbp(10n) });
    await lead();
    expect(Object.values(sandbox.ledger.get('p1')!.parts)).toEqual(['15']);
  });

  test('a refund to a wallet that may have forgotten it needs attention', async () => {
    await create(wallet);
    await refund(10n);
    time.now = new Date(time.now.getTime() + 30 * 86_400_000);
    await lead();
    const { state } = await aggregates.load(paymentDecider, 'p1');
    expect(paymentMessage('p1', state, 0)).toMatchObject({ needsAttention: true, attentionReason: 'REFUND_TOO_OLD' });
    expect(await balance('w1')).toBe(50n);
    // The operator has not found it in the wallet.
    const { refundId } = state.refunds[0]!;
    await payments.retryPayment({ requestId: '', paymentId: 'p1', refundId, note: 'looked' }, testCall());
    for (const _ of [1, 2]) {
      await lead();
      expect(await balance('w1')).toBe(60n);
    }
  });

  test('a refund to a wallet that has waited behind another one was never tried, and is not too old', async () => {
    await create(wallet);
    await refund(10n);
    await refund(15n);
    time.now = new Date(time.now.getTime() + 31 * 86_400_000);
    await lead();
    const { state } = await aggregates.load(paymentDecider, 'p1');
    expect(state.attention).toBe('REFUND_TOO_OLD');
    await settleByHand(state.refunds[0]!.refundId);
    await lead();
    expect((await aggregates.load(paymentDecider, 'p1')).state).toMatchObject({
      attention: undefined,
      refunds: [{ completed: true }, { completed: true }],
    });
    expect(await balance('w1')).toBe(65n);
  });
});
