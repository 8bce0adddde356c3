import { openAggregates } from '@caudal/aggregates/aggregates.ts';
import { wallet } from '@caudal/contract/entities.ts';
import { type PaymentServiceService, PaymentStatus } from '@caudal/contract/gen/caudal/payments/v1/payments.ts';
import type { WalletServiceService } from '@caudal/contract/gen/caudal/payments/v1/wallets.ts';
import { unavailable } from '@caudal/kernel/errors.ts';
import { newId, timeOfId } from '@caudal/kernel/ids.ts';
import type { Handlers } from '@caudal/rpc/types.ts';
import { refusalOf, testCall } from '@caudal/testing/call.ts';
import { memoryLog } from '@caudal/testing/memory-log.ts';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { paymentDecider } from '../domain/payment.ts';
import { walletDecider } from '../domain/wallet.ts';
import { withBreaker } from '../gateway/circuit-breaker.ts';
import { httpGateway } from '../gateway/http-gateway.ts';
import { gatewayUnavailable, type PaymentGateway } from '../gateway/port.ts';
import { type SandboxGateway, startSandboxGateway } from '../gateway/sandbox.ts';
import { paymentMessage } from '../payment-message.ts';
import { customersBut } from '../testing/customers.ts';
import { confirmTransfer as confirmFormerly, receiveTransfer as receiveFormerly } from '../testing/former-transfers.ts';
import { formerWalletDecider } from '../testing/former-wallet.ts';
import { leadPayment } from '../testing/lead-payment.ts';
import { deliverTransfer } from './deliver-transfer.ts';
import { paymentService } from './payment-service.ts';
import { walletService } from './wallet-service.ts';

const currency = 'GBP';
const gbp = (minorUnits: bigint) => ({ minorUnits, currency });
const origin = testCall().origin;

/** The clock of all; steps move it on. */
const time = { now: new Date() };
let log: ReturnType<typeof memoryLog>;
let aggregates: ReturnType<typeof openAggregates>;
let wallets: Handlers<WalletServiceService>;
/** Whether all wallets are in one log. */
let sharesLog: boolean;
let payments: Handlers<PaymentServiceService>;

beforeEach(async () => {
  time.now = new Date('2026-01-01T00:00:00Z');
  log = memoryLog({ domain: 'payments', clock: () => time.now });
  aggregates = openAggregates({ log, clock: () => time.now, ids: newId });
  sharesLog = true;
  wallets = walletService({ aggregates, ids: newId, customers: customersBut(), shareLog: () => sharesLog })
    .handlers as unknown as Handlers<WalletServiceService>;
  payments = paymentService({ aggregates, ids: newId }).handlers as unknown as Handlers<PaymentServiceService>;
  for (const n of [1, 2]) {
    await wallets.createWallet({ requestId: '', walletId: `w${n}`, customerId: `c${n}`, currency }, testCall());
  }
  await wallets.deposit({ requestId: '', walletId: 'w1', amount: gbp(100n), reference: '' }, testCall());
});

const balance = async (walletId: string) => (await aggregates.load(walletDecider, walletId)).state.balance;

