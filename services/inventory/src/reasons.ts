/** Reasons of the inventory, for the reference of errors. */
import type { Reason } from '@caudal/kernel/reason.ts';

export const reasons = {
  STOCK_NOT_FOUND: { code: 'NOT_FOUND', meaning: 'No stock of the product is kept. Create it first.' },
  STOCK_EXISTS: { code: 'ALREADY_EXISTS', meaning: 'Stock of the product is kept already. Restock or adjust it.' },
  UNKNOWN_KIND: {
    code: 'INVALID_ARGUMENT',
    meaning: 'There is no such kind of stock; `violations` names those there are.',
  },
  INVALID_POLICY: { code: 'INVALID_ARGUMENT', meaning: 'The settings are not those of the kind of stock.' },
  TOO_MANY_PIECES: {
    code: 'FAILED_PRECONDITION',
    meaning: 'Stock of one product would have more than 1,000,000,000,000 pieces.',
  },
  BELOW_RESERVED: {
    code: 'FAILED_PRECONDITION',
    meaning:
      'The adjustment would leave less than nothing, or less than is promised to orders. Take away less, or release reservations first.',
  },
  PRODUCT_TWICE: {
    code: 'INVALID_ARGUMENT',
    meaning: 'A product is in two lines. Add the quantities up.',
  },
  INSUFFICIENT_STOCK: {
    code: 'FAILED_PRECONDITION',
    meaning: 'Not all lines are available, so none is reserved; `violations` names those that are not.',
  },
  TIER_NOT_ALLOWED: {
    code: 'FAILED_PRECONDITION',
    meaning: 'The stock is for buyers of other tiers; the tier is an attribute of the reservation.',
  },
  TOO_MANY_PER_ORDER: { code: 'FAILED_PRECONDITION', meaning: 'One order may not have so many pieces.' },
  RESERVATION_MISMATCH: {
    code: 'FAILED_PRECONDITION',
    meaning: 'The reservation has another quantity than the request.',
  },
  RESERVATION_BARRED: {
    code: 'FAILED_PRECONDITION',
    meaning: 'The reservation was released before it was made. Use another id.',
  },
  RESERVATION_ENDED: {
    code: 'FAILED_PRECONDITION',
    meaning: 'The reservation was released, has expired, or all its pieces were returned. Reserve under another id.',
  },
  RESERVATION_LOST: {
    code: 'FAILED_PRECONDITION',
    meaning: 'A line of the reservation ended before the commit, so all of it has ended. Reserve under another id.',
  },
  RETURN_TOO_LARGE: {
    code: 'FAILED_PRECONDITION',
    meaning: 'More pieces would be returned than are left; `violations` says how many are. Nothing is returned.',
  },
  RESERVATION_NOT_COMMITTED: {
    code: 'FAILED_PRECONDITION',
    meaning:
      'No pieces of the reservation were committed, or that is more than 7 days ago. Return pieces of an order by the order; restock others.',
  },
} satisfies Record<string, Reason>;
