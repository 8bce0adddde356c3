import type { CaudalError } from '@caudal/kernel/errors.ts';
import { given } from '@caudal/testing/given.ts';
import { describe, expect, test } from '@jest/globals';
import { rememberedUntil, type WalletContext } from './claims.ts';
import { type WalletEvent, type WalletState, walletDecider } from './wallet.ts';
import { debit, debitOutcome, refundDebit, undoDebit } from './wallet-debits.ts';
import { deposit, freeze, openWallet, unfreeze, withdraw } from './wallet-decisions.ts';
import {
  confirmTransfer,
  receiveTransfer,
  returnTransfer,
  sendTransfer,
  transferAtOnce,
  transferOutcome,
} from './wallet-transfers.ts';

const now = new Date('2026-01-01T00:00:00Z');
const until = rememberedUntil(now);
const later = (days: number) => new Date(now.getTime() + days * 86_400_000);
const currency = 'GBP';
const money = (minorUnits: bigint, of = currency) => ({ minorUnits, currency: of });

const created: WalletEvent = { $case: 'created', value: { walletId: 'w1', customerId: 'c1', currency } };
const deposited = (amount: bigint, balance: bigint): WalletEvent => ({
  $case: 'deposited',
  value: { amount, reference: 'cash', balance, currency },
});
const debited = (amount: bigint, balance: bigint): WalletEvent => ({
  $case: 'debited',
  value: { amount, paymentId: 'p1', balance, currency },
});
const credited = (amount: bigint, balance: bigint): WalletEvent => ({
  $case: 'credited',
  value: { amount, paymentId: 'p1', balance, currency },
});
const debitRefused = (amount: bigint, reason: string): WalletEvent => ({
  $case: 'debitRefused',
  value: { amount, paymentId: 'p1', reason, until },
});
const debitBarred: WalletEvent = { $case: 'debitBarred', value: { paymentId: 'p1', until } };
const frozen: WalletEvent = { $case: 'frozen', value: { reason: 'police' } };
const unfrozen: WalletEvent = { $case: 'unfrozen', value: {} };
const sent = (amount: bigint, balance: bigint): WalletEvent => ({
  $case: 'transferSent',
  value: { amount, transferId: 't1', toWalletId: 'w2', balance, currency, reference: 'rent', delivered: false },
});
const received = (amount: bigint, balance: bigint): WalletEvent => ({
  $case: 'transferReceived',
  value: { amount, transferId: 't1', fromWalletId: 'w1', balance, currency, reference: 'rent' },
});
const transferRefused = (amount: bigint, reason: string): WalletEvent => ({
  $case: 'transferRefused',
  value: { amount, transferId: 't1', fromWalletId: 'w1', reason, until },
});
const transferReturned = (amount: bigint, balance: bigint): WalletEvent => ({
  $case: 'transferReturned',
  value: { amount, transferId: 't1', balance, currency, reason: 'WALLET_FROZEN' },
});
const transferDelivered: WalletEvent = { $case: 'transferDelivered', value: { transferId: 't1', toWalletId: 'w2' } };

type Decide = (state: WalletState, context: WalletContext) => WalletEvent[];
const after = (...events: WalletEvent[]) => given(walletDecider, events, now);
const rich = [created, deposited(100n, 100n)];

