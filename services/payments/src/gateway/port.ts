/** The interface of any card gateway. */
import type { Money } from '@caudal/contract/gen/caudal/type/v1/money.ts';
import { CaudalError, unavailable } from '@caudal/kernel/errors.ts';

export interface Charge {
  /** Idempotency key of the charge: a repeat gets the first answer, and money is taken once. */
  key: string;
  amount: Money;
  /** The token that the gateway issued for the card. */
  cardToken: string;
}

export type ChargeResult =
  | { kind: 'approved'; reference: string }
  /** Final: the same key is never approved later. `reason`: UPPER_SNAKE. */
  | { kind: 'declined'; reason: string }
  /** The gateway works and answers, but the outcome is open: for example, a charge of the key is in flight. */
  | { kind: 'unclear'; reason: string };

/** A part of a charge's money. */
export interface RefundedPart {
  /** The key of the charge. */
  charge: string;
  /** The refund's id at the charge, for as long as the charge is known: a repeat gives nothing back again. */
  key: string;
  amount: Money;
}

export type UndoResult =
  | { kind: 'done' }
  /** The gateway works and refuses. */
  | { kind: 'refused'; reason: string };

/**
 * A call without an answer fails with a CaudalError: UNAVAILABLE if it was not carried out (the gateway is unreachable
 * or refuses calls for now), DEADLINE_EXCEEDED GATEWAY_OUTCOME_UNKNOWN if it may have been. A repeat is safe in both
 * cases, and the only way to learn the outcome.
 */
export interface PaymentGateway {
  charge(charge: Charge, signal?: AbortSignal): Promise<ChargeResult>;
  /**
   * Ensures that the charge takes no money: gives back what it took, or declines it if it arrives later.
   */
  void(key: string, signal?: AbortSignal): Promise<UndoResult>;
  /** Gives back the money of a charge that was approved, once. */
  refund(key: string, signal?: AbortSignal): Promise<UndoResult>;
  /** Gives back a part of the money of a charge that was approved, once. */
  refundPart(part: RefundedPart, signal?: AbortSignal): Promise<UndoResult>;
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