describe('WalletService', () => {
  test('a repeat gets the wallet that it has opened while customers is away; a first call does not', async () => {
    let isAway = false;
    const known = customersBut();
    const customers: typeof known = {
      ...known,
      async getCustomer(request, options) {
        if (isAway) throw unavailable('customers');
        return known.getCustomer(request, options);
      },
    };
    const { createWallet } = walletService({ aggregates, ids: newId, customers, shareLog: () => true })
      .handlers as unknown as Handlers<WalletServiceService>;
    const open = (requestId: string) =>
      createWallet({ requestId, walletId: '', customerId: 'c3', currency }, testCall({ requestId }));
    const opened = await open('x');
    isAway = true;
    expect(await open('x')).toEqual(opened);
    expect((await refusalOf(open('y'))).code).toBe('UNAVAILABLE');
  });

  test('opens wallets; a repeat gets the same wallet, even if its id was made here', async () => {
    const input = { requestId: 'x', walletId: '', customerId: 'c3', currency };
    const call = testCall({ requestId: 'x' });
    const opened = await wallets.createWallet(input, call);
    expect(opened).toMatchObject({
      customerId: 'c3',
      balance: gbp(0n),
      frozen: false,
      createTime: time.now,
      etag: '1',
    });
    expect(call.written).toEqual([{ stream: `payments.wallet/${opened.walletId}`, version: 1 }]);
    expect(await wallets.createWallet(input, testCall({ requestId: 'x' }))).toEqual(opened);
    expect((await wallets.createWallet(input, testCall())).walletId).not.toBe(opened.walletId);
  });

  test('only its owner withdraws from a wallet', async () => {
    const request = { requestId: '', walletId: 'w1', amount: gbp(10n), reference: '' };
    expect((await refusalOf(wallets.withdraw(request, testCall({ subject: 'c2' })))).reason).toBe('NOT_OWNER');
    const transfer = { ...request, toWalletId: 'w2' };
    expect((await refusalOf(wallets.transfer(transfer, testCall({ subject: 'c2' })))).reason).toBe('NOT_OWNER');
    expect(await balance('w1')).toBe(100n);
    expect(await wallets.withdraw(request, testCall({ subject: 'c1' }))).toMatchObject({ balance: gbp(90n) });
    expect(await wallets.transfer(transfer, testCall({ subject: 'c1' }))).toMatchObject({ balance: gbp(80n) });
  });

  test('freezes and unfreezes', async () => {
    expect(await wallets.freezeWallet({ requestId: '', walletId: 'w1', reason: '' }, testCall())).toMatchObject({
      frozen: true,
    });
    const request = { requestId: '', walletId: 'w1', amount: gbp(10n), reference: '' };
    expect((await refusalOf(wallets.withdraw(request, testCall()))).reason).toBe('WALLET_FROZEN');
    expect(await wallets.unfreezeWallet({ requestId: '', walletId: 'w1' }, testCall())).toMatchObject({
      frozen: false,
    });
  });
});

const transfer = { requestId: 'x', walletId: 'w1', toWalletId: 'w2', amount: gbp(30n), reference: 'rent' };
const send = () => wallets.transfer(transfer, testCall({ requestId: 'x' }));
async function transferId(): Promise<string> {
  const sent = log.events.map((event) => wallet.decode(event)).find(({ $case }) => $case === 'transferSent');
  return (sent!.value as { transferId: string }).transferId;
}
/** What the saga does with a transfer. */
const deliver = async () =>
  deliverTransfer({ aggregates })({ fromWalletId: 'w1', transferId: await transferId(), origin });

