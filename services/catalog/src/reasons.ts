/** Reasons of the catalogue, for the reference of errors. */
import type { Reason } from '@caudal/kernel/reason.ts';

export const reasons = {
  PRODUCT_NOT_FOUND: { code: 'NOT_FOUND', meaning: 'There is no such product.' },
  PRODUCT_EXISTS: { code: 'ALREADY_EXISTS', meaning: 'There is a product of this id already. Update it instead.' },
  PRODUCT_DISCONTINUED: { code: 'FAILED_PRECONDITION', meaning: 'The product is not sold any more.' },
} satisfies Record<string, Reason>;
