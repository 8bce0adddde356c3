/** The decisions of version 0.2 about debits: see former-wallet.ts. */
import type { DecisionContext } from '@caudal/aggregates/types.ts';
import { refused } from '@caudal/kernel/errors.ts';
import { getEntry } from '@caudal/kernel/expiring-map.ts';
import { rememberedUntil } from '../domain/claims.ts';
import { amountFor, type WalletEvent, whyNotSpendable } from '../domain/wallet.ts';
import type { Debit } from '../domain/wallet-debits.ts';
import type { FormerWallet } from './former-wallet.ts';

/**
 * Takes a payment's money, or records a refusal; `debitOutcome` returns which. Thrown are only refusals that can never
 * change: those of `amountFor`; FAILED_PRECONDITION WALLET_NOT_OWNED, PAYMENT_MISMATCH (another amount than before).
 */
export function debit(state: FormerWallet, { now }: DecisionContext, input: Debit): WalletEvent[] {
  const { paymentId, customerId } = input;
  const amount = amountFor(state, input.walletId, input.amount);
  if (customerId !== state.customerId) {
    throw refused('WALLET_NOT_OWNED', `The wallet "${input.walletId}" is not the payer's.`);
  }
  const known = getEntry(state.debits, paymentId, now);
  if (known) {
    if (known.how !== 'barred' && known.amount !== amount) {
      throw refused('PAYMENT_MISMATCH', `The payment "${paymentId}" was about another amount.`);
    }
    return [];
  }
  const refusal = whyNotSpendable(state, amount);
  if (refusal) {
    const until = rememberedUntil(now);
    return [{ $case: 'debitRefused', value: { amount, paymentId, reason: refusal.reason, until } }];
  }
  return [
    {
      $case: 'debited',
      value: { amount, paymentId, balance: state.balance - amount, currency: state.currency },
    },
  ];
}

/** The outcome of the payment's debit: empty if the money was taken, else the reason why not. */
export function debitOutcome(state: FormerWallet, paymentId: string): string {
  const known = getEntry(state.debits, paymentId);
  if (known?.how === 'taken') return '';
  return known?.how === 'refused' ? known.reason : 'PAYMENT_BARRED';
}

/**
 * Undoes a debit that may have been taken or not: gives the money back, or bars the debit if it has not arrived yet.
 * Must be used within 30 days of the debit. A wallet that does not exist has taken nothing.
 */
export function undoDebit(
  state: FormerWallet,
  { now }: DecisionContext,
  { paymentId }: { paymentId: string },
): WalletEvent[] {
  if (state.walletId === '') return [];
  const known = getEntry(state.debits, paymentId, now);
  if (!known) return [{ $case: 'debitBarred', value: { paymentId, until: rememberedUntil(now) } }];
  return known.how === 'taken' ? [credited(state, paymentId, known.amount)] : [];
}

/**
 * Gives back the money of a debit that is known to have been taken, however long ago, once. Refused: as by `amountFor`.
 */
export function refundDebit(
  state: FormerWallet,
  { now }: DecisionContext,
  input: Pick<Debit, 'walletId' | 'paymentId' | 'amount'>,
): WalletEvent[] {
  const amount = amountFor(state, input.walletId, input.amount);
  const known = getEntry(state.debits, input.paymentId, now);
  return !known || known.how === 'taken' ? [credited(state, input.paymentId, amount)] : [];
}

function credited(state: FormerWallet, paymentId: string, amount: bigint): WalletEvent {
  return {
    $case: 'credited',
    value: { amount, paymentId, balance: state.balance + amount, currency: state.currency },
  };
}