describe.each([
  { way: 'of one log', shares: true },
  { way: 'of different logs', shares: false },
])('transfers between wallets $way', ({ shares }) => {
  beforeEach(() => {
    sharesLog = shares;
  });

  test('have an id of the time of their request, so that what is remembered of them lies together', async () => {
    const requestId = newId();
    const madeAt = timeOfId(requestId)!;
    const call = testCall({ requestId });
    await wallets.transfer({ ...transfer, requestId }, { ...call, commandId: { ...call.commandId!, madeAt } });
    expect(timeOfId(await transferId())).toBe(madeAt);
  });

  test('leave once and arrive once, however often they are requested and delivered', async () => {
    const first = await send();
    expect(await send()).toEqual(first);
    await deliver();
    await deliver();
    expect([await balance('w1'), await balance('w2')]).toEqual([70n, 30n]);
    expect(first).toMatchObject({ walletId: 'w1', balance: gbp(70n) });
  });

  test('answer with a consistency token for the wallet of the sender, also when repeated', async () => {
    const tokens = [];
    for (const _ of [1, 2]) {
      const call = testCall({ requestId: 'x' });
      await wallets.transfer(transfer, call);
      tokens.push(call.written);
    }
    expect(tokens[0]).toEqual([{ stream: wallet.stream('w1'), version: expect.any(Number) }]);
    expect(tokens[1]).toEqual(tokens[0]);
  });

  test('arrive if a process of the other way has begun them', async () => {
    await send();
    sharesLog = !shares;
    await send();
    await deliver();
    expect([await balance('w1'), await balance('w2')]).toEqual([70n, 30n]);
  });

  test('that the sender has not sent are an error', async () => {
    const unknown = deliverTransfer({ aggregates })({ fromWalletId: 'w1', transferId: 't9', origin });
    expect((await refusalOf(unknown)).reason).toBe('TRANSFER_UNKNOWN');
  });

  test("reveal nothing of other wallets to a caller that does not own the sender's", async () => {
    for (const toWalletId of ['w2', 'w9', 'w1']) {
      const probe = wallets.transfer({ ...transfer, toWalletId }, testCall({ subject: 'c2' }));
      expect((await refusalOf(probe)).reason).toBe('NOT_OWNER');
    }
  });

  test('to an unknown wallet, of another currency, or of more than there is are refused at once', async () => {
    const refuse = async (change: Partial<typeof transfer>) =>
      (await refusalOf(wallets.transfer({ ...transfer, ...change }, testCall()))).reason;
    expect(await refuse({ toWalletId: 'w9' })).toBe('WALLET_NOT_FOUND');
    expect(await refuse({ walletId: 'w9' })).toBe('WALLET_NOT_FOUND');
    await wallets.createWallet({ requestId: '', walletId: 'w3', customerId: 'c3', currency: 'EUR' }, testCall());
    expect(await refuse({ toWalletId: 'w3' })).toBe('CURRENCY_MISMATCH');
    expect(await refuse({ toWalletId: 'w1' })).toBe('INVALID_FIELD');
    expect(await refuse({ amount: gbp(101n) })).toBe('INSUFFICIENT_FUNDS');
    await wallets.freezeWallet({ requestId: '', walletId: 'w1', reason: '' }, testCall());
    expect(await refuse({})).toBe('WALLET_FROZEN');
    expect([await balance('w1'), await balance('w2')]).toEqual([100n, 0n]);
  });

  test('of a caller who may use only its own say nothing of the receiver', async () => {
    await wallets.createWallet({ requestId: '', walletId: 'w3', customerId: 'c3', currency: 'EUR' }, testCall());
    await wallets.createWallet({ requestId: '', walletId: 'w4', customerId: 'c3', currency: 'GBP' }, testCall());
    await wallets.freezeWallet({ requestId: '', walletId: 'w4', reason: '' }, testCall());
    const refuse = async (toWalletId: string, amount = gbp(1n)) =>
      (await refusalOf(wallets.transfer({ ...transfer, toWalletId, amount }, testCall({ subject: 'c1' })))).reason;
    expect(await Promise.all(['w3', 'w4', 'w9'].map((to) => refuse(to)))).toEqual(
      Array(3).fill('RECEIVER_UNAVAILABLE'),
    );
    // Before that, what is wrong with the sender's own.
    for (const to of ['w2', 'w3', 'w4', 'w9']) expect(await refuse(to, gbp(101n))).toBe('INSUFFICIENT_FUNDS');
    expect(await balance('w1')).toBe(100n);
  });
});

describe('transfers between wallets of one log', () => {
  test('are one append, which leaves nothing to the saga of today or of 0.2', async () => {
    const { calls } = log;
    await send();
    expect(log.calls).toBe(calls + 1);
    const recorded = log.events.slice(-3);
    expect(recorded.map((event) => wallet.decode(event).$case)).toEqual([
      'transferSent',
      'transferDelivered',
      'transferReceived',
    ]);
    await deliver();
    const fromWalletId = 'w1';
    const id = await transferId();
    const former = openAggregates({ log: log.connect(), clock: () => time.now, ids: newId });
    const { state } = await former.load(formerWalletDecider, fromWalletId);
    const context = { now: time.now, version: 0 };
    expect(confirmFormerly(state, context, { walletId: fromWalletId, transferId: id })).toEqual([]);
    const receiver = await former.load(formerWalletDecider, 'w2');
    const again = { transferId: id, fromWalletId, toWalletId: 'w2', amount: gbp(30n), reference: 'rent' };
    expect(receiveFormerly(receiver.state, context, again)).toEqual([]);
    expect(log.events.slice(-3)).toEqual(recorded);
  });

  test('to a frozen wallet are refused, and no money moves', async () => {
    await wallets.freezeWallet({ requestId: '', walletId: 'w2', reason: '' }, testCall());
    expect((await refusalOf(send())).reason).toBe('WALLET_FROZEN');
    await wallets.unfreezeWallet({ requestId: '', walletId: 'w2' }, testCall());
    expect([await balance('w1'), await balance('w2')]).toEqual([100n, 0n]);
    await send();
    expect([await balance('w1'), await balance('w2')]).toEqual([70n, 30n]);
  });

  test('to and fro at the same time: none waits for another, and no money appears or vanishes', async () => {
    await wallets.deposit({ requestId: '', walletId: 'w2', amount: gbp(100n), reference: '' }, testCall());
    const other = openAggregates({ log: log.connect(), clock: () => time.now, ids: newId });
    const elsewhere = walletService({ aggregates: other, ids: newId, customers: customersBut(), shareLog: () => true })
      .handlers as unknown as Handlers<WalletServiceService>;
    const ends = await Promise.allSettled(
      Array.from({ length: 60 }, (_, n) => {
        const [walletId, toWalletId] = n % 2 === 0 ? ['w1', 'w2'] : ['w2', 'w1'];
        const request = { ...transfer, walletId: walletId!, toWalletId: toWalletId!, amount: gbp(BigInt(n + 1)) };
        return (n % 3 === 0 ? elsewhere : wallets).transfer(request, testCall({ requestId: `r${n}` }));
      }),
    );
    const refusals = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason.reason] : []));
    expect(new Set(refusals)).toEqual(new Set(['INSUFFICIENT_FUNDS']));
    expect((await balance('w1')) + (await balance('w2'))).toBe(200n);
  });
});

