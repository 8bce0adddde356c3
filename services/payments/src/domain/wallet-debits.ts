/**
 * Decisions about payments from a wallet. A debit is taken, then maybe returned; or it is refused; or it is barred by
 * an earlier undo. The first outcome is final: a repeat of a refused debit is refused even if there is enough money by
 * then, since the payment may be recorded as failed already.
 */
import type { Money } from '@caudal/contract/gen/caudal/type/v1/money.ts';
import { notFound, refused } from '@caudal/kernel/errors.ts';
import { refundClaim, rememberedUntil, type WalletContext, type WalletOutcome } from './claims.ts';
import { amountFor, type WalletEvent, type WalletState, whyNotSpendable } from './wallet.ts';

export interface Debit {
  walletId: string;
  paymentId: string;
  /** The payer: must be the wallet's owner. */
  customerId: string;
  amount: Money;
}

/**
 * Takes a payment's money, or records a refusal; `debitOutcome` returns which. Thrown are only refusals that can never
 * change: NOT_FOUND, also for a wallet of another owner, whose existence is none of the payer's business; those of `amountFor`;
 * FAILED_PRECONDITION PAYMENT_MISMATCH (another amount than before).
 */
export function debit(state: WalletState, { now, claim }: WalletContext, input: Debit): WalletEvent[] {
  const { paymentId, customerId } = input;
  if (customerId !== state.customerId) throw notFound('wallet', input.walletId);
  const amount = amountFor(state, input.walletId, input.amount);
  const known = claim(paymentId);
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

/** What a payment's claim says of its debit: empty if the money was taken, else the reason why not. */
export function debitOutcome(known: WalletOutcome | undefined): string {
  if (known?.how === 'taken') return '';
  return known?.how === 'refused' ? known.reason : 'PAYMENT_BARRED';
}

/**
 * Undoes a debit that may have been taken or not: gives the money back, or bars the debit if it has not arrived yet.
 * Must be used within 30 days of the debit. A wallet that does not exist, or is not the payer's, has taken nothing and never will.
 */
export function undoDebit(
  state: WalletState,
  { now, lookUp }: WalletContext,
  { paymentId, customerId = state.customerId }: Pick<Debit, 'paymentId'> & Partial<Pick<Debit, 'customerId'>>,
): WalletEvent[] {
  if (state.walletId === '' || customerId !== state.customerId) return [];
  const known = lookUp(paymentId);
  if (!known) return [{ $case: 'debitBarred', value: { paymentId, until: rememberedUntil(now) } }];
  return known.how === 'taken' ? [credited(state, paymentId, known.amount)] : [];
}

/**
 * Gives back the money of a debit that is known to have been taken, however long ago, once. Refused: as by `amountFor`.
 */
export function refundDebit(
  state: WalletState,
  { lookUp }: WalletContext,
  input: Pick<Debit, 'walletId' | 'paymentId' | 'amount'>,
): WalletEvent[] {
  const amount = amountFor(state, input.walletId, input.amount);
  const known = lookUp(input.paymentId);
  return !known || known.how === 'taken' ? [credited(state, input.paymentId, amount)] : [];
}

/**
 * Gives back a part of a debit that is known to have been taken, once a refund; the payment decides that the parts are no more than
 * the whole. A repeat must come within 30 days. Refused: as by `amountFor`.
 */
export function refundDebitPart(
  state: WalletState,
  { claim }: WalletContext,
  { walletId, paymentId, refundId, amount: money }: Omit<Debit, 'customerId'> & { refundId: string },
): WalletEvent[] {
  const amount = amountFor(state, walletId, money);
  return claim(refundClaim(paymentId, refundId)) ? [] : [credited(state, paymentId, amount, refundId)];
}

function credited(state: WalletState, paymentId: string, amount: bigint, refundId?: string): WalletEvent {
  return {
    $case: 'credited',
    value: { amount, paymentId, balance: state.balance + amount, currency: state.currency, refundId },
  };
}
