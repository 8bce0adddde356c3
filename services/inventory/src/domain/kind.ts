/** A kind of stock: how many pieces can be promised, and to which buyers. */
import type { CaudalError, FieldViolation } from '@caudal/kernel/errors.ts';

/** The stock level of a product, the input of a kind's rules. */
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
  /** Attributes of the buyer: `{ tier: 'gold' }`. */
  attributes: Readonly<Record<string, string>>;
}

export interface Kind {
  /** The name in CreateStockItem. */
  name: string;
  /** The violations in these settings; empty if they are valid. */
  validatePolicy(policy: Readonly<Record<string, string>>): FieldViolation[];
  /** Pieces that can be promised now; never below zero. */
  available(level: StockLevel): bigint;
  /** The refusal of a reservation by the kind's own rules, whatever is available; undefined: permitted. */
  checkReservation(level: StockLevel, request: ReservationRequest): CaudalError | undefined;
}

/** A violation of one setting. */
export function policyViolation(setting: string, description: string): FieldViolation {
  return { field: `policy.${setting}`, description };
}
