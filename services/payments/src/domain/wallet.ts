/**
 * A wallet: money of one currency that a customer keeps with the merchant. Never below zero. Its state has what is open: sent
 * transfers. Claims (claims.ts) remember the outcomes of payments and transfers for 30 days, so repeated and late commands are
 * recognised. A refusal is an event too, so the same payment or transfer never succeeds later.
 */
import type { Decider, FormerSnapshots } from '@caudal/aggregates/types.ts';
import { type EventOf, wallet } from '@caudal/contract/entities.ts';
import type { Money } from '@caudal/contract/gen/caudal/type/v1/money.ts';
import { type CaudalError, type ErrorDetails, invalidField, notFound, refused } from '@caudal/kernel/errors.ts';
import {
  bytesOf,
  deleteEntry,
  type ExpiringMap,
  emptyExpiringMap,
  entriesOf,
  setEntry,
} from '@caudal/kernel/expiring-map.ts';
import { rememberedUntil, transferClaim, type WalletOutcome, walletClaims } from './claims.ts';

export type WalletEvent = EventOf<typeof wallet>;

export interface WalletState {
  /** Empty until the wallet is opened. */
  walletId: string;
  customerId: string;
  currency: string;
  /** Minor units of the currency. */
  balance: bigint;
  frozen: boolean;
  /** Transfers that this wallet has sent and that have not ended, by id. */
  sent: ExpiringMap<SentTransfer>;
  createTime: Date | undefined;
  updateTime: Date | undefined;
}

export interface SentTransfer {
  amount: bigint;
  toWalletId: string;
  reference: string;
}

/** Snapshots of version 0.2, whose state remembers outcomes for 30 days. */
const formerSnapshots: FormerSnapshots<WalletState, WalletOutcome> = {
  schemaVersion: 3,
  read(former) {
    const { debits, transfers, ...wallet } = former as Omit<WalletState, 'sent'> & {
      debits: ExpiringMap<WalletOutcome>;
      transfers: ExpiringMap<SentTransfer & { how: WalletOutcome['how'] | 'sent'; reason: string }>;
    };
    const at = wallet.updateTime ?? new Date(0);
    let claims = debits;
    let sent: WalletState['sent'] = emptyExpiringMap();
    for (const [id, { how, amount, reason, toWalletId, reference }, until] of entriesOf(transfers)) {
      if (how === 'sent') sent = setEntry(sent, id, { amount, toWalletId, reference }, until, at);
      else claims = setEntry(claims, transferClaim(id), { how, amount, reason }, until, at);
    }
    return { state: { ...wallet, sent }, claims, until: rememberedUntil(at) };
  },
};

export const walletDecider: Decider<WalletState, WalletEvent, WalletOutcome> = {
  entity: wallet,
  initial: {
    walletId: '',
    customerId: '',
    currency: '',
    balance: 0n,
    frozen: false,
    sent: emptyExpiringMap(),
    createTime: undefined,
    updateTime: undefined,
  },
  owner: (state) => state.customerId || undefined,
  evolve: (state, event, at) => ({ ...state, ...change(state, event, at), updateTime: at }),
  claims: walletClaims,
  snapshot: { every: 500, schemaVersion: 4, former: formerSnapshots },
  bytes: ({ sent }) => bytesOf(sent, 150),
};

/** The fields that the event changes. */
function change(state: WalletState, event: WalletEvent, at: Date): Partial<WalletState> {
  switch (event.$case) {
    case 'created':
      return { ...event.value, createTime: at };
    case 'deposited':
    case 'withdrawn':
    case 'debited':
    case 'credited':
    case 'transferReceived':
      return { balance: event.value.balance };
    case 'transferSent': {
      const { transferId, amount, toWalletId, reference, balance } = event.value;
      const transfer = { amount, toWalletId, reference };
      return { balance, sent: setEntry(state.sent, transferId, transfer, Number.POSITIVE_INFINITY, at) };
    }
    case 'transferDelivered':
      return { sent: deleteEntry(state.sent, event.value.transferId) };
    case 'transferReturned':
      return { balance: event.value.balance, sent: deleteEntry(state.sent, event.value.transferId) };
    case 'debitRefused':
    case 'debitBarred':
    case 'transferRefused':
      return {};
    case 'frozen':
      return { frozen: true };
    case 'unfrozen':
      return { frozen: false };
  }
}

/** What is asked of a wallet before money moves. */
export type WalletAccount = Pick<WalletState, 'walletId' | 'currency' | 'balance' | 'frozen'>;

/** The largest balance: the largest amount of money in the contract. */
const fullest = 1_000_000_000_000_000n;

/** The refusal of an amount that would exceed the largest balance; undefined if it is accepted. */
export function whyTooFull(state: WalletAccount, amount: bigint, details?: ErrorDetails): CaudalError | undefined {
  if (state.balance + amount <= fullest) return undefined;
  return refused('BALANCE_TOO_HIGH', `A wallet holds at most ${fullest} minor units.`, details);
}

/** The refusal of an amount that can't leave the wallet; undefined if it can. */
export function whyNotSpendable(state: WalletAccount, amount: bigint): CaudalError | undefined {
  if (state.frozen) return refused('WALLET_FROZEN', 'The wallet is frozen.');
  if (amount > state.balance) return refused('INSUFFICIENT_FUNDS', 'There is not enough money in the wallet.');
  return undefined;
}

/**
 * The amount in minor units. Refused: NOT_FOUND, if the wallet does not exist; INVALID_ARGUMENT, if it is not above
 * zero; FAILED_PRECONDITION CURRENCY_MISMATCH.
 */
export function amountFor(state: WalletAccount, walletId: string, { minorUnits, currency }: Money): bigint {
  mustExist(state, walletId);
  if (minorUnits <= 0n) throw invalidField('amount.minor_units', 'must be above zero');
  if (currency !== state.currency) {
    throw refused('CURRENCY_MISMATCH', `The wallet is in ${state.currency}, not in ${currency}.`);
  }
  return minorUnits;
}

/** Throws NOT_FOUND unless the wallet exists. */
export function mustExist(state: WalletAccount, walletId: string): void {
  if (state.walletId === '') throw notFound('wallet', walletId);
}
