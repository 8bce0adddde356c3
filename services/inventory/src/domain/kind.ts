/** What a kind of stock decides: how much of it can be promised, and to whom. */
import type { CaudalError, FieldViolation } from '@caudal/kernel/errors.ts';

/** The stock level of a product, as a kind sees it. */
export interface StockLevel {
  /** Pieces in the warehouse. */
  onHand: bigint;
  /** Pieces promised to orders. */
  reserved: bigint;
  /** The product's settings, checked by `validatePolicy`. */
  policy: Readonly<Record<string, string>>;
}

/** A request to reserve pieces. */
export interface ReservationRequest {
  quantity: bigint;
  /** What is known of the buyer: `{ tier: 'gold' }`. */
  attributes: Readonly<Record<string, string>>;
}

export interface Kind {
  /** As in CreateStockItem. */
  name: string;
  /** What is wrong with these settings; nothing if they are fine. */
  validatePolicy(policy: Readonly<Record<string, string>>): FieldViolation[];
  /** Pieces that can be promised now; never below zero. */
  available(level: StockLevel): bigint;
  /** Why this must not be reserved, whatever is available. */
  checkReservation(level: StockLevel, request: ReservationRequest): CaudalError | undefined;
}

/** A violation of one setting. */
export function policyViolation(setting: string, description: string): FieldViolation {
  return { field: `policy.${setting}`, description };
}