describe('a wallet', () => {
  const depositing =
    (amount = money(50n)): Decide =>
    (state) =>
      deposit(state, { walletId: 'w1', amount, reference: 'cash' });
  const withdrawing =
    (amount = money(50n)): Decide =>
    (state) =>
      withdraw(state, { walletId: 'w1', amount, reference: 'bank' });

  test('is opened once', () => {
    const opening: Decide = (state) => openWallet(state, { walletId: 'w1', customerId: 'c1', currency });
    after().when(opening).gives([created]);
    after(created).when(opening).refuses('ALREADY_EXISTS', 'WALLET_EXISTS');
  });

  test('accepts deposits, also when frozen, up to a limit', () => {
    after(created)
      .when(depositing())
      .gives([deposited(50n, 50n)]);
    after(created, frozen)
      .when(depositing())
      .gives([deposited(50n, 50n)]);
    after(created)
      .when(depositing(money(0n)))
      .refuses('INVALID_ARGUMENT', 'INVALID_FIELD');
    after(created)
      .when(depositing(money(-1n)))
      .refuses('INVALID_ARGUMENT', 'INVALID_FIELD');
    after(created)
      .when(depositing(money(1n, 'EUR')))
      .refuses('FAILED_PRECONDITION', 'CURRENCY_MISMATCH');
    after().when(depositing()).refuses('NOT_FOUND', 'WALLET_NOT_FOUND');
    after(created, deposited(10n ** 15n, 10n ** 15n))
      .when(depositing(money(1n)))
      .refuses('FAILED_PRECONDITION', 'BALANCE_TOO_HIGH');
  });

  test('pays out its balance, unless frozen', () => {
    after(...rich)
      .when(withdrawing(money(100n)))
      .gives([{ $case: 'withdrawn', value: { amount: 100n, reference: 'bank', balance: 0n, currency } }]);
    after(...rich)
      .when(withdrawing(money(101n)))
      .refuses('FAILED_PRECONDITION', 'INSUFFICIENT_FUNDS');
    after(...rich, frozen)
      .when(withdrawing())
      .refuses('FAILED_PRECONDITION', 'WALLET_FROZEN');
    after(...rich, frozen, unfrozen)
      .when(withdrawing(money(100n)))
      .gives([{ $case: 'withdrawn', value: { amount: 100n, reference: 'bank', balance: 0n, currency } }]);
    after(...rich)
      .when(withdrawing(money(0n)))
      .refuses('INVALID_ARGUMENT', 'INVALID_FIELD');
    after(...rich)
      .when(withdrawing(money(1n, 'EUR')))
      .refuses('FAILED_PRECONDITION', 'CURRENCY_MISMATCH');
    after().when(withdrawing()).refuses('NOT_FOUND', 'WALLET_NOT_FOUND');
  });

  test('is frozen and unfrozen once', () => {
    const freezing: Decide = (state) => freeze(state, { walletId: 'w1', reason: 'police' });
    const unfreezing: Decide = (state) => unfreeze(state, 'w1');
    after(created).when(freezing).gives([frozen]);
    after(created, frozen).when(freezing).gives([]);
    after(created, frozen).when(unfreezing).gives([unfrozen]);
    after(created).when(unfreezing).gives([]);
    after().when(freezing).refuses('NOT_FOUND', 'WALLET_NOT_FOUND');
    after().when(unfreezing).refuses('NOT_FOUND', 'WALLET_NOT_FOUND');
  });
});

describe('payments from a wallet', () => {
  const debiting =
    (amount = money(30n), customerId = 'c1'): Decide =>
    (state, context) =>
      debit(state, context, { walletId: 'w1', paymentId: 'p1', customerId, amount });
  const undoing: Decide = (state, context) => undoDebit(state, context, { paymentId: 'p1' });
  const refunding: Decide = (state, context) =>
    refundDebit(state, context, { walletId: 'w1', paymentId: 'p1', amount: money(30n) });
  const outcome = (...events: WalletEvent[]) => debitOutcome(after(...events).claim('p1'));

  test('take money once', () => {
    after(...rich)
      .when(debiting())
      .gives([debited(30n, 70n)]);
    after(...rich, debited(30n, 70n))
      .when(debiting())
      .gives([]);
    expect(outcome(...rich, debited(30n, 70n))).toBe('');
  });

  test('that cannot be taken are refused finally, even if there is money later', () => {
    after(created)
      .when(debiting())
      .gives([debitRefused(30n, 'INSUFFICIENT_FUNDS')]);
    after(...rich, frozen)
      .when(debiting())
      .gives([debitRefused(30n, 'WALLET_FROZEN')]);
    const refusedOnce = [created, debitRefused(30n, 'INSUFFICIENT_FUNDS'), deposited(100n, 100n)];
    after(...refusedOnce)
      .when(debiting())
      .gives([]);
    expect(outcome(...refusedOnce)).toBe('INSUFFICIENT_FUNDS');
  });

  test('that are invalid are refused without an event', () => {
    after(...rich)
      .when(debiting(money(30n), 'c2'))
      .refuses('NOT_FOUND', 'WALLET_NOT_FOUND');
    after(...rich)
      .when(debiting(money(30n, 'EUR')))
      .refuses('FAILED_PRECONDITION', 'CURRENCY_MISMATCH');
    after(...rich, debited(30n, 70n))
      .when(debiting(money(31n)))
      .refuses('FAILED_PRECONDITION', 'PAYMENT_MISMATCH');
    after().when(debiting()).refuses('NOT_FOUND', 'WALLET_NOT_FOUND');
  });

  test('are undone before or after the debit, also when frozen', () => {
    after(...rich, debited(30n, 70n))
      .when(undoing)
      .gives([credited(30n, 100n)]);
    after(...rich, debited(30n, 70n), frozen)
      .when(undoing)
      .gives([credited(30n, 100n)]);
    after(...rich, debited(30n, 70n), credited(30n, 100n))
      .when(undoing)
      .gives([]);
    after(...rich)
      .when(undoing)
      .gives([debitBarred]);
    after(...rich, debitBarred)
      .when(undoing)
      .gives([]);
    after(created, debitRefused(30n, 'INSUFFICIENT_FUNDS')).when(undoing).gives([]);
    after().when(undoing).gives([]);
    // A wallet of another owner than the payer has taken nothing, and is not written to.
    const ofOther: Decide = (state, context) => undoDebit(state, context, { paymentId: 'p1', customerId: 'c2' });
    after(...rich)
      .when(ofOther)
      .gives([]);
    for (const undone of [[debitBarred], [debited(30n, 70n), credited(30n, 100n)]]) {
      after(...rich, ...undone)
        .when(debiting())
        .gives([]);
      expect(outcome(...rich, ...undone)).toBe('PAYMENT_BARRED');
    }
  });

  test('are refunded however old they are, once', () => {
    after(...rich, debited(30n, 70n))
      .when(refunding)
      .gives([credited(30n, 100n)]);
    after(...rich, debited(30n, 70n))
      .when(refunding, later(400))
      .gives([credited(30n, 100n)]);
    after(...rich, debited(30n, 70n), credited(30n, 100n))
      .when(refunding)
      .gives([]);
    after(...rich, debitBarred)
      .when(refunding)
      .gives([]);
    after().when(refunding).refuses('NOT_FOUND', 'WALLET_NOT_FOUND');
  });
});