describe('transfers between wallets of different logs', () => {
  beforeEach(() => {
    sharesLog = false;
  });

  test('come back from a frozen wallet, and do not arrive when it is unfrozen', async () => {
    await send();
    await wallets.freezeWallet({ requestId: '', walletId: 'w2', reason: '' }, testCall());
    await deliver();
    await wallets.unfreezeWallet({ requestId: '', walletId: 'w2' }, testCall());
    await deliver();
    expect([await balance('w1'), await balance('w2')]).toEqual([100n, 0n]);
  });

  test('are finished after a crash between refusal and return', async () => {
    await send();
    await wallets.freezeWallet({ requestId: '', walletId: 'w2', reason: '' }, testCall());
    const id = await transferId();
    const crashing = deliverTransfer({
      aggregates: {
        ...aggregates,
        execute: (command) =>
          command.id === 'w1' ? Promise.reject(unavailable('PostgreSQL')) : aggregates.execute(command),
      },
    });
    expect((await refusalOf(crashing({ fromWalletId: 'w1', transferId: id, origin }))).code).toBe('UNAVAILABLE');
    await wallets.unfreezeWallet({ requestId: '', walletId: 'w2' }, testCall());
    await deliver();
    expect([await balance('w1'), await balance('w2')]).toEqual([100n, 0n]);
  });

  test('arrive however late, and once', async () => {
    await send();
    time.now = new Date(time.now.getTime() + 400 * 86_400_000);
    await deliver();
    time.now = new Date(time.now.getTime() + 29 * 86_400_000);
    await deliver();
    expect([await balance('w1'), await balance('w2')]).toEqual([70n, 30n]);
  });
});

