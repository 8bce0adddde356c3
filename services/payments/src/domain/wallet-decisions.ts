/** Decisions about one wallet alone: opening it, deposits and withdrawals, freezing. */
import type { Money } from '@caudal/contract/gen/caudal/type/v1/money.ts';
import { CaudalError } from '@caudal/kernel/errors.ts';
import { amountFor, mustExist, type WalletEvent, type WalletState, whyNotSpendable, whyTooFull } from './wallet.ts';

/** Opens the wallet. Refused: ALREADY_EXISTS WALLET_EXISTS. */
export function openWallet(
  state: WalletState,
  input: { walletId: string; customerId: string; currency: string },
): WalletEvent[] {
  if (state.walletId !== '') {
    throw new CaudalError('ALREADY_EXISTS', 'WALLET_EXISTS', `There is a wallet "${input.walletId}" already.`);
  }
  return [{ $case: 'created', value: input }];
}

export interface Movement {
  walletId: string;
  amount: Money;
  /** Source or destination of the money, as free text. */
  reference: string;
}

/** Puts money in, frozen or not. Refused: as by `amountFor`; FAILED_PRECONDITION BALANCE_TOO_HIGH. */
export function deposit(state: WalletState, input: Movement): WalletEvent[] {
  const amount = amountFor(state, input.walletId, input.amount);
  const refusal = whyTooFull(state, amount);
  if (refusal) throw refusal;
  const { currency, balance } = state;
  return [{ $case: 'deposited', value: { amount, reference: input.reference, balance: balance + amount, currency } }];
}

/** Takes money out. Refused: as by `amountFor`; FAILED_PRECONDITION WALLET_FROZEN, INSUFFICIENT_FUNDS. */
export function withdraw(state: WalletState, input: Movement): WalletEvent[] {
  const amount = amountFor(state, input.walletId, input.amount);
  const refusal = whyNotSpendable(state, amount);
  if (refusal) throw refusal;
  const { currency, balance } = state;
  return [{ $case: 'withdrawn', value: { amount, reference: input.reference, balance: balance - amount, currency } }];
}

/** Stops all movements except deposits, refunds and returns. Refused: NOT_FOUND. */
export function freeze(state: WalletState, input: { walletId: string; reason: string }): WalletEvent[] {
  mustExist(state, input.walletId);
  return state.frozen ? [] : [{ $case: 'frozen', value: { reason: input.reason } }];
}

/** Allows movements again. Refused: NOT_FOUND. */
export function unfreeze(state: WalletState, walletId: string): WalletEvent[] {
  mustExist(state, walletId);
  return state.frozen ? [{ $case: 'unfrozen', value: {} }] : [];
}