describe('transfers', () => {
  const transfer = (amount = money(30n), toWalletId = 'w2') => ({
    transferId: 't1',
    fromWalletId: 'w1',
    toWalletId,
    amount,
    reference: 'rent',
  });
  const sending =
    (...args: Parameters<typeof transfer>): Decide =>
    (state, context) =>
      sendTransfer(state, context, transfer(...args));
  const receiving =
    (...args: Parameters<typeof transfer>): Decide =>
    (state, context) =>
      receiveTransfer(state, context, transfer(...args));
  const returning: Decide = (state, context) =>
    returnTransfer(state, context, { walletId: 'w1', transferId: 't1', reason: 'WALLET_FROZEN' });

  test('leave the sender once', () => {
    after(...rich)
      .when(sending())
      .gives([sent(30n, 70n)]);
    after(...rich, sent(30n, 70n))
      .when(sending())
      .gives([]);
    after(created).when(sending()).refuses('FAILED_PRECONDITION', 'INSUFFICIENT_FUNDS');
    after(...rich, frozen)
      .when(sending())
      .refuses('FAILED_PRECONDITION', 'WALLET_FROZEN');
    after(...rich)
      .when(sending(money(30n), 'w1'))
      .refuses('INVALID_ARGUMENT', 'INVALID_FIELD');
    after(...rich)
      .when(sending(money(30n, 'EUR')))
      .refuses('FAILED_PRECONDITION', 'CURRENCY_MISMATCH');
    after().when(sending()).refuses('NOT_FOUND', 'WALLET_NOT_FOUND');
  });

  test('arrive once, or are refused finally', () => {
    after(created)
      .when(receiving())
      .gives([received(30n, 30n)]);
    after(created, received(30n, 30n)).when(receiving()).gives([]);
    after(created, frozen)
      .when(receiving())
      .gives([transferRefused(30n, 'WALLET_FROZEN')]);
    after(created, frozen, transferRefused(30n, 'WALLET_FROZEN'), unfrozen).when(receiving()).gives([]);
    after(created, deposited(10n ** 15n, 10n ** 15n))
      .when(receiving())
      .gives([transferRefused(30n, 'BALANCE_TOO_HIGH')]);
    after(created)
      .when(receiving(money(30n, 'EUR')))
      .refuses('FAILED_PRECONDITION', 'CURRENCY_MISMATCH');
    after().when(receiving()).refuses('NOT_FOUND', 'WALLET_NOT_FOUND');
    expect(transferOutcome(after(created, received(30n, 30n)).claim('t1/transfer'))).toBe('');
    expect(transferOutcome(after(created, transferRefused(30n, 'WALLET_FROZEN')).claim('t1/transfer'))).toBe(
      'WALLET_FROZEN',
    );
  });

  test('between wallets that are decided on together arrive at once, or nothing moves', () => {
    const parties = (from: WalletEvent[], to: WalletEvent[]) =>
      [from, to].map((events) => {
        const { state, claim } = after(...events);
        return { state, now, version: events.length, claim, lookUp: claim };
      });
    const [both, poor, closed, full, gone] = [
      parties(rich, [created]),
      parties([created], [created, frozen]),
      parties(rich, [created, frozen]),
      parties(rich, [created, deposited(10n ** 15n, 10n ** 15n)]),
      parties(rich, []),
    ];
    const transfer = {
      ...{ transferId: 't1', fromWalletId: 'w1', toWalletId: 'w2', amount: money(30n), reference: 'rent' },
    };
    const atOnce = ([from, to]: typeof both) => transferAtOnce(from!, to!, transfer);
    const sentAndDelivered = { $case: 'transferSent', value: { ...sent(30n, 70n).value, delivered: true } };
    expect(atOnce(both)).toEqual([[sentAndDelivered, transferDelivered], [received(30n, 30n)]]);
    // What the sender may not do is said first: it says nothing of the receiver.
    expect(() => atOnce(poor)).toThrow(expect.objectContaining({ reason: 'INSUFFICIENT_FUNDS' }));
    const metadata = { wallet: 'w2' };
    expect(() => atOnce(closed)).toThrow(expect.objectContaining({ reason: 'WALLET_FROZEN', metadata }));
    expect(() => atOnce(full)).toThrow(expect.objectContaining({ reason: 'BALANCE_TOO_HIGH', metadata }));
    expect(() => atOnce(gone)).toThrow(expect.objectContaining({ reason: 'WALLET_NOT_FOUND', metadata }));
    // A sender who may not know of the receiver learns only that it can't take the money.
    const discreetly = ([from, to]: typeof both) => transferAtOnce(from!, to!, { ...transfer, discreet: true });
    expect(() => discreetly(poor)).toThrow(expect.objectContaining({ reason: 'INSUFFICIENT_FUNDS' }));
    const inEuro = parties(rich, [{ ...created, value: { ...created.value, currency: 'EUR' } } as WalletEvent]);
    const refusals = [closed, full, gone, inEuro].map((party) => {
      try {
        return discreetly(party);
      } catch (error) {
        const { code, reason, message, metadata, violations } = error as CaudalError;
        return { code, reason, message, metadata, violations };
      }
    });
    expect(refusals[0]).toMatchObject({ code: 'FAILED_PRECONDITION', reason: 'RECEIVER_UNAVAILABLE' });
    for (const refusal of refusals) expect(refusal).toEqual(refusals[0]);
    for (const known of [sent(30n, 70n), transferDelivered])
      expect(atOnce(parties([...rich, known], [created]))).toEqual([[], []]);
  });

  test('come back to the sender once, also when frozen', () => {
    after(...rich, sent(30n, 70n))
      .when(returning)
      .gives([transferReturned(30n, 100n)]);
    after(...rich, sent(30n, 70n), frozen)
      .when(returning)
      .gives([transferReturned(30n, 100n)]);
    after(...rich, sent(30n, 70n), transferReturned(30n, 100n))
      .when(returning)
      .gives([]);
    after(...rich)
      .when(returning)
      .refuses('FAILED_PRECONDITION', 'TRANSFER_UNKNOWN');
    after(...rich, received(30n, 130n))
      .when(returning)
      .refuses('FAILED_PRECONDITION', 'TRANSFER_UNKNOWN');
    after().when(returning).refuses('NOT_FOUND', 'WALLET_NOT_FOUND');
  });

  test('end for the sender when they have arrived', () => {
    const confirming: Decide = (state, context) =>
      confirmTransfer(state, context, { walletId: 'w1', transferId: 't1' });
    const arrived = [...rich, sent(30n, 70n), transferDelivered];
    after(...rich, sent(30n, 70n))
      .when(confirming)
      .gives([transferDelivered]);
    after(...arrived)
      .when(confirming)
      .gives([]);
    after(...arrived)
      .when(returning)
      .gives([]);
    after(...arrived)
      .when(sending())
      .gives([]);
    after(...rich)
      .when(confirming)
      .refuses('FAILED_PRECONDITION', 'TRANSFER_UNKNOWN');
  });

  test('are in the state of the sender until then, and remembered for 30 days more', () => {
    const onItsWay = after(...rich, sent(30n, 70n));
    onItsWay.when(returning, later(400)).gives([transferReturned(30n, 100n)]);
    const arrived = given(walletDecider, [...rich, sent(30n, 70n), transferDelivered], later(400));
    expect([onItsWay.state.sent.size, arrived.state.sent.size]).toEqual([1, 0]);
    arrived.when(returning, later(429)).gives([]);
    arrived.when(returning, later(431)).refuses('FAILED_PRECONDITION', 'TRANSFER_UNKNOWN');
  });
});
