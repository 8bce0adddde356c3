/** What became of an import, as far as the import itself knows. What the system says of it is read afterwards: facts.ts. */

export interface OrderOutcome {
  /**
   * 'delivered', 'rejected' and 'cancelled' are ends. 'stuck': it was at none when the patience was over. 'failed': the
   * system refused a command about it.
   */
  end: 'delivered' | 'rejected' | 'cancelled' | 'stuck' | 'failed';
  /** Why it ended so, where there is a why. */
  reason: string;
}

export interface CorrectionOutcome {
  /** 'refused': it would have taken pieces that are promised, or not there. */
  end: 'applied' | 'refused' | 'failed';
  reason: string;
}

export interface Outcome {
  /** What the ids of the import's orders begin with. */
  idPrefix: string;
  /** By reference. */
  orders: Map<string, OrderOutcome>;
  /** By the line of the file. */
  corrections: Map<number, CorrectionOutcome>;
  /**
   * Pieces of each product that were there before the import, 0 in a fresh system. Undefined: some were there, but the
   * import does not know how many, as it had none to add.
   */
  stockBefore: Map<string, bigint | undefined>;
  /** Minor units in each wallet before the import. */
  walletsBefore: Map<string, bigint>;
  startTime: Date;
  /** How long all of it took, and the orders and corrections of it. */
  seconds: number;
  orderSeconds: number;
}

/** The id of an order in the system. */
export function orderIdOf(idPrefix: string, reference: string): string {
  return `${idPrefix}-${reference}`;
}

/** The wallet that a customer pays with. */
export function walletIdOf(customerId: string): string {
  return `wallet-${customerId}`;
}
