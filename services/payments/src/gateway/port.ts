/** What payments need of a card gateway, whoever it is. */
import type { Money } from '@caudal/contract/gen/caudal/type/v1/money.ts';
import { CaudalError, unavailable } from '@caudal/kernel/errors.ts';

export interface Charge {
  /** Names the charge: whatever is asked again under it gives the first answer, and takes money once. */
  key: string;
  amount: Money;
  /** What the gateway gave out for the card. */
  cardToken: string;
}

export type ChargeResult =
  | { kind: 'approved'; reference: string }
  /** For good: the same key is never approved later. `reason`: UPPER_SNAKE. */
  | { kind: 'declined'; reason: string }
  /** The gateway is well and answers, but does not say what becomes of the money: a charge of the key is under way, say. */
  | { kind: 'unclear'; reason: string };

export type UndoResult =
  | { kind: 'done' }
  /** The gateway is well and won't do it. */
  | { kind: 'refused'; reason: string };

/**
 * Every call that gets no answer fails with a CaudalError: UNAVAILABLE if it was not carried out (the gateway can't be
 * reached, or does not want to be asked now), DEADLINE_EXCEEDED GATEWAY_OUTCOME_UNKNOWN if it may have been. Either way
 * it is safe, and the only way to find out, to ask again.
 */
export interface PaymentGateway {
  charge(charge: Charge, signal?: AbortSignal): Promise<ChargeResult>;
  /**
   * Sees to it that the charge takes no money: gives back what it took, or declines it if it comes late. Wins in either
   * order.
   */
  void(key: string, signal?: AbortSignal): Promise<UndoResult>;
  /** Gives back the money of a charge that was approved, once. */
  refund(key: string, signal?: AbortSignal): Promise<UndoResult>;
}

/** The call may have been carried out. */
export function outcomeUnknown(cause: unknown): CaudalError {
  return new CaudalError('DEADLINE_EXCEEDED', 'GATEWAY_OUTCOME_UNKNOWN', 'The payment gateway gave no usable answer.', {
    cause,
  });
}

/** The call was not carried out. */
export function gatewayUnavailable(cause: unknown): CaudalError {
  return unavailable('the payment gateway', cause);
}
