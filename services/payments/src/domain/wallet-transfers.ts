/**
 * Decisions about transfers. Wallets of one log are decided on together: the money leaves one and arrives in the other at once.
 * Otherwise the sender gives the money, the receiver takes it or refuses it finally, and then the
 * sender records the delivery or takes the money back. In between the money is in the transfer, never in two wallets,
 * and in the sender's state. Both remember its outcome for 30 days; ids are never used again.
 */
import type { Money } from '@caudal/contract/gen/caudal/type/v1/money.ts';
import { CaudalError, type ErrorDetails, invalidField, refused } from '@caudal/kernel/errors.ts';
import { getEntry } from '@caudal/kernel/expiring-map.ts';
import { rememberedUntil, transferClaim, type WalletContext, type WalletOutcome } from './claims.ts';
import {
  amountFor,
  mustExist,
  type SentTransfer,
  type WalletEvent,
  type WalletState,
  whyNotSpendable,
  whyTooFull,
} from './wallet.ts';

export interface Transfer {
  transferId: string;
  fromWalletId: string;
  toWalletId: string;
  amount: Money;
  reference: string;
}

/**
 * Sends the money, once. Refused: as by `amountFor`; INVALID_ARGUMENT, to itself; FAILED_PRECONDITION
 * WALLET_FROZEN, INSUFFICIENT_FUNDS.
 */
export function sendTransfer(state: WalletState, { claim }: WalletContext, transfer: Transfer): WalletEvent[] {
  const { transferId, fromWalletId, toWalletId, reference } = transfer;
  const amount = amountFor(state, fromWalletId, transfer.amount);
  if (fromWalletId === toWalletId) throw invalidField('to_wallet_id', 'must be another wallet');
  if (getEntry(state.sent, transferId) || claim(transferClaim(transferId))) return [];
  const refusal = whyNotSpendable(state, amount);
  if (refusal) throw refusal;
  const { currency, balance } = state;
  return [
    {
      $case: 'transferSent',
      value: { amount, transferId, toWalletId, balance: balance - amount, currency, reference, delivered: false },
    },
  ];
}

/**
 * Moves the money from one wallet to another, once. The events are those that a delivery in steps leaves behind. Refused: as by
 * `sendTransfer`, then as by `assertReceivable`.
 */
export function transferAtOnce(
  from: TransferParty,
  to: TransferParty,
  transfer: Transfer & Discretion,
): [WalletEvent[], WalletEvent[]] {
  const [sent] = sendTransfer(from.state, from, transfer);
  if (sent?.$case !== 'transferSent') return [[], []];
  const { transferId, toWalletId } = transfer;
  const amount = assertReceivable(to.state, transfer);
  const delivered: WalletEvent = { $case: 'transferDelivered', value: { transferId, toWalletId } };
  return [[{ ...sent, value: { ...sent.value, delivered: true } }, delivered], [received(to.state, amount, transfer)]];
}

export interface Discretion {
  /** The sender may know nothing of wallets of other owners: not why the receiver can't take the money, only that it can't. */
  readonly discreet?: boolean;
}

/**
 * The amount, if the receiver can take it now. Refused: as by `amountFor`; FAILED_PRECONDITION WALLET_FROZEN, BALANCE_TOO_HIGH, which
 * name the receiver. A sender who may not know of it gets RECEIVER_UNAVAILABLE for all of these.
 */
export function assertReceivable(state: WalletState, transfer: Transfer & Discretion): bigint {
  const { toWalletId, amount } = transfer;
  try {
    const minorUnits = amountFor(state, toWalletId, amount);
    const refusal = whyNotReceivable(state, minorUnits, { metadata: { wallet: toWalletId } });
    if (refusal) throw refusal;
    return minorUnits;
  } catch (cause) {
    if (!(cause instanceof CaudalError) || !transfer.discreet) throw cause;
    const message = `The wallet "${toWalletId}" can't take this transfer: it is missing, of another currency, frozen, or full.`;
    throw refused('RECEIVER_UNAVAILABLE', message, { cause });
  }
}

/** A wallet as its decision sees it. */
export interface TransferParty extends WalletContext {
  state: WalletState;
}

/**
 * Takes the money, or records a refusal; `transferOutcome` returns which. Thrown are only refusals that can never
 * change (those of `amountFor`).
 */
export function receiveTransfer(state: WalletState, { now, claim }: WalletContext, transfer: Transfer): WalletEvent[] {
  const { transferId, fromWalletId } = transfer;
  const amount = amountFor(state, transfer.toWalletId, transfer.amount);
  if (claim(transferClaim(transferId))) return [];
  const refusal = whyNotReceivable(state, amount);
  if (refusal) {
    const until = rememberedUntil(now);
    return [{ $case: 'transferRefused', value: { amount, transferId, fromWalletId, reason: refusal.reason, until } }];
  }
  return [received(state, amount, transfer)];
}

function whyNotReceivable(state: WalletState, amount: bigint, details?: ErrorDetails): CaudalError | undefined {
  if (state.frozen) return refused('WALLET_FROZEN', "The receiver's wallet is frozen.", details);
  return whyTooFull(state, amount, details);
}

function received(state: WalletState, amount: bigint, { transferId, fromWalletId, reference }: Transfer): WalletEvent {
  const { currency, balance } = state;
  return {
    $case: 'transferReceived',
    value: { amount, transferId, fromWalletId, balance: balance + amount, currency, reference },
  };
}

/** What a transfer's claim at the receiver says: empty if the money was taken, else the reason why not. */
export function transferOutcome(known: WalletOutcome | undefined): string {
  return known?.how === 'received' ? '' : (known?.reason ?? 'TRANSFER_UNKNOWN');
}

/** Records that the receiver has the money, once. Refused: as by `openTransfer`. */
export function confirmTransfer(
  state: WalletState,
  context: WalletContext,
  { walletId, transferId }: { walletId: string; transferId: string },
): WalletEvent[] {
  const sent = openTransfer(state, context, { walletId, transferId });
  return sent ? [{ $case: 'transferDelivered', value: { transferId, toWalletId: sent.toWalletId } }] : [];
}

/** Takes back money that the receiver has refused, once, frozen or not. Refused: as by `openTransfer`. */
export function returnTransfer(
  state: WalletState,
  context: WalletContext,
  { walletId, transferId, reason }: { walletId: string; transferId: string; reason: string },
): WalletEvent[] {
  const sent = openTransfer(state, context, { walletId, transferId });
  if (!sent) return [];
  const { amount } = sent;
  const { currency, balance } = state;
  return [{ $case: 'transferReturned', value: { amount, transferId, balance: balance + amount, currency, reason } }];
}

/**
 * A transfer that this wallet has sent and that has not ended; undefined if it has. Refused: NOT_FOUND;
 * FAILED_PRECONDITION TRANSFER_UNKNOWN, if the wallet has not sent it (or it ended more than 30 days ago).
 */
export function openTransfer(
  state: WalletState,
  { claim }: WalletContext,
  { walletId, transferId }: { walletId: string; transferId: string },
): SentTransfer | undefined {
  mustExist(state, walletId);
  const sent = getEntry(state.sent, transferId);
  if (sent) return sent;
  const known = claim(transferClaim(transferId));
  if (known?.how === 'delivered' || known?.how === 'returned') return undefined;
  throw refused('TRANSFER_UNKNOWN', `The wallet "${walletId}" has not sent a transfer "${transferId}".`);
}