describe('a payment, from request to end, on the sandbox gateway', () => {
  let sandbox: SandboxGateway;

  beforeEach(async () => {
    sandbox = await startSandboxGateway();
  });
  afterEach(() => sandbox.stop());

  type Method = { $case: 'walletId'; value: string } | { $case: 'cardToken'; value: string };
  const wallet: Method = { $case: 'walletId', value: 'w1' };
  const card = (value: string): Method => ({ $case: 'cardToken', value });
  const create = (method: Method, minorUnits = 50n) =>
    payments.createPayment(
      { requestId: '', paymentId: 'p1', orderId: 'o1', customerId: 'c1', amount: gbp(minorUnits), method },
      testCall(),
    );
  const retry = () =>
    payments.retryPayment({ requestId: '', paymentId: 'p1', refundId: '', note: 'limit raised' }, testCall());
  const settleByHand = () =>
    payments.settlePayment({ requestId: '', paymentId: 'p1', refundId: '', note: 'by bank' }, testCall());
  const undo = () => payments.undoPayment({ requestId: '', paymentId: 'p1', reason: 'cancelled' }, testCall());
  const refund = () => payments.refundPayment({ requestId: '', paymentId: 'p1', reason: 'gift' }, testCall());
  const connect = (timeoutMs = 5_000) => httpGateway({ url: sandbox.url, apiKey: '', timeoutMs });

  async function lead(gateway: PaymentGateway = connect()) {
    return leadPayment({ aggregates, gateway, paymentId: 'p1', time });
  }

  test('by wallet: taken once, refunded once', async () => {
    const paid = { status: PaymentStatus.PAYMENT_STATUS_SUCCEEDED, walletId: 'w1', etag: '2' };
    expect(await create(wallet)).toMatchObject(paid);
    expect(await create(wallet)).toMatchObject(paid);
    expect(await lead()).toMatchObject({ status: 'succeeded' });
    expect(await balance('w1')).toBe(50n);
    expect(await refund()).toMatchObject({ status: PaymentStatus.PAYMENT_STATUS_REFUNDING });
    expect(await lead()).toMatchObject({ status: 'refunded' });
    expect(await undo()).toMatchObject({ status: PaymentStatus.PAYMENT_STATUS_REFUNDED });
    expect(await balance('w1')).toBe(100n);
  });

  test('by a wallet that is unreachable: requested, and made by the saga', async () => {
    const away: typeof aggregates = {
      ...aggregates,
      execute: (command) =>
        (command.decider as unknown) === walletDecider
          ? Promise.reject(unavailable('PostgreSQL'))
          : aggregates.execute(command),
    };
    payments = paymentService({ aggregates: away, ids: newId }).handlers as unknown as Handlers<PaymentServiceService>;
    expect(await create(wallet)).toMatchObject({ status: PaymentStatus.PAYMENT_STATUS_REQUESTED, etag: '1' });
    expect(await balance('w1')).toBe(100n);
    expect(await lead()).toMatchObject({ status: 'succeeded' });
    expect(await balance('w1')).toBe(50n);
  });

  test.each([
    ['too little money', wallet, 101n, 'INSUFFICIENT_FUNDS'],
    ["another customer's wallet", { $case: 'walletId', value: 'w2' } as Method, 1n, 'WALLET_NOT_FOUND'],
    ['no such wallet', { $case: 'walletId', value: 'w9' } as Method, 1n, 'WALLET_NOT_FOUND'],
    ['a card that is declined', card('tok_insufficient'), 50n, 'INSUFFICIENT_FUNDS'],
  ])('%s: it fails with the reason', async (_, method, minorUnits, reason) => {
    await create(method, minorUnits);
    expect(await lead()).toMatchObject({ status: 'failed', reason });
    expect(await undo()).toMatchObject({ status: PaymentStatus.PAYMENT_STATUS_FAILED, reason });
    expect((await refusalOf(refund())).reason).toBe('PAYMENT_NOT_SUCCEEDED');
    expect(await balance('w1')).toBe(100n);
  });

  test('by card: charged once, refunded once', async () => {
    await create(card('tok_approved'));
    expect(await lead()).toEqual({ status: 'succeeded', reason: '', attempts: 1 });
    await undo();
    expect(await lead()).toMatchObject({ status: 'refunded' });
    expect(sandbox.ledger.get('p1')).toMatchObject({ asked: 1, taken: 1, givenBack: 1 });
  });

  test('a gateway that answers late or fails at first is called again, and charges once', async () => {
    await create(card('tok_error_then_ok_3'));
    expect(await lead()).toMatchObject({ status: 'succeeded', attempts: 4 });
    expect(sandbox.ledger.get('p1')).toMatchObject({ asked: 4, taken: 1, givenBack: 0 });
  });

  test('a gateway that never answers a charge: voided in the end, nothing kept', async () => {
    await create(card('tok_timeout'));
    // A short time-out for charges only: on a loaded machine, a void with it would be repeated, which is another test.
    const gateway = { ...connect(), charge: connect(150).charge };
    expect(await lead(gateway)).toEqual({ status: 'voided', reason: 'GATEWAY_UNAVAILABLE', attempts: 8 });
    const entry = sandbox.ledger.get('p1')!;
    expect(entry.asked).toBeLessThanOrEqual(8);
    // Nothing is kept, whether the void arrived after a charge or before all of them.
    expect(entry.taken - entry.givenBack).toBe(0);
    expect(await connect().charge({ key: 'p1', amount: gbp(50n), cardToken: 'tok_approved' })).toMatchObject({
      kind: entry.taken === 1 ? 'approved' : 'declined',
    });
    expect(sandbox.ledger.get('p1')).toMatchObject({ state: 'voided', taken: entry.taken, givenBack: entry.taken });
  });

  test('a charge that is still in flight when it is repeated: no failure, it is taken once', async () => {
    await create(card('tok_conflict_then_ok_2'));
    expect(await lead()).toMatchObject({ status: 'succeeded', attempts: 3 });
    expect(sandbox.ledger.get('p1')).toMatchObject({ asked: 3, taken: 1, givenBack: 0 });
  });

  test('a charge that stays unclear: voided, and what was taken is given back', async () => {
    await create(card('tok_conflict'));
    expect(await lead()).toEqual({ status: 'voided', reason: 'GATEWAY_UNAVAILABLE', attempts: 8 });
    expect(sandbox.ledger.get('p1')).toMatchObject({ taken: 1, givenBack: 1 });
  });

  test.each(['the circuit open', 'the address unreachable'])(
    'an hour with %s costs a payment no attempt',
    async (outage) => {
      await create(card('tok_approved'));
      const away = () => Promise.reject(gatewayUnavailable(new Error('ECONNREFUSED')));
      const broken: PaymentGateway = { charge: away, void: away, refund: away, refundPart: away };
      const breaker = withBreaker(broken, { failures: 1, resetMs: 60_000 });
      const gone = outage === 'the circuit open' ? breaker : broken;
      const end = time.now.getTime() + 3_600_000;
      let asked = 0;
      const gateway: PaymentGateway = {
        ...connect(),
        charge(...of) {
          asked += 1;
          return time.now.getTime() < end ? gone.charge(...of) : connect().charge(...of);
        },
      };
      expect(await lead(gateway)).toEqual({ status: 'succeeded', reason: '', attempts: 1 });
      // Pauses are a minute at most, so an hour has about 60 calls.
      expect(asked).toBeLessThan(75);
      expect(sandbox.ledger.get('p1')).toMatchObject({ asked: 1, taken: 1 });
      await breaker.stop();
    },
  );

  test('a void that the gateway refuses needs attention in the end; tried again, it goes through', async () => {
    await create(card('tok_approved'));
    await undo();
    sandbox.setMode('refuse');
    expect(await lead()).toMatchObject({ status: 'requested' });
    const { state } = await aggregates.load(paymentDecider, 'p1');
    expect(paymentMessage('p1', state, 0)).toMatchObject({
      status: PaymentStatus.PAYMENT_STATUS_VOIDING,
      needsAttention: true,
      attentionReason: 'GATEWAY_ANSWERED_409',
    });
    sandbox.setMode('normal');
    expect(await retry()).toMatchObject({ needsAttention: false, attentionReason: '' });
    expect(await lead()).toMatchObject({ status: 'voided', reason: 'cancelled' });
    expect((await refusalOf(retry())).reason).toBe('PAYMENT_NEEDS_NO_ATTENTION');
  });

  test('a refund that the gateway refuses can be settled by hand', async () => {
    await create(card('tok_approved'));
    await lead();
    await refund();
    sandbox.setMode('refuse');
    expect(await lead()).toMatchObject({ status: 'succeeded' });
    expect(await settleByHand()).toMatchObject({
      status: PaymentStatus.PAYMENT_STATUS_REFUNDED,
      needsAttention: false,
    });
    expect(await lead()).toMatchObject({ status: 'refunded' });
    expect((await refusalOf(settleByHand())).reason).toBe('PAYMENT_NEEDS_NO_ATTENTION');
  });

  test('undone before any step: nothing is taken, not even by a late charge', async () => {
    await create(card('tok_approved'));
    expect(await undo()).toMatchObject({ status: PaymentStatus.PAYMENT_STATUS_VOIDING });
    expect(await lead()).toMatchObject({ status: 'voided' });
    expect(await connect().charge({ key: 'p1', amount: gbp(50n), cardToken: 'tok_approved' })).toMatchObject({
      kind: 'declined',
    });
    expect(sandbox.ledger.get('p1')).toMatchObject({ taken: 0 });
  });

  test('undone before it was requested: the late request is refused', async () => {
    expect(await undo()).toMatchObject({ paymentId: 'p1', status: PaymentStatus.PAYMENT_STATUS_VOIDED });
    expect(await refusalOf(create(wallet))).toEqual({ code: 'FAILED_PRECONDITION', reason: 'PAYMENT_BARRED' });
    expect((await refusalOf(refund())).code).toBe('NOT_FOUND');
  });

  test('nothing to pay: succeeded at once, without a call', async () => {
    expect(await create(card('tok_declined'), 0n)).toMatchObject({ status: PaymentStatus.PAYMENT_STATUS_SUCCEEDED });
    expect(sandbox.requests()).toBe(0);
  });
});
