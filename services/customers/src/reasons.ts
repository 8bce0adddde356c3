/** Reasons of the customers context, for the reference of errors. */
import type { Reason } from '@caudal/kernel/reason.ts';

export const reasons = {
  CUSTOMER_NOT_FOUND: { code: 'NOT_FOUND', meaning: 'There is no such customer.' },
  CUSTOMER_EXISTS: { code: 'ALREADY_EXISTS', meaning: 'There is a customer of this id already. Update it instead.' },
} satisfies Record<string, Reason>;
