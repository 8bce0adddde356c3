/**
 * The wallet as version 0.2 kept it: its state remembers outcomes. Tests compare the decisions with those of today, and make
 * logs and snapshots as that version did.
 */
import type { Decider } from '@caudal/aggregates/types.ts';
import { wallet } from '@caudal/contract/entities.ts';
import { bytesOf, type ExpiringMap, emptyExpiringMap, setEntry } from '@caudal/kernel/expiring-map.ts';
import { rememberedUntil } from '../domain/claims.ts';
import type { WalletEvent } from '../domain/wallet.ts';

export interface FormerWallet {
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

interface Remembered<How> {
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

export const formerWalletDecider: Decider<FormerWallet, WalletEvent> = {
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
function snapshotSpacing({ debits, transfers }: FormerWallet): number {
  return Math.max(500, Math.ceil((debits.size + transfers.size) / 10));
}

/** The fields that the event changes. */
function change(state: FormerWallet, event: WalletEvent, at: Date): Partial<FormerWallet> {
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
