/** The decisions of version 0.2 about transfers: see former-wallet.ts. */
import type { DecisionContext } from '@caudal/aggregates/types.ts';
import { invalidField, refused } from '@caudal/kernel/errors.ts';
import { getEntry } from '@caudal/kernel/expiring-map.ts';
import { rememberedUntil } from '../domain/claims.ts';
import { amountFor, mustExist, type WalletEvent, whyNotSpendable, whyTooFull } from '../domain/wallet.ts';
import type { Transfer } from '../domain/wallet-transfers.ts';
import type { FormerWallet, RememberedTransfer } from './former-wallet.ts';

/**
 * Sends the money, once. Refused: as by `amountFor`; INVALID_ARGUMENT, to itself; FAILED_PRECONDITION
 * WALLET_FROZEN, INSUFFICIENT_FUNDS.
 */
export function sendTransfer(state: FormerWallet, _context: DecisionContext, transfer: Transfer): WalletEvent[] {
  const { transferId, fromWalletId, toWalletId, reference } = transfer;
  const amount = amountFor(state, fromWalletId, transfer.amount);
  if (fromWalletId === toWalletId) throw invalidField('to_wallet_id', 'must be another wallet');
  if (getEntry(state.transfers, transferId)) return [];
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
 * Takes the money, or records a refusal; `transferOutcome` returns which. Thrown are only refusals that can never
 * change (those of `amountFor`).
 */
export function receiveTransfer(state: FormerWallet, { now }: DecisionContext, transfer: Transfer): WalletEvent[] {
  const { transferId, fromWalletId, reference } = transfer;
  const amount = amountFor(state, transfer.toWalletId, transfer.amount);
  if (getEntry(state.transfers, transferId)) return [];
  const refusal = state.frozen ? refused('WALLET_FROZEN', 'The wallet is frozen.') : whyTooFull(state, amount);
  if (refusal) {
    const until = rememberedUntil(now);
    return [{ $case: 'transferRefused', value: { amount, transferId, fromWalletId, reason: refusal.reason, until } }];
  }
  const { currency, balance } = state;
  return [
    {
      $case: 'transferReceived',
      value: { amount, transferId, fromWalletId, balance: balance + amount, currency, reference },
    },
  ];
}

/** The outcome of the transfer at the receiver: empty if the money was taken, else the reason why not. */
export function transferOutcome(state: FormerWallet, transferId: string): string {
  const known = getEntry(state.transfers, transferId);
  return known?.how === 'received' ? '' : (known?.reason ?? 'TRANSFER_UNKNOWN');
}

/** Records that the receiver has the money, once. Refused: as by `openTransfer`. */
export function confirmTransfer(
  state: FormerWallet,
  _context: DecisionContext,
  { walletId, transferId }: { walletId: string; transferId: string },
): WalletEvent[] {
  const sent = openTransfer(state, walletId, transferId);
  return sent ? [{ $case: 'transferDelivered', value: { transferId, toWalletId: sent.toWalletId } }] : [];
}

/** Takes back money that the receiver has refused, once, frozen or not. Refused: as by `openTransfer`. */
export function returnTransfer(
  state: FormerWallet,
  _context: DecisionContext,
  { walletId, transferId, reason }: { walletId: string; transferId: string; reason: string },
): WalletEvent[] {
  const sent = openTransfer(state, walletId, transferId);
  if (!sent) return [];
  const { amount } = sent;
  const { currency, balance } = state;
  return [{ $case: 'transferReturned', value: { amount, transferId, balance: balance + amount, currency, reason } }];
}

/**
 * A transfer that this wallet has sent and that has not ended; undefined if it has. Refused: NOT_FOUND;
 * FAILED_PRECONDITION TRANSFER_UNKNOWN, if the wallet has not sent it (or it ended more than 30 days ago).
 */
function openTransfer(state: FormerWallet, walletId: string, transferId: string): RememberedTransfer | undefined {
  mustExist(state, walletId);
  const known = getEntry(state.transfers, transferId);
  if (known?.how === 'sent') return known;
  if (known?.how === 'delivered' || known?.how === 'returned') return undefined;
  throw refused('TRANSFER_UNKNOWN', `The wallet "${walletId}" has not sent a transfer "${transferId}".`);
}
