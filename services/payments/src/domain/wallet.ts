/**
 * A wallet: money of one currency that a customer keeps with the merchant. Never below zero. It remembers its payments
 * and transfers for 30 days, so repeated and late commands are recognised, and a sent transfer until it has ended. A
 * refusal is an event too, so the same payment or transfer never succeeds later.
 */
import type { Decider } from '@caudal/aggregates/types.ts';
import { type EventOf, wallet } from '@caudal/contract/entities.ts';
import type { Money } from '@caudal/contract/gen/caudal/type/v1/money.ts';
import { type CaudalError, invalidField, notFound, refused } from '@caudal/kernel/errors.ts';
import { bytesOf, type ExpiringMap, emptyExpiringMap, setEntry } from '@caudal/kernel/expiring-map.ts';

export type WalletEvent = EventOf<typeof wallet>;

export interface WalletState {
  /** Empty until the wallet is opened. */
  walletId: string;
  customerId: string;
  currency: string;
  /** Minor units of the currency. */
  balance: bigint;
  frozen: boolean;
  /** Outcomes of debits, by payment. */
  debits: ExpiringMap<Remembered<'taken' | 'returned' | 'refused' | 'barred'>>;
  /** Outcomes of transfers, by transfer. */
  transfers: ExpiringMap<RememberedTransfer>;
  createTime: Date | undefined;
  updateTime: Date | undefined;
}

export interface Remembered<How> {
  how: How;
  amount: bigint;
  /** Why it was refused; empty otherwise. */
  reason: string;
}

export interface RememberedTransfer extends Remembered<'sent' | 'delivered' | 'received' | 'returned' | 'refused'> {
  /** Receiver and text of a sent transfer; empty in other cases. */
  toWalletId: string;
  reference: string;
}

const rememberedMs = 30 * 86_400_000;

/** Until when an outcome of this time is remembered. */
export function rememberedUntil(now: Date): Date {
  return new Date(now.getTime() + rememberedMs);
}

export const walletDecider: Decider<WalletState, WalletEvent> = {
  entity: wallet,
  initial: {
    walletId: '',
    customerId: '',
    currency: '',
    balance: 0n,
    frozen: false,
    debits: emptyExpiringMap(),
    transfers: emptyExpiringMap(),
    createTime: undefined,
    updateTime: undefined,
  },
  owner: (state) => state.customerId || undefined,
  evolve: (state, event, at) => ({ ...state, ...change(state, event, at), updateTime: at }),
  snapshot: { every: snapshotSpacing, schemaVersion: 3 },
  bytes: ({ debits, transfers }) => bytesOf(debits, 80) + bytesOf(transfers, 150),
};

/**
 * Events between two snapshots. A snapshot is as large as what is remembered, which is a lot for a busy wallet. With
 * this spacing, an event's share of a snapshot is writing ten entries, and reading the events is still fast beside the
 * snapshot.
 */
export function snapshotSpacing({ debits, transfers }: WalletState): number {
  return Math.max(500, Math.ceil((debits.size + transfers.size) / 10));
}

/** The fields that the event changes. */
function change(state: WalletState, event: WalletEvent, at: Date): Partial<WalletState> {
  switch (event.$case) {
    case 'created':
      return { ...event.value, createTime: at };
    case 'deposited':
    case 'withdrawn':
      return { balance: event.value.balance };
    case 'debited':
      return { balance: event.value.balance, debits: debit(event.value, 'taken') };
    case 'credited':
      return { balance: event.value.balance, debits: debit(event.value, 'returned') };
    case 'debitRefused':
      return { debits: debit(event.value, 'refused', event.value.reason) };
    case 'debitBarred':
      return { debits: debit({ ...event.value, amount: 0n }, 'barred') };
    case 'transferSent':
      return { balance: event.value.balance, transfers: transfer(event.value, 'sent') };
    case 'transferReceived':
      return { balance: event.value.balance, transfers: transfer(event.value, 'received') };
    case 'transferDelivered':
      return { transfers: transfer({ amount: 0n, ...event.value }, 'delivered') };
    case 'transferReturned':
      return { balance: event.value.balance, transfers: transfer(event.value, 'returned') };
    case 'transferRefused':
      return { transfers: transfer(event.value, 'refused', event.value.reason) };
    case 'frozen':
      return { frozen: true };
    case 'unfrozen':
      return { frozen: false };
  }

  function debit(
    { paymentId, amount }: { paymentId: string; amount: bigint },
    how: 'taken' | 'returned' | 'refused' | 'barred',
    reason = '',
  ) {
    return setEntry(state.debits, paymentId, { how, amount, reason }, rememberedUntil(at), at);
  }
  function transfer(
    { transferId, amount, ...sent }: { transferId: string; amount: bigint; toWalletId?: string; reference?: string },
    how: RememberedTransfer['how'],
    reason = '',
  ) {
    const { toWalletId = '', reference = '' } = sent;
    const remembered = { how, amount, reason, toWalletId, reference };
    const until = how === 'sent' ? Number.POSITIVE_INFINITY : rememberedUntil(at);
    return setEntry(state.transfers, transferId, remembered, until, at);
  }
}

/** The largest balance: the largest amount of money in the contract. */
const fullest = 1_000_000_000_000_000n;

/** The refusal of an amount that would exceed the largest balance; undefined if it is accepted. */
export function whyTooFull(state: WalletState, amount: bigint): CaudalError | undefined {
  if (state.balance + amount <= fullest) return undefined;
  return refused('BALANCE_TOO_HIGH', `A wallet holds at most ${fullest} minor units.`);
}

/** The refusal of an amount that can't leave the wallet; undefined if it can. */
export function whyNotSpendable(state: WalletState, amount: bigint): CaudalError | undefined {
  if (state.frozen) return refused('WALLET_FROZEN', 'The wallet is frozen.');
  if (amount > state.balance) return refused('INSUFFICIENT_FUNDS', 'There is not enough money in the wallet.');
  return undefined;
}

/**
 * The amount in minor units. Refused: NOT_FOUND, if the wallet does not exist; INVALID_ARGUMENT, if it is not above
 * zero; FAILED_PRECONDITION CURRENCY_MISMATCH.
 */
export function amountFor(state: WalletState, walletId: string, { minorUnits, currency }: Money): bigint {
  mustExist(state, walletId);
  if (minorUnits <= 0n) throw invalidField('amount.minor_units', 'must be above zero');
  if (currency !== state.currency) {
    throw refused('CURRENCY_MISMATCH', `The wallet is in ${state.currency}, not in ${currency}.`);
  }
  return minorUnits;
}

/** Throws NOT_FOUND unless the wallet exists. */
export function mustExist(state: WalletState, walletId: string): void {
  if (state.walletId === '') throw notFound('wallet', walletId);
}
