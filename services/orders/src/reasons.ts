/**
 * Reasons of the orders context, for the reference of errors. The last ones are only the `reason` of a rejected order.
 */
import type { Reason } from '@caudal/kernel/reason.ts';

export const reasons = {
  ORDER_NOT_FOUND: { code: 'NOT_FOUND', meaning: 'There is no such order.' },
  ORDER_EXISTS: { code: 'ALREADY_EXISTS', meaning: 'There is another order of this id.' },
  CUSTOMER_UNKNOWN: { code: 'FAILED_PRECONDITION', meaning: 'The buyer is not registered. Register it first.' },
  PRODUCT_NOT_SOLD: {
    code: 'FAILED_PRECONDITION',
    meaning: 'Products are not in the catalogue, have no price, or are off sale; `violations` names them.',
  },
  CURRENCIES_DIFFER: {
    code: 'FAILED_PRECONDITION',
    meaning: 'The products are priced in several currencies. Place an order for each.',
  },
  ORDER_TOO_LARGE: {
    code: 'FAILED_PRECONDITION',
    meaning: 'The lines come to more than 1,000,000,000,000,000 minor units. Place several orders.',
  },
  ATTRIBUTES_NOT_ALLOWED: {
    code: 'PERMISSION_DENIED',
    meaning: 'Attributes of the buyer need the permission to place orders for all buyers. Leave them out.',
  },
  ORDER_NOT_CANCELLABLE: {
    code: 'FAILED_PRECONDITION',
    meaning: 'The order has left the warehouse, or was rejected; `metadata.status` says which.',
  },
  PRICE_CHANGED: {
    code: 'FAILED_PRECONDITION',
    meaning:
      'The catalogue has other prices than the buyer has seen, so nothing is ordered; `metadata` has both totals, `violations` the lines.',
  },
  ORDER_NOT_RETURNABLE: {
    code: 'FAILED_PRECONDITION',
    meaning:
      'As far as the order knows, none of its pieces have left the warehouse; `metadata.status` says why. It learns of a dispatch a moment later: then try again.',
  },
  NOT_LEFT: {
    code: 'FAILED_PRECONDITION',
    meaning:
      'Some of the pieces of the return are in a shipment that may still leave. Withdraw it first, then return them.',
  },
  RETURN_UNKNOWN: {
    code: 'FAILED_PRECONDITION',
    meaning:
      'The return had no outcome within 29 days, and needs attention: look for its pieces in the events of the stock, then settle it.',
  },
  RETURN_SETTLED: {
    code: 'FAILED_PRECONDITION',
    meaning: 'An operator has ended the return: its pieces count as not returned.',
  },
  RETURN_NEEDS_NO_ATTENTION: {
    code: 'FAILED_PRECONDITION',
    meaning: 'The return goes on by itself, or has ended; `metadata.status` says which.',
  },
  RETURN_NOT_FOUND: { code: 'NOT_FOUND', meaning: 'The order has no such return.' },
  RETURN_EXISTS: { code: 'ALREADY_EXISTS', meaning: 'The order has another return of this id.' },
  TOO_MANY_RETURNS: {
    code: 'FAILED_PRECONDITION',
    meaning:
      'The order has 20 returns in progress (try later), or 100 returns or 1,000 lines of them (restock and refund by hand).',
  },
  PAYMENT_TIMED_OUT: {
    code: 'FAILED_PRECONDITION',
    meaning: 'The payment had no outcome in time, so the order was undone. No money is kept.',
  },
  PAYMENT_VOIDED: { code: 'FAILED_PRECONDITION', meaning: 'The payment was undone by another caller than its order.' },
  RESERVATION_EXPIRED: {
    code: 'FAILED_PRECONDITION',
    meaning: 'The pieces were reserved three times, and each reservation expired before they were paid.',
  },
} satisfies Record<string, Reason>;
