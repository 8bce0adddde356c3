/** The outcome of an import, as recorded by the import itself. The system's state is read afterwards: facts.ts. */

export interface OrderOutcome {
  /**
   * 'delivered', 'rejected' and 'cancelled' are ends. 'stuck': it reached no end within the time limit. 'failed': the
   * system refused a command about it.
   */
  end: 'delivered' | 'rejected' | 'cancelled' | 'stuck' | 'failed';
  /** The reason of the end, if there is one. */
  reason: string;
}

export interface CorrectionOutcome {
  /** 'refused': it would have taken pieces that are promised or not in stock. */
  end: 'applied' | 'refused' | 'failed';
  reason: string;
}

export interface Outcome {
  /** The prefix of the ids of the import's orders. */
  idPrefix: string;
  /** By reference. */
  orders: Map<string, OrderOutcome>;
  /** By line of the file. */
  corrections: Map<number, CorrectionOutcome>;
  /**
   * Pieces of each product before the import; 0 in a new system. Undefined: the product had stock, but the import does
   * not know how much, since it had nothing to add.
   */
  stockBefore: Map<string, bigint | undefined>;
  /** Minor units in each wallet before the import. */
  walletsBefore: Map<string, bigint>;
  startTime: Date;
  /** Duration of the whole import, and of its orders and corrections. */
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
